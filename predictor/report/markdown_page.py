"""The Markdown of card and checklist as HTML: headings, paragraphs, lists, tables and bold, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from html import escape, unescape
from itertools import groupby
from typing import Final

# The page's own headings end with the third level's parent.
HEADING_SHIFT: Final = 1
LOWEST_HEADING: Final = 6
_BOLD: Final = re.compile(r"\*\*(.+?)\*\*")
_SLANTED: Final = re.compile(r"(?<!\\)\*(.+?)(?<!\\)\*")
_ESCAPED: Final = re.compile(r"\\([|*`(])")
_CELL_END: Final = re.compile(r"(?<!\\)\|")
_RULE: Final = re.compile(r"\|( *:?-+:? *\|)+")


def markdown_as_html(text: str) -> str:
    r"""Return simple Markdown as HTML in which everything else is escaped; the first heading is left to the page.

    Examples
    --------
    >>> markdown_as_html("# Card\n\n## Use\n\n- **not** for <b>")
    '<h3>Use</h3>\n<ul><li><strong>not</strong> for &lt;b&gt;</li></ul>'
    """
    lines = text.splitlines()
    if lines and lines[0].startswith("# "):
        lines = lines[1:]
    return "\n".join(part for kind, group in groupby(lines, key=_kind) for part in _block(kind, list(group)))


def _kind(line: str) -> str:
    if not line.strip():
        return "empty"
    if line.startswith("|"):
        return "table"
    if line.startswith("- "):
        return "list"
    return "heading" if line.startswith("#") else "text"


def _block(kind: str, lines: Sequence[str]) -> Iterator[str]:
    if kind == "heading":
        for line in lines:
            marks, _, words = line.partition(" ")
            level = min(len(marks) + HEADING_SHIFT, LOWEST_HEADING)
            yield f"<h{level}>{_words(words)}</h{level}>"
    elif kind == "list":
        yield "<ul>" + "".join(f"<li>{_words(line[2:])}</li>" for line in lines) + "</ul>"
    elif kind == "table":
        yield _table(lines)
    elif kind == "text":
        yield "<p>" + "<br>".join(_words(line) for line in lines) + "</p>"


def _table(lines: Sequence[str]) -> str:
    rows = [
        [cell.strip() for cell in _CELL_END.split(line.strip())[1:-1]] for line in lines if not _RULE.fullmatch(line)
    ]
    head = "".join(f'<th scope="col">{_words(cell)}</th>' for cell in rows[0])
    body = "".join("<tr>" + "".join(f"<td>{_words(cell)}</td>" for cell in row) + "</tr>" for row in rows[1:])
    # Whoever has no mouse scrolls it by keyboard.
    opened = '<div class="scroll" tabindex="0" role="group" aria-label="Table">'
    return f"{opened}<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def _words(text: str) -> str:
    """Return escaped text with its bold parts."""
    parts = _BOLD.split(text)
    return "".join(
        f"<strong>{_plain(part)}</strong>" if place % 2 else _slanted(part) for place, part in enumerate(parts)
    )


def _slanted(text: str) -> str:
    parts = _SLANTED.split(text)
    return "".join(f"<em>{_plain(part)}</em>" if place % 2 else _plain(part) for place, part in enumerate(parts))


def _plain(text: str) -> str:
    return escape(unescape(_ESCAPED.sub(r"\1", text)), quote=False)
