"""How a record presents itself to someone at a prompt: one line of text, and in a notebook a small table.

Every record says itself what is worth knowing of it, in `_one_line` and `_card`; how that is spelled is decided here.
Tables are text only; figures belong to `predictor.report`. A card names no person: whoever made the record knows whose
it is, and whoever finds the notebook need not.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

RESEARCH_USE_ONLY = "Research use only."
# More rows than this are no overview any more; `to_frame()` and the like show all.
MAX_ROWS = 24
# No colour but the text's own and a half-transparent grey, so that light and dark pages both show everything.
_CELL = "padding:0.2em 0.8em 0.2em 0;text-align:left;vertical-align:top;border:0"
_RULE = "border-top:1px solid rgba(128,128,128,0.4)"
_SMALL = "font-size:0.85em;opacity:0.8;margin:0.3em 0"


@dataclass(frozen=True, slots=True)
class RecordCard:
    """What a notebook shows of a record, as plain text; `card_html` escapes it."""

    title: str
    facts: tuple[tuple[str, str], ...] = ()  # name, value
    columns: tuple[str, ...] = ()  # of the table
    rows: tuple[tuple[str, ...], ...] = ()
    remarks: tuple[str, ...] = ()
    is_about_a_person: bool = False  # holds numbers of one


class PresentedRecord:
    """A record that says in one line what it is, instead of printing its arrays.

    Dataclasses that inherit this need `repr=False`, or they get a `__repr__` of their own.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._one_line()})"

    def _repr_html_(self) -> str:
        return card_html(self._card())

    def _one_line(self) -> str:
        raise NotImplementedError

    def _card(self) -> RecordCard:
        raise NotImplementedError


def card_html(card: RecordCard) -> str:
    """Return a card as HTML that stands in a page by itself: no style sheet, no script, nothing from elsewhere."""
    parts = [f'<p style="margin:0 0 0.3em"><strong>{escape(card.title)}</strong></p>']
    if card.facts:
        parts.append(_table(_fact_row(name, value) for name, value in card.facts))
    if card.rows:
        shown = card.rows[:MAX_ROWS]
        parts.append(_table([_header_row(card.columns), *(_data_row(row) for row in shown)]))
        if len(card.rows) > len(shown):
            parts.append(_small_print(f"and {len(card.rows) - len(shown)} more"))
    parts += [_small_print(remark) for remark in card.remarks]
    if card.is_about_a_person:
        parts.append(_small_print(RESEARCH_USE_ONLY))
    return f'<div style="font-size:0.9em">{"".join(parts)}</div>'


def counted(number: int, one: str, many: str = "") -> str:
    """Return a number with its noun.

    Examples
    --------
    >>> counted(1, "run"), counted(3, "run"), counted(2, "covariate is", "covariates are")
    ('1 run', '3 runs', '2 covariates are')
    """
    return f"{number} {one if number == 1 else many or one + 's'}"


def shortened(digest: str | None) -> str:
    """Return the first digits of a digest, as people compare them by eye.

    Examples
    --------
    >>> shortened("sha256:0123456789abcdef0123")
    'sha256:0123456789ab'
    """
    return "unknown" if digest is None else digest[: len("sha256:") + 12]


def _table(rows: Iterable[str]) -> str:
    return f'<table style="border-collapse:collapse;margin:0.2em 0">{"".join(rows)}</table>'


def _fact_row(name: str, value: str) -> str:
    head = f'<th scope="row" style="{_CELL};font-weight:normal;opacity:0.8">{escape(name)}</th>'
    return f'<tr style="background:none">{head}<td style="{_CELL}">{escape(value)}</td></tr>'


def _header_row(columns: Sequence[str]) -> str:
    cells = "".join(f'<th scope="col" style="{_CELL}">{escape(column)}</th>' for column in columns)
    return f'<tr style="background:none">{cells}</tr>'


def _data_row(row: Sequence[str]) -> str:
    cells = "".join(f'<td style="{_CELL}">{escape(cell)}</td>' for cell in row)
    return f'<tr style="background:none;{_RULE}">{cells}</tr>'


def _small_print(words: str) -> str:
    return f'<p style="{_SMALL}">{escape(words)}</p>'
