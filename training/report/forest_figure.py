"""Experiments as a forest: R2 with its interval, one row per run, the best baseline beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from predictor.report.page_template import page_style, page_template
from predictor.report.svg import Axis, axis_around, element, figure, text
from training.report.figure_frame import DrawnFigure
from training.report.report_section import ReportSection, ReportTable
from training.report.short_numbers import p_in_words, with_interval

WIDTH, LEFT, RIGHT = 960.0, 330.0, 690.0
TOP, ROW_HEIGHT = 58.0, 26.0
SHOWN_LETTERS = 44
CAPTION = (
    "Dot: cross-validated R2; line: its 95 % interval over people; grey bar: the best baseline of the same experiment. "
    "An interval that holds the grey bar does not show that the model adds anything. Rows with different letters were "
    "judged on other people or folds and cannot be compared; the best of many rows is better than it deserves."
)

Experiment = Mapping[str, Any]


def forest_figure(document: Mapping[str, Any]) -> str:
    """Draw experiments side by side as one SVG.

    Parameters
    ----------
    document
        What `Comparison.document` returns.
    """
    experiments: Sequence[Experiment] = document["experiments"]
    axis = axis_around(_held(experiments), left=LEFT, right=RIGHT)
    bottom = TOP + ROW_HEIGHT * len(experiments)
    shapes = _head(document) + axis.draw(top=TOP - 8, bottom=bottom, label="cross-validated R2, 95 % interval")
    for number, one in enumerate(experiments):
        shapes += _row(one, axis, y=TOP + ROW_HEIGHT * (number + 0.5))
    described = "; ".join(f"{one['name']}: R2 {_worth(one)}" for one in experiments[:20])
    return figure(shapes, width=WIDTH, height=bottom + 48, title="Experiments side by side", description=described)


def comparison_page(document: Mapping[str, Any], heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return figure and table as one HTML page that needs nothing from elsewhere."""
    synthetic = [bool(one["is_synthetic"]) for one in document["experiments"]]
    drawn = DrawnFigure("forest", "R2 of every experiment", CAPTION, forest_figure(document))
    table = ReportTable("All numbers", tuple(heads), tuple(tuple(row) for row in rows))
    return page_template("training.report", "comparison.html").render(
        verdict=document["verdict"],
        is_synthetic=any(synthetic),
        is_all_synthetic=all(synthetic),
        sections=[
            ReportSection("figure", "R2 with its interval", figures=(drawn,)),
            ReportSection("numbers", "All numbers", tables=(table,), style="dense"),
        ],
        style=page_style("training.report", "experiment_report.css"),
    )


def _head(document: Mapping[str, Any]) -> list[str]:
    same = "All on the same people and folds." if document["comparable"] else "Compare rows with the same letter only."
    return [
        text("Experiments side by side", x=12, y=20, size=15, font_weight="600"),
        text(f"Research use only. {same} Grey bar: best baseline.", x=12, y=38, size=12, style_class="figure-muted"),
    ]


def _held(experiments: Sequence[Experiment]) -> list[float]:
    names = ("r2", "r2_lower", "r2_upper", "best_baseline_r2")
    return [one[name] for one in experiments for name in names if one[name] is not None] + [0.0, 0.1]


def _row(one: Experiment, axis: Axis, *, y: float) -> list[str]:
    """Draw name, letter of the folds, interval, baseline and the numbers in words."""
    shapes = [
        text(one["folds"] or "–", x=12, y=y + 4, size=12, style_class="figure-muted"),
        text(_shortened(one["name"] + (" (synthetic)" if one["is_synthetic"] else "")), x=34, y=y + 4, size=12),
        text(f"{_worth(one)}   p {p_in_words(one['p_value'])}", x=RIGHT + 14, y=y + 4, size=12),
    ]
    if one["r2"] is None:
        return shapes
    x = axis.x(one["r2"])
    if one["r2_lower"] is not None and one["r2_upper"] is not None:
        left, right = axis.x(one["r2_lower"]), axis.x(one["r2_upper"])
        shapes.append(element("line", style_class="figure-up", x1=left, x2=right, y1=y, y2=y, stroke_width=2))
    if one["best_baseline_r2"] is not None:
        at = axis.x(one["best_baseline_r2"])
        shapes.append(element("line", style_class="figure-muted", x1=at, x2=at, y1=y - 8, y2=y + 8, stroke_width=2.5))
    shapes.append(element("circle", style_class="figure-up", cx=x, cy=y, r=4.5))
    return shapes


def _worth(one: Experiment) -> str:
    return with_interval(one["r2"], one["r2_lower"], one["r2_upper"])


def _shortened(words: str) -> str:
    """Leave the middle out: variants of an experiment differ at the end of their names."""
    kept = SHOWN_LETTERS // 2
    return words if len(words) <= SHOWN_LETTERS else f"{words[: kept - 1]}…{words[-kept:]}"
