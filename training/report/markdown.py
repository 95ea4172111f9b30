"""Text and tables in Markdown, of values that may hold anything."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

# What would start a tag, a table cell, emphasis or code; a link or image only ever starts with "](".
_ESCAPED = {"&": "&amp;", "<": "&lt;", "|": "\\|", "*": "\\*", "`": "\\`", "](": "]\\("}


def plain(text: object) -> str:
    r"""Return text on one line that no Markdown reader takes for markup.

    Examples
    --------
    >>> print(plain("a | b <script>"))
    a \| b &lt;script>
    """
    line = "".join(mark for mark in " ".join(str(text).split()) if mark.isprintable())
    for mark, escaped in _ESCAPED.items():
        line = line.replace(mark, escaped)
    return line


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Return the lines of a table; cells are escaped."""
    lines = [header, ["---"] * len(header), *([plain(cell) for cell in row] for row in rows)]
    return [f"| {' | '.join(line)} |" for line in lines]


def bullets(lines: Iterable[object]) -> list[str]:
    """Return one list item per line."""
    return [f"- {plain(line)}" for line in lines]
