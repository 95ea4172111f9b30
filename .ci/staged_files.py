"""Fast checks of files before they are committed: `python .ci/staged_files.py {large,notebooks} FILE ...`.

large       names files above 600 kB: data and models belong elsewhere.
notebooks   empties the outputs of notebooks, which the site makes anew, and says which it changed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

LARGEST_BYTES = 600_000  # the pinned requirements with their hashes are the largest that is meant


def too_large(paths: Sequence[Path]) -> list[str]:
    """Return a line for every file above the limit."""
    sizes = ((path, path.stat().st_size) for path in paths if path.is_file())
    return [f"{path}: {size} bytes, at most {LARGEST_BYTES}" for path, size in sizes if size > LARGEST_BYTES]


def emptied(paths: Sequence[Path]) -> list[str]:
    """Empty the outputs of notebooks; a line for every one that was changed."""
    changed = []
    for path in paths:
        before = path.read_text(encoding="utf-8")
        after = without_outputs(before)
        if after != before:
            path.write_text(after, encoding="utf-8")
            changed.append(f"{path}: outputs removed, add it again")
    return changed


def without_outputs(text: str) -> str:
    """Return a notebook without outputs, counters and the traces that editors leave."""
    notebook = json.loads(text)
    for cell in notebook["cells"]:
        cell["metadata"] = {}
        if cell["cell_type"] == "code":
            cell |= {"outputs": [], "execution_count": None}
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook["metadata"] = {"kernelspec": kernel, "language_info": {"name": "python"}}
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    check = {"large": too_large, "notebooks": emptied}[sys.argv[1]]
    faults = check([Path(name) for name in sys.argv[2:]])
    sys.stdout.write("".join(f"{fault}\n" for fault in faults))
    sys.exit(1 if faults else 0)
