"""Figures of the cohort and of what it can tell: data flow, benefit, power, coverage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from predictor.report.themed_figure import DOWN, INK, LINE, MUTED, SMALL, UP, WIDTH_INCHES
from training.report.figure_frame import DrawnFigure, IntervalRow, draw, forest, legend, quiet_grid, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Document = Mapping[str, Any]
Flow = Sequence[Document]

BOX_INCHES, GAP_INCHES = 0.55, 0.24
DETAIL_LENGTH = 62


def data_flow_figure(document: Document) -> DrawnFigure:
    """People from the list to the folds on the left, features from the table to the fit on the right."""
    flow = document["data_flow"]
    people = [one for one in flow if one["kind"] in ("people", "fold")]
    features, apart = ([one for one in flow if one["kind"] == kind] for kind in ("features", "reference"))
    n_rows = max(len(people), len(features) + len(apart) + 1)
    caption = "How many people, and how many features, were left after each stage."

    def paint(figure: Figure) -> None:
        figure.set_layout_engine("none")
        axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
        axes.set_xlim(0, 100)
        axes.set_ylim(-n_rows * (BOX_INCHES + GAP_INCHES) - 0.3, 0.05)
        axes.axis("off")
        _draw_chain(axes, "People", people, left=0.5, width=54)
        _draw_chain(axes, "Features", features, left=59, width=40.5)
        if apart:
            _draw_chain(axes, "", apart, left=59, width=40.5, first_row=len(features) + 0.6)

    height = n_rows * (BOX_INCHES + GAP_INCHES) + 0.35
    return draw("data_flow", "Data flow", caption, height=height, paint=paint, spoken=_spoken(flow))


def benefit_figure(document: Document) -> DrawnFigure | None:
    """Found difference between the arms by predicted benefit, one panel per learner."""
    benefit = document["benefit"]
    groups = [one for one in benefit.get("groups", []) if one.get("observed") is not None]
    learners = [name for name in dict.fromkeys(one["learner"] for one in groups)]
    if not learners:
        return None
    unit = benefit["learner_unit"]
    caption = (
        f"Found difference {benefit['treated']} minus {benefit['control']} ({unit}, above 0 is better) in groups with "
        "similar predicted benefit, with 95 % intervals; blue: the mean benefit of everybody. It is about people like "
        "these, not about one of them; the verdict is that of the test of arm x feature."
    )

    def paint(figure: Figure) -> None:
        panels = np.atleast_1d(figure.subplots(1, len(learners), sharey=True))
        for axes, name in zip(panels, learners, strict=True):
            average = benefit["learners"].get(name, {}).get("average_benefit")
            _draw_benefit(axes, [one for one in groups if one["learner"] == name], average)
            axes.set_title(name, loc="left")
            axes.set_xlabel(f"predicted benefit ({unit})")
        panels[0].set_ylabel(f"found difference ({unit})")

    width = WIDTH_INCHES if len(learners) > 1 else 5.2
    return draw("benefit", "Benefit of the treatment", caption, height=3.4, paint=paint, width=width)


def power_figure(document: Document) -> DrawnFigure:
    """Power to find an R2, alone and beyond the best baseline."""
    power = document["power"]
    curves = (("against_zero", "from 0", UP, "-"), ("against_baseline", "beyond the best baseline", DOWN, "--"))
    caption = (
        f"Power of a one-sided test with {power['n_participants']} people to find a share of explained variance; "
        f"dotted: {100 * power['wanted_power']:.0f} %. It holds {power['holds']}."
    )

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        for key, label, colour, style in curves:
            rows = power[key]
            axes.plot(
                [one["r2"] for one in rows], [one["power"] for one in rows], style, marker="o", markersize=4,
                color=colour, label=label,
            )  # fmt: skip
        axes.axhline(power["wanted_power"], color=MUTED, linewidth=1, linestyle=":")
        axes.set_ylim(0, 1.03)
        axes.set_xlabel("R2 in truth")
        axes.set_ylabel("power")
        quiet_grid(axes)
        legend(axes, loc="lower right")

    return draw("power", "Power", caption, height=2.8, paint=paint, width=6.0)


def coverage_figure(document: Document) -> DrawnFigure | None:
    """Share of people whose outcome lay in their interval, overall and by arm, beside what was promised."""
    coverage = document["coverage"]
    if coverage is None:
        return None
    interval, promised = coverage["interval"], coverage["promised"]
    rows = [IntervalRow("everyone", coverage["realised"], interval["lower"], interval["upper"], is_first=True)]
    arms = coverage["by_arm"]
    rows += [
        IntervalRow(name, one["realised"], one["interval"]["lower"], one["interval"]["upper"])
        for name, one in arms.items()
        if len(arms) > 1
    ]
    caption = (
        f"Share of {coverage['n_people']} people, left out of everything, whose outcome lay in their prediction "
        f"interval; the line is the promised {100 * promised:.0f} %. Interval: Clopper-Pearson, 95 %."
    )

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        forest(axes, rows, label="share within the interval", zero=promised)
        axes.set_xlim(right=1.01)

    return draw("coverage", "Coverage", caption, height=0.8 + 0.32 * len(rows), paint=paint, width=6.0)


def _spoken(flow: Flow) -> str:
    return "; ".join(f"{one['stage']} {'unknown' if one['n'] is None else one['n']}" for one in flow)


def _draw_chain(axes: Axes, title: str, stages: Flow, *, left: float, width: float, first_row: float = 0.0) -> None:
    """Boxes below each other with arrows between; widths in percent of the figure, heights in inches."""
    from matplotlib.patches import Rectangle

    step = BOX_INCHES + GAP_INCHES
    if title:
        axes.text(left, -0.12, title, color=MUTED, fontsize=9, va="center")
    for row, stage in enumerate(stages):
        top = -0.25 - (row + first_row) * step
        axes.add_patch(Rectangle((left, top - BOX_INCHES), width, BOX_INCHES, facecolor="none", edgecolor=LINE))
        n = "?" if stage["n"] is None else f"{stage['n']:,}"
        axes.text(left + 7.5, top - BOX_INCHES / 2, n, color=INK, fontsize=12, ha="right", va="center")
        has_detail = bool(stage["detail"])
        axes.text(left + 9, top - BOX_INCHES * (0.34 if has_detail else 0.5), stage["stage"], color=INK, va="center")
        if has_detail:
            detail = short(stage["detail"], length=int(DETAIL_LENGTH * width / 54))
            axes.text(left + 9, top - BOX_INCHES * 0.72, detail, color=MUTED, fontsize=SMALL - 0.5, va="center")
        if row:
            _draw_arrow(axes, x=left + 4.5, top=top + GAP_INCHES, bottom=top)


def _draw_arrow(axes: Axes, *, x: float, top: float, bottom: float) -> None:
    arrow = {"arrowstyle": "-|>", "color": MUTED, "shrinkA": 1, "shrinkB": 1, "linewidth": 0.8}
    axes.annotate("", (x, bottom), xytext=(x, top), arrowprops=arrow)


def _draw_benefit(axes: Axes, groups: Flow, average: Document | None) -> None:
    predicted = np.array([one["predicted_mean"] for one in groups])
    found = np.array([one["observed"] for one in groups])
    bounds = np.array([(one["observed"] - one["lower"], one["upper"] - one["observed"]) for one in groups]).T
    if average is not None:
        interval = average["interval"]
        axes.axhspan(interval["lower"], interval["upper"], color=UP, alpha=0.13, linewidth=0)
        axes.axhline(average["estimate"], color=UP, linewidth=1.2)
    ends = np.array([predicted.min(), predicted.max()])
    axes.plot(ends, ends, color=MUTED, linestyle="--", linewidth=1)
    axes.errorbar(predicted, found, yerr=bounds, fmt="D", color=INK, markersize=5, linewidth=1.2, capsize=3)
    axes.axhline(0, color=MUTED, linewidth=0.8)
    quiet_grid(axes)
