"""What the report's page asks of an experiment record again and again, in the page's own words.

Card, TRIPOD+AI table and methods are text that also stands in files: they read with `record_parts`, which takes gaps.
"""

from __future__ import annotations

from collections.abc import Sequence

from predictor.report.wording import outcome_in_words
from training.report.record_parts import Document, reason_of

MINUS = "−"


def baselines(document: Document) -> list[Document]:
    """Return the simple models that any other has to beat."""
    return [one for one in document["models"] if one["role"] == "baseline"]


def is_reported(part: object) -> bool:
    """Whether there is something to show: neither nothing nor {"not_reported": reason}."""
    return bool(part) and not reason_of(part)


def why_not(part: object) -> str:
    """Return the reason why a part is not reported."""
    return reason_of(part) or "it was not computed."


def model_in_words(name: str) -> str:
    """Return a model's name for people."""
    return name.replace("_", " ")


def outcome_words(document: Document) -> str:
    """Return the outcome with its unit, for an axis."""
    outcome = document["outcome"]
    words, unit = outcome_in_words(outcome["name"]), outcome["unit"]
    return f"{words} ({unit})" if unit else words


def number(value: float | None, *, digits: int = 2, signed: bool = False) -> str:
    """Return a number with a true minus sign; a gap is a dash.

    Examples
    --------
    >>> number(-0.123), number(None)
    ('−0.12', '–')
    """
    if value is None:
        return "–"
    text = f"{value:{'+' if signed else ''}.{digits}f}"
    return text.replace("-", MINUS) if float(text) else text.lstrip("-+")


def with_interval(value: float | None, interval: Document | None, *, digits: int = 2, signed: bool = False) -> str:
    """Return a number and its interval as "0.46 [0.33, 0.57]"."""
    shown = number(value, digits=digits, signed=signed)
    if value is None or interval is None:
        return shown
    ends = (number(interval[end], digits=digits, signed=signed) for end in ("lower", "upper"))
    return f"{shown} [{', '.join(ends)}]"


def digits_for(values: Sequence[float]) -> int:
    """Return how many decimals show three figures of the largest of these numbers, 0 to 4."""
    largest = max((abs(value) for value in values), default=0.0)
    steps = ((100, 0), (10, 1), (1, 2), (0.1, 3))
    return next((digits for limit, digits in steps if largest >= limit), 4)


def listed(names: Sequence[str], *, joint: str = "and") -> str:
    """Join names as a sentence does.

    Examples
    --------
    >>> listed(["rest", "faces", "conflict"])
    'rest, faces and conflict'
    """
    return f" {joint} ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))
