"""Figures of the models: beside each other, and what the first one weighs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from predictor.report.themed_figure import INK, MUTED, SMALL, UP
from training.report.figure_frame import (
    MARK_SIZE,
    DrawnFigure,
    IntervalRow,
    draw,
    forest,
    in_words,
    quiet_grid,
    short,
    signed_colour,
    wrapped,
)
from training.report.record_parts import first_model
from training.report.record_reading import is_reported, model_in_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Document = Mapping[str, Any]

MOST_COEFFICIENTS, MOST_CONTRIBUTIONS, MOST_GROUPS = 20, 15, 8
ROW_INCHES, AXIS_INCHES = 0.29, 0.75


def models_figure(document: Document) -> DrawnFigure:
    """R2 of every model with its interval, and by how much the first one's squared error is smaller."""
    models = document["models"]
    scored = [_r2_row(one, is_first=one is models[0]) for one in models]
    gains = [_gain_row(one) for one in models]
    caption = (
        "Left: R2 against the training mean, with 95 % intervals (bootstrap over people), all on the same folds. "
        f"Right: squared error of each model less that of {model_in_words(models[0]['name'])}, with 95 % intervals "
        "that allow for shared training people (Nadeau-Bengio); to the right of 0, the first model is better. Where a "
        "baseline keeps pace, the scans are not shown to add anything."
    )

    def paint(figure: Figure) -> None:
        left, right = figure.subplots(1, 2, sharey=True, width_ratios=[1.15, 1])
        forest(left, scored, label="R2 out of fold")
        forest(
            right,
            [one or IntervalRow("", np.nan) for one in gains],
            label=f"gain in squared error ({_unit2(document)})",
        )
        left.set_yticks(range(len(scored)), [row.label for row in reversed(scored)])

    height = AXIS_INCHES + ROW_INCHES * len(models)
    return draw("models", "All models beside the baselines", caption, height=height, paint=paint)


def coefficients_figure(document: Document) -> DrawnFigure | None:
    """Largest weights with their intervals, and how often the fold models selected them."""
    rows = [row for row in document["coefficients"] or [] if row["arm"] == "all"]
    if not rows:
        return None
    interactions = {row["feature"]: row for row in document["coefficients"] if row["arm"] != "all"}
    shown = sorted(rows, key=lambda row: -abs(row["value"]))[:MOST_COEFFICIENTS]
    contrast = next((row["arm"] for row in interactions.values()), "")
    unit = document["outcome"]["unit"]
    caption = (
        f"The {len(shown)} largest of {len(rows) + document.get('n_coefficients_not_shown', 0)} weights of the final "
        f"model, in {unit} per standard deviation, with 95 % of the bootstrap models"
        + (f"; filled: mean over the arms, hollow: {contrast}" if contrast else "")
        + ". Right: share of the fold models, each tuned anew, in which the input has a weight. The penalty shrinks "
        "weights, so intervals are of shrunken weights; inputs that resemble each other share theirs, so a small "
        "weight does not show that an input is of no importance."
    )

    def paint(figure: Figure) -> None:
        left, right = figure.subplots(1, 2, sharey=True, width_ratios=[3, 1])
        for place, row in enumerate(reversed(shown)):
            _draw_weight(left, row, place + (0.14 if contrast else 0.0), is_filled=True)
            if interactions.get(row["feature"], {}).get("value"):
                _draw_weight(left, interactions[row["feature"]], place - 0.18, is_filled=False)
            right.barh(place, row["selection_frequency"], height=0.55, color=MUTED)
        left.axvline(0, color=MUTED, linewidth=0.8)
        left.set_yticks(range(len(shown)), [wrapped(in_words(row["feature"])) for row in reversed(shown)])
        left.set_xlabel(f"{unit} per standard deviation")
        right.set_xlim(0, 1)
        right.set_xlabel("selected, share of folds")
        quiet_grid(left, "x")
        quiet_grid(right, "x")

    height = AXIS_INCHES + ROW_INCHES * len(shown)
    return draw("coefficients", "Coefficients and how often they are selected", caption, height=height, paint=paint)


def contributions_figure(document: Document) -> DrawnFigure | None:
    """Mean absolute SHAP values by input, by circuit and by kind."""
    found = document["shap"]
    if not is_reported(found) or not found["features"]:
        return None
    unit = document["outcome"]["unit"]
    features = {row["feature"]: row["mean_abs_contribution"] for row in found["features"][:MOST_CONTRIBUTIONS]}
    panels: list[tuple[str, dict[str, float]]] = [("", {in_words(name): size for name, size in features.items()})]
    panels += [(f"by {name}", _largest(found[f"by_{name}"])) for name in ("circuit", "kind")]
    method = (
        "of trees, path-dependent and exact" if found.get("method") == "trees" else "of a linear model in closed form"
    )
    caption = (
        f"Mean size of what each input moves the prediction by, in {unit}, over the {found['n_people']} training "
        f"people (SHAP values {method}; they explain the model, not what causes improvement)."
    )

    def paint(figure: Figure) -> None:
        grid = figure.add_gridspec(2, 2, height_ratios=[max(2, len(one)) for _, one in panels[1:]])
        places = (grid[:, 0], grid[0, 1], grid[1, 1])
        for place, (title, sizes) in zip(places, panels, strict=True):
            _draw_bars(figure.add_subplot(place), sizes, title=title, unit=unit)

    n_rows = max(len(features), sum(len(one) for _, one in panels[1:]) + 4)
    return draw(
        "contributions", "What moves the predictions", caption, height=AXIS_INCHES + ROW_INCHES * n_rows, paint=paint
    )


def subgroups_figure(document: Document) -> DrawnFigure | None:
    """Mean absolute error and bias in subgroups that are large enough."""
    told = [row for row in document["subgroups"] if row["mae"] is not None]
    if len(told) < 2:
        return None
    overall = first_model(document)["assessment"]["metrics"]["mae"]
    unit = document["outcome"]["unit"]
    errors = [IntervalRow(f"{row['column']}: {row['level']} (n = {row['n']})", row["mae"]) for row in told]
    biases = [IntervalRow("", row["bias"]) for row in told]

    def paint(figure: Figure) -> None:
        left, right = figure.subplots(1, 2, sharey=True)
        forest(left, errors, label=f"mean absolute error ({unit}); line: everyone", zero=overall)
        forest(right, biases, label=f"found minus predicted ({unit})")
        left.set_yticks(range(len(errors)), [short(row.label) for row in reversed(errors)])

    caption = "Errors of the first model in subgroups of at least 20 people; differences between them were not tested."
    height = AXIS_INCHES + ROW_INCHES * len(told)
    return draw("subgroups", "Subgroups", caption, height=height, paint=paint)


def _r2_row(model: Document, *, is_first: bool) -> IntervalRow:
    metrics = model["assessment"]["metrics"]
    interval = metrics["r2_interval"]
    return IntervalRow(model_in_words(model["name"]), metrics["r2"], interval["lower"], interval["upper"], is_first)


def _gain_row(model: Document) -> IntervalRow | None:
    gain = model["gain_of_primary"]
    if gain is None:
        return None
    interval = gain["corrected_interval"]
    return IntervalRow("", gain["difference"], interval["lower"], interval["upper"], interval["lower"] > 0)


def _draw_weight(axes: Axes, row: Document, place: float, *, is_filled: bool) -> None:
    colour = signed_colour(row["value"])
    axes.plot([row["lower"], row["upper"]], [place, place], color=colour, linewidth=1.3 if is_filled else 0.8)
    size, inside = (MARK_SIZE, colour) if is_filled else (4.0, "none")
    axes.plot(row["value"], place, "o", color=colour, markersize=size, markerfacecolor=inside)


def _draw_bars(axes: Axes, sizes: Mapping[str, float], *, title: str, unit: str) -> None:
    names = list(reversed(list(sizes)))
    axes.barh(range(len(names)), [sizes[name] for name in names], height=0.6, color=UP)
    axes.set_yticks(range(len(names)), [wrapped(name) for name in names])
    axes.set_ylim(-0.6, len(names) - 0.4)
    if title:
        axes.set_title(title, loc="left", color=INK, fontsize=SMALL)
    axes.set_xlabel(unit)
    quiet_grid(axes, "x")


def _largest(sizes: Mapping[str, float]) -> dict[str, float]:
    names: Sequence[str] = list(sizes)[:MOST_GROUPS]
    return {name.replace("_", " "): sizes[name] for name in names}


def _unit2(document: Document) -> str:
    return f"{document['outcome']['unit']}²"
