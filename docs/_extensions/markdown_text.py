"""Plain text as Markdown that shows exactly this text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_MARKS = re.compile(r"([\\`*_\[\]<>|$#~{}])")


def escaped(text: str) -> str:
    r"""Text whose marks mean nothing.

    Examples
    --------
    >>> print(escaped("NAME_* | <file>"))
    NAME\_\* \| \<file\>
    """
    return _MARKS.sub(r"\\\1", " ".join(text.split()))


def prose(text: str) -> str:
    r"""Text whose marks mean nothing, apart from backquotes around code.

    Examples
    --------
    >>> print(prose("see `krp keys --help` for NAME_*"))
    see `krp keys --help` for NAME\_\*
    """
    parts = re.split(r"(`[^`]+`)", text)
    return "".join(" ".join(part.split()) if part.startswith("`") else _spaced(part) for part in parts).strip()


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    r"""Return a Markdown table; cells are Markdown already.

    Examples
    --------
    >>> print(table(["name", "unit"], [["edge", "Hz"]]))
    | name | unit |
    |---|---|
    | edge | Hz |
    """
    lines = [header, ["---"] * len(header), *rows]
    drawn = ["|" + "|".join(cells) + "|" if cells[0] == "---" else "| " + " | ".join(cells) + " |" for cells in lines]
    return "\n".join(drawn)


def _spaced(part: str) -> str:
    """Escape a part of a line and keep one space where it had some at its ends."""
    before, after = " " * part[:1].isspace(), " " * part[-1:].isspace()
    return before + escaped(part) + (after if part.strip() else "")
