"""Numbers of many people or features, row by row: a box over their middle half, and a mark for each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final
from xml.sax.saxutils import escape

import numpy as np
from numpy.typing import NDArray

from predictor.report.palette import SMALL_PIXELS
from predictor.report.svg import Axis, axis_around, element, figure, text
from predictor.report.wording import quantity

Array = NDArray[np.float64]

WIDTH, RIGHT_MARGIN, LETTER_PIXELS = 868.0, 16.0, 6.6
ROW_PIXELS, TOP_PIXELS, FOOT_PIXELS = 42.0, 26.0, 44.0
BOX_PIXELS, SPREAD_PIXELS = 16.0, 24.0
# More marks than this hide each other and make a large file; then only those that stand out are drawn.
MOST_MARKS: Final = 400
# A box over fewer numbers would pretend to know how they spread.
FEWEST_FOR_BOX: Final = 5
# Whiskers reach to the last number within so many interquartile ranges of the box (Tukey).
WHISKER: Final = 1.5
# Neighbours in value lie apart in height: steps of the golden ratio never repeat.
_GOLDEN: Final = 0.6180339887
# A limit further away than this share of the numbers' range would squeeze them; the caption names it all the same.
_REACH_FOR_LIMIT: Final = 1.5


@dataclass(frozen=True, slots=True, eq=False)
class StripRow:
    """One row: numbers with their names and marks."""

    label: str
    values: Array  # NaN: not drawn
    names: Sequence[str]
    marks: Sequence[str]  # "ok", "flagged" or "refused"
    has_dots: bool = True


def strip_svg(
    rows: Sequence[StripRow],
    *,
    title: str,
    label: str,
    unit: str = "",
    digits: int = 2,
    limits: Sequence[tuple[str, float]] = (),
) -> str:
    """Draw rows below each other on one axis.

    Parameters
    ----------
    rows
        The first on top.
    title
        What is drawn, for a screen reader; it is told the medians, too.
    label
        Of the axis, with the unit.
    unit, digits
        Of the numbers in the words that show up at a mark.
    limits
        Names and values of dashed lines; one without a name is a plain line of reference.
    """
    shown = [row.values[np.isfinite(row.values)] for row in rows]
    left = min(14.0 + LETTER_PIXELS * max(len(row.label) for row in rows), 300.0)
    axis = axis_around(_held(shown, limits), left=left, right=WIDTH - RIGHT_MARGIN)
    bottom = TOP_PIXELS + ROW_PIXELS * len(rows)
    shapes = axis.draw(top=TOP_PIXELS - 4, bottom=bottom, label=label)
    for name, at in limits:
        if axis.lower <= at <= axis.upper:
            shapes += _limit(name, axis.x(at), at, bottom)
    for place, row in enumerate(rows):
        shapes += _row(row, axis, middle=TOP_PIXELS + ROW_PIXELS * (place + 0.5), unit=unit, digits=digits)
    described = "; ".join(_in_words(row, values, unit, digits) for row, values in zip(rows, shown, strict=True))
    return figure(shapes, width=WIDTH, height=bottom + FOOT_PIXELS, title=title, description=described)


def _held(shown: Sequence[Array], limits: Iterable[tuple[str, float]]) -> list[float]:
    """Return what the axis must hold: all numbers, and limits that are near them."""
    known = np.concatenate([*shown, np.empty(0)])
    if not known.size:
        return [0.0, 1.0]
    lowest, highest = float(known.min()), float(known.max())
    reach = _REACH_FOR_LIMIT * (highest - lowest or abs(highest) or 1.0)
    return [lowest, highest, *(at for _, at in limits if lowest - reach <= at <= highest + reach)]


def _row(row: StripRow, axis: Axis, *, middle: float, unit: str, digits: int) -> list[str]:
    shapes = [text(row.label, x=axis.left - 10, y=middle + 4, size=SMALL_PIXELS, text_anchor="end")]
    known = row.values[np.isfinite(row.values)]
    if not known.size:
        words = "not known"
        return [*shapes, text(words, x=axis.left + 4, y=middle + 4, size=SMALL_PIXELS, style_class="figure-muted")]
    has_box = len(known) >= FEWEST_FOR_BOX
    if has_box:
        shapes += _box(known, axis, middle)
    is_crowded = len(known) > MOST_MARKS or not row.has_dots
    for rank, place in enumerate(np.argsort(row.values, kind="stable").tolist()):
        value, mark = float(row.values[place]), row.marks[place]
        if np.isfinite(value) and not (is_crowded and mark == "ok" and has_box):
            y = middle + ((rank * _GOLDEN) % 1 - 0.5) * SPREAD_PIXELS
            shapes.append(_mark(mark, axis.x(value), y, f"{row.names[place]}: {quantity(value, unit, digits=digits)}"))
    if has_box:  # the median lies on top, where the marks are densest
        x, reach = axis.x(float(np.median(known))), BOX_PIXELS / 2 + 4
        bar = element(
            "line", style_class="figure-ink", x1=x, x2=x, y1=middle - reach, y2=middle + reach, stroke_width=2.5
        )
        shapes.append(bar)
    return shapes


def _box(known: Array, axis: Axis, middle: float) -> list[str]:
    lower, upper = (float(one) for one in np.quantile(known, [0.25, 0.75]))
    reach = WHISKER * (upper - lower)
    ends = known[(known >= lower - reach) & (known <= upper + reach)]
    low, high = axis.x(float(ends.min())), axis.x(float(ends.max()))
    left, right, top = axis.x(lower), axis.x(upper), middle - BOX_PIXELS / 2
    line: dict[str, Any] = {"y1": middle, "y2": middle, "stroke_width": 1.5}
    return [
        element("line", style_class="figure-outline", x1=low, x2=left, **line),
        element("line", style_class="figure-outline", x1=right, x2=high, **line),
        element(
            "rect", style_class="figure-crowd", x=left, y=top, width=max(right - left, 1.0), height=BOX_PIXELS, rx=2
        ),
    ]


def _mark(kind: str, x: float, y: float, words: str) -> str:
    """Draw a dot, a diamond where something is flagged, a triangle where it is refused: shapes tell it in grey, too."""
    said = f"<title>{escape(words)}</title>"
    if kind == "flagged":
        return element(
            "path", style_class="figure-flag", content=said, d=_polygon(x, y, ((0, -5), (5, 0), (0, 5), (-5, 0)))
        )
    if kind == "refused":
        return element("path", style_class="figure-refuse", content=said, d=_polygon(x, y, ((0, -6), (6, 5), (-6, 5))))
    return element("circle", style_class="figure-up", content=said, cx=x, cy=y, r=2.7, fill_opacity="0.7")


def _polygon(x: float, y: float, corners: Iterable[tuple[float, float]]) -> str:
    return "M" + " L".join(f"{x + across:.1f},{y + down:.1f}" for across, down in corners) + " Z"


def _limit(name: str, x: float, at: float, bottom: float) -> list[str]:
    if not name:
        return [element("line", style_class="figure-muted", x1=x, x2=x, y1=TOP_PIXELS - 4, y2=bottom, stroke_width=1.3)]
    style_class = "figure-refuse" if name.startswith("refuse") else "figure-flag"
    words = f"{name} {at:g}"
    at_text = min(x, WIDTH - LETTER_PIXELS * len(words) / 2 - 2)
    return [
        element(
            "line", style_class=style_class, x1=x, x2=x, y1=TOP_PIXELS - 6, y2=bottom, stroke_width=1.3,
            stroke_dasharray="5 3",
        ),
        text(words, x=at_text, y=TOP_PIXELS - 11, size=SMALL_PIXELS, style_class=style_class, text_anchor="middle"),
    ]  # fmt: skip


def _in_words(row: StripRow, values: Array, unit: str, digits: int) -> str:
    if not values.size:
        return f"{row.label}: not known"
    middle = quantity(float(np.median(values)), unit, digits=digits)
    lowest, highest = (quantity(float(end), "", digits=digits) for end in (values.min(), values.max()))
    return f"{row.label}: median {middle} of {len(values)}, from {lowest} to {highest}"
