"""Docstrings are prose with a few marks; an upright bar in them is an absolute value, not a substitution."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

_CODE = re.compile(r"(`[^`]*`)")


def without_substitutions(line: str) -> str:
    r"""Return a docstring's line whose bars mean nothing to reStructuredText; code stays as it is.

    Examples
    --------
    >>> print(without_substitutions("|r| of `a | b`"))
    \|r\| of `a | b`
    """
    parts = _CODE.split(line)
    return "".join(part if part.startswith("`") else part.replace("|", r"\|") for part in parts)


def process_docstring(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Change the lines of a docstring in place, as autodoc asks for."""
    is_example = False
    for number, line in enumerate(lines):
        is_example = line.lstrip().startswith(">>>") or (is_example and bool(line.strip()))
        lines[number] = line if is_example else without_substitutions(line)


def protect_colon(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Keep what stands before a colon in a property's first line: it is a sentence, not the name of a type."""
    if what in ("property", "attribute") and lines and ":" in lines[0]:
        lines.insert(0, "")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with autodoc, after the parts of a docstring were sorted."""
    app.connect("autodoc-process-docstring", protect_colon, priority=100)
    app.connect("autodoc-process-docstring", process_docstring, priority=900)
    return {"parallel_read_safe": True}
