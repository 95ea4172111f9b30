"""How the inputs of one answer add up to its number, drawn."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from predictor.errors import ExplanationError
from predictor.report.edge_table import explanation_of
from predictor.report.svg import Axis, axis_around, element, figure, text
from predictor.report.wording import outcome_in_words, place_and_kind, quantity

N_TOP = 10
# The answer document promises this much; a drawing that does not add up would mislead.
MAX_ADDITIVITY_ERROR = 1e-6
NARROW_PIXELS = 520  # below this the label stands above its bar
ARROW_PIXELS = 7.0


@dataclass(frozen=True, slots=True)
class WaterfallRow:
    """One step from `start` to `end`, both in the outcome's unit."""

    label: str
    detail: str
    start: float
    end: float
    role: Literal["base", "input", "rest", "total"]


def waterfall_rows(answer: Mapping[str, Any], *, n_top: int = N_TOP) -> tuple[WaterfallRow, ...]:
    """Return the steps from the average of the training visits to this visit's number.

    Parameters
    ----------
    answer
        An answer document with an explanation.
    n_top
        How many inputs get a step of their own, largest first; the rest is summed into one.

    Returns
    -------
    tuple of WaterfallRow
        Base value, inputs, the sum of the rest if any, and the total; each step starts where the one before ends.

    Raises
    ------
    ExplanationAbsentError
        If the answer was refused, or its explanation withheld.
    ExplanationError
        If the steps do not end at the output.
    """
    explanation = explanation_of(answer)
    ordered = sorted(explanation["contributions"], key=lambda item: -abs(item["contribution"]))
    level = explanation["base_value"]
    rows = [WaterfallRow("Average of the training visits", "", 0.0, level, "base")]
    for item in ordered[:n_top]:
        end = level + item["contribution"]
        place, kind = place_and_kind(item["feature"])
        rows.append(WaterfallRow(place, ", ".join(filter(None, [kind, _value(item)])), level, end, "input"))
        level = end
    rest = ordered[n_top:]
    if rest:
        end = level + math.fsum(item["contribution"] for item in rest)
        rows.append(WaterfallRow(f"{len(rest)} other inputs together", "", level, end, "rest"))
        level = end
    output = explanation["output"]
    if not abs(level - output) <= MAX_ADDITIVITY_ERROR * max(1.0, abs(output)):
        raise ExplanationError(f"the steps end at {level:.9g}, the output is {output:.9g}.")
    rows.append(WaterfallRow(_total_label(explanation["arm"]), "", 0.0, output, "total"))
    return tuple(rows)


def waterfall_svg(answer: Mapping[str, Any], *, width: float = 720, n_top: int = N_TOP) -> str:
    """Draw the waterfall as one SVG.

    Parameters
    ----------
    answer
        An answer document with an explanation.
    width
        Width in pixels; below 520 the labels stand above the bars, so that a telephone can show them.

    Returns
    -------
    str
        SVG text with title and description; no script, no style sheet.
    """
    rows = waterfall_rows(answer, n_top=n_top)
    is_narrow = width < NARROW_PIXELS
    row_height, label_width = (62.0, 12.0) if is_narrow else (40.0, 330.0)
    axis = axis_around(_levels(rows), left=label_width, right=width - 62)
    bottom = 10 + row_height * len(rows)
    offset = 34.0 if is_narrow else 9.0
    outcome = answer["outcome"]
    digits = _digits(rows)
    shapes = axis.draw(top=6, bottom=bottom, label=f"{outcome_in_words(outcome['name'])} ({outcome['unit']})")
    for index, row in enumerate(rows):
        top = 10 + index * row_height
        shapes += _draw_label(row, top=top, is_narrow=is_narrow)
        shapes += _draw_step(row, axis, top=top + offset, unit=outcome["unit"], digits=digits)
        if index + 2 < len(rows) and not is_narrow:  # on a telephone it would run through the labels
            shapes.append(_draw_link(row, axis, top=top + offset + 18, length=row_height - 18))
    shapes.append(text("Research use only.", x=8, y=bottom + 56, size=12, font_weight="600"))
    return figure(
        shapes,
        width=width,
        height=bottom + 64,
        title="What the number is made of",
        description=_in_words(rows, outcome["unit"], digits),
    )


def _value(item: Mapping[str, Any]) -> str:
    value = item["value"]
    if value is None:
        return "missing, the training median stands in"
    return str(value) if isinstance(value, str) else quantity(value, item["unit"])


def _total_label(arm: str) -> str:
    return "Expected for this visit" if arm == "all" else f"Expected under {arm}"


def _levels(rows: tuple[WaterfallRow, ...]) -> list[float]:
    """Everything the axis must show; base and total are marks, so zero need not be there."""
    return [row.end for row in rows] + [row.start for row in rows if row.role in ("input", "rest")]


def _draw_label(row: WaterfallRow, *, top: float, is_narrow: bool) -> list[str]:
    weight = "600" if row.role in ("base", "total") else "400"
    left, first = (12.0, 13.0 if row.detail else 28.0) if is_narrow else (8.0, 16.0 if row.detail else 23.0)
    lines = [text(row.label, x=left, y=top + first, font_weight=weight)]
    if row.detail:
        lines.append(text(row.detail, x=left, y=top + first + 15, size=11.5, style_class="figure-muted"))
    return lines


def _draw_step(row: WaterfallRow, axis: Axis, *, top: float, unit: str, digits: int) -> list[str]:
    if row.role in ("base", "total"):
        x = axis.x(row.end)
        mark = element("rect", style_class="figure-total", x=x - 3, y=top - 1, width=6, height=20, rx=2)
        return [mark, text(quantity(row.end, unit, digits=digits), x=x + 9, y=top + 14, font_weight="600")]
    start, end = axis.x(row.start), axis.x(row.end)
    change = row.end - row.start
    style_class = "figure-up" if change >= 0 else "figure-down"
    number = text(quantity(change, "", signed=True, digits=digits), x=max(start, end) + 6, y=top + 14)
    return [element("path", style_class=style_class, d=_arrow(start, end, top=top, bottom=top + 18)), number]


def _arrow(start: float, end: float, *, top: float, bottom: float) -> str:
    """Outline of a bar that points where it goes: its direction shows without colour."""
    head = math.copysign(min(ARROW_PIXELS, abs(end - start)), end - start)
    middle, neck = (top + bottom) / 2, end - head
    corners = [(start, top), (neck, top), (end, middle), (neck, bottom), (start, bottom)]
    if abs(end - start) < 1.0:  # still visible when it adds almost nothing
        corners = [(start - 0.5, top), (start + 0.5, top), (start + 0.5, bottom), (start - 0.5, bottom)]
    return "M" + " L".join(f"{x:.1f},{y:.1f}" for x, y in corners) + " Z"


def _draw_link(row: WaterfallRow, axis: Axis, *, top: float, length: float) -> str:
    x = axis.x(row.end)
    return element("line", style_class="figure-muted", x1=x, x2=x, y1=top, y2=top + length, stroke_width=1)


def _digits(rows: tuple[WaterfallRow, ...]) -> int:
    """Decimals shared by all numbers of the drawing, so that a reader can add them up."""
    smallest = min((abs(row.end - row.start) for row in rows if row.role == "input"), default=1.0)
    return 1 if smallest >= 0.15 else 2


def _in_words(rows: tuple[WaterfallRow, ...], unit: str, digits: int) -> str:
    phrases = []
    for row in rows:
        if row.role in ("base", "total"):
            phrases.append(f"{row.label} {quantity(row.end, unit, digits=digits)}")
        else:
            phrases.append(f"{row.label} {quantity(row.end - row.start, '', signed=True, digits=digits)}")
    return "; ".join(phrases)
