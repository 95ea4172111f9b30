"""Write docs/errors.md from the error tree: `python docs/make_error_catalogue.py`."""

from __future__ import annotations

from pathlib import Path

from predictor.errors import PredictorError

HEAD = """# Error catalogue

Every error has a code, a message that says what was expected and what was found, the place where it was found, and a
remedy. On the command line the exit code is 2 for `usage`, 4 for refusals (`refused`, `promotion-refused`,
`leak-found`, `participants-shared`, `locked-test-opened`, `audit-log-broken`), else 3; over HTTP the same four parts
are an `application/problem+json` document. This page is made from `predictor/errors.py`.
"""


def catalogue() -> str:
    """Return the page: one heading per code, in alphabetical order."""
    kinds, queue = [], [PredictorError]
    while queue:
        kind = queue.pop()
        kinds += [kind] if "code" in vars(kind) else []  # several faults at once have their own codes
        queue.extend(kind.__subclasses__())
    return HEAD + "".join(entry(kind) for kind in sorted(kinds, key=lambda kind: kind.code))


def entry(kind: type[PredictorError]) -> str:
    """Return one code's heading, meaning and remedy."""
    meaning = (kind.__doc__ or "").splitlines()[0]
    remedy = f"\n\nWhat to do: {kind.remedy}" if kind.remedy else ""
    return f"\n## {kind.code}\n\n{meaning}{remedy}\n"


if __name__ == "__main__":
    Path(__file__).with_name("errors.md").write_text(catalogue(), encoding="utf-8")
