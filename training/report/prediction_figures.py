"""Figures of what was predicted and what was found: out-of-fold scatter, calibration, decision curve, chance level."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from predictor.report.themed_figure import DOWN, INK, MUTED, UP, WIDTH_INCHES
from training.report.figure_frame import DrawnFigure, draw, legend, quiet_grid
from training.report.record_parts import first_model
from training.report.record_reading import is_reported, outcome_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Bins = Sequence[Mapping[str, Any]]
Document = Mapping[str, Any]

SQUARE_INCHES = 4.6
N_HISTOGRAM_BINS = 30


def prediction_figure(document: Document, predictions: pd.DataFrame | None) -> DrawnFigure | None:
    """Predicted against found, out of fold: everyone where predictions are given, means of bins where they are not."""
    bins = document["calibration_bins"]
    if len(bins) < 2:
        return None
    people = None if predictions is None else _people(document, predictions)
    width = (document["coverage"] or {}).get("mean_width")
    who = "One dot per person (mean over repeats)" if people is not None else "No single person is shown"
    band = "" if width is None else f" Shaded: the mean width of the {_promised(document)} prediction intervals."
    caption = (
        f"{who}; bars: means of at least five people in the order of their prediction, with one standard deviation of "
        f"what was found. On the dashed line, predicted equals found. Predictions are counted from the mean of their "
        f"training people.{band} How near one dot lies to the line says nothing about that person's treatment."
    )

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        held = _held(bins, people)
        axes.plot(held, held, color=MUTED, linewidth=1, linestyle="--")
        if width is not None:
            axes.fill_between(held, held - width / 2, held + width / 2, color=MUTED, alpha=0.12, linewidth=0)
        if people is not None:
            axes.plot(*people, "o", color=UP, alpha=0.55, markersize=4, markeredgewidth=0, label="one person")
        _draw_bins(axes, bins, people is None)
        axes.set_xlabel(f"predicted {outcome_words(document)}")
        axes.set_ylabel(f"found {outcome_words(document)}")
        quiet_grid(axes)
        if people is not None and bins:
            legend(axes, loc="upper left")

    return draw("predictions", "Predicted and found", caption, height=SQUARE_INCHES, paint=paint)


def calibration_figure(document: Document) -> DrawnFigure | None:
    """Calibration of the outcome, and of the response probability where there is one."""
    assessment = first_model(document)["assessment"]
    calibration, groups = assessment["calibration"], assessment["response_groups"]
    bins = document["calibration_bins"]
    has_outcome, has_response = is_reported(calibration) and len(bins) > 1, is_reported(groups)
    if not (has_outcome or has_response):
        return None
    left, right = ("Left: ", "Right: ") if has_outcome and has_response else ("", "")
    parts = []
    if has_outcome:
        slope = calibration["slope_interval"]
        parts.append(
            f"{left}slope {calibration['slope']:.2f} [{slope['lower']:.2f}, {slope['upper']:.2f}] of found on "
            "predicted, counted from the training means; 1 is ideal, below 1 predictions are too extreme. It is about "
            "groups: a well calibrated prediction can still be wrong for most people."
        )
    if has_response:
        parts.append(
            f"{right}share of responders in groups of equal size by predicted probability, with 95 % Wilson intervals."
        )

    caption = " ".join(part[0].upper() + part[1:] for part in parts)

    def paint(figure: Figure) -> None:
        panels = iter(np.atleast_1d(figure.subplots(1, int(has_outcome) + int(has_response))))
        if has_outcome:
            _draw_outcome_calibration(next(panels), document, calibration)
        if has_response:
            _draw_response_calibration(next(panels), groups)

    width = WIDTH_INCHES if has_outcome and has_response else 5.2
    return draw("calibration", "Calibration", caption, height=3.9, paint=paint, width=width)


def decision_figure(document: Document) -> DrawnFigure | None:
    """Net benefit of treating those whose response probability reaches a threshold."""
    curve = first_model(document)["assessment"]["decision_curve"]
    if not is_reported(curve):
        return None
    at = np.array([row["thresholds"] for row in curve])
    model, everyone = (np.array([row[name] for row in curve]) for name in ("model", "treat_all"))
    gain = np.array([(row["gain_lower"], row["gain_upper"]) for row in curve])
    better = np.maximum(everyone, 0.0)
    caption = (
        "Net benefit per person: responders found, less others treated in vain at the odds that the threshold stands "
        "for. Shaded: 95 % interval of the gain over the better of treating all and treating no one (0). It holds "
        "where responders are as frequent as here, and is no advice to treat or not."
    )

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        axes.fill_between(at, better + gain[:, 0], better + gain[:, 1], color=UP, alpha=0.18, linewidth=0)
        axes.plot(at, model, color=UP, linewidth=1.8, label="by the model")
        axes.plot(at, everyone, color=DOWN, linewidth=1.3, linestyle="--", label="treat all")
        axes.axhline(0, color=INK, linewidth=1, label="treat no one")
        axes.set_ylim(bottom=max(-0.25, float(min(everyone.min(), model.min()))) - 0.03)
        axes.set_xlabel("threshold of the response probability")
        axes.set_ylabel("net benefit per person")
        quiet_grid(axes)
        legend(axes, loc="upper right")

    return draw("decision_curve", "Decision curve", caption, height=3.4, paint=paint)


def permutation_figure(document: Document) -> DrawnFigure | None:
    """R2 of permuted outcomes, and of the true one."""
    test = document["permutation"]
    null = np.array(test["null_r2"])
    if not len(null):
        return None
    observed = test["observed_r2"]
    caption = (
        f"R2 of one cross-validation with the outcomes permuted {len(null)} times (grey, mean {null.mean():.2f}) and "
        f"with the true ones ({observed:.2f}); p = {test['p_value']:.3g}. Null hypothesis: {test['null_hypothesis']}. "
        "A small p says that the prediction is better than chance, not that it is good."
    )

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        bins = np.linspace(min(null.min(), observed), max(null.max(), observed), N_HISTOGRAM_BINS + 1)
        axes.hist(null, bins=bins.tolist(), color=MUTED, alpha=0.6)
        axes.axvline(observed, color=UP, linewidth=2)
        side = "right" if observed > null.mean() else "left"
        axes.annotate(
            f"observed {observed:.2f}", (observed, 0.94), xycoords=("data", "axes fraction"), ha=side, color=INK,
            xytext=(-6 if side == "right" else 6, 0), textcoords="offset points",
        )  # fmt: skip
        axes.set_xlabel("R2 of one cross-validation")
        axes.set_ylabel("permutations")
        quiet_grid(axes, "y")

    return draw("permutation_null", "Chance level", caption, height=2.7, paint=paint)


def _people(document: Document, predictions: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Mean prediction over repeats and outcome of everyone, by the first model."""
    rows = predictions[predictions["model"] == first_model(document)["name"]]
    # From the training means, as in the bins; see `counted_from_training_mean`.
    above = (rows["prediction"] - rows["training_mean"]).groupby(rows["participant_id"], sort=False).mean()
    found = rows.groupby("participant_id", sort=False)["outcome"].mean()
    return (above + found.mean()).to_numpy(), found.to_numpy()


def _held(bins: Bins, people: tuple[np.ndarray, np.ndarray] | None) -> np.ndarray:
    """Lowest and highest value of the prediction axis."""
    predicted = [one["predicted_mean"] for one in bins] if people is None else people[0]
    air = 0.06 * float(np.ptp(predicted)) or 1.0
    return np.array([np.min(predicted) - air, np.max(predicted) + air])


def _draw_bins(axes: Axes, bins: Bins, is_alone: bool) -> None:
    colour = UP if is_alone else INK
    axes.errorbar(
        [one["predicted_mean"] for one in bins], [one["observed_mean"] for one in bins],
        yerr=[one["observed_sd"] for one in bins], fmt="D", color=colour, markersize=5, linewidth=1.2, capsize=3,
        label="mean of a bin, ± 1 SD",
    )  # fmt: skip


def _draw_outcome_calibration(axes: Axes, document: Document, calibration: Document) -> None:
    bins = document["calibration_bins"]
    predicted = np.array([one["predicted_mean"] for one in bins])
    found = np.array([one["observed_mean"] for one in bins])
    errors = [1.96 * one["observed_sd"] / np.sqrt(one["n"]) for one in bins]
    centre = np.average(predicted, weights=[one["n"] for one in bins])
    level = np.average(found, weights=[one["n"] for one in bins])
    ends = np.array([predicted.min(), predicted.max()])
    slope = calibration["slope_interval"]
    axes.plot(ends, ends, color=MUTED, linestyle="--", linewidth=1, label="ideal")
    edges = [level + one * (ends - centre) for one in (slope["lower"], slope["upper"])]
    axes.fill_between(ends, np.minimum(*edges), np.maximum(*edges), color=UP, alpha=0.15, linewidth=0)
    axes.plot(ends, level + calibration["slope"] * (ends - centre), color=UP, linewidth=1.6, label="slope, 95 %")
    axes.errorbar(predicted, found, yerr=errors, fmt="D", color=INK, markersize=4, linewidth=1, capsize=2)
    axes.set_xlabel(f"predicted {outcome_words(document)}, means of bins")
    axes.set_ylabel("found, mean with 95 % interval")
    quiet_grid(axes)
    legend(axes, loc="upper left")


def _draw_response_calibration(axes: Axes, groups: Bins) -> None:
    predicted = np.array([one["predicted"] for one in groups])
    found = np.array([one["observed"] for one in groups])
    bounds = np.array([(one["observed"] - one["lower"], one["upper"] - one["observed"]) for one in groups]).T
    axes.plot([0, 1], [0, 1], color=MUTED, linestyle="--", linewidth=1)
    axes.errorbar(
        predicted, found, yerr=np.maximum(bounds, 0), fmt="D", color=UP, markersize=5, linewidth=1.2, capsize=3
    )
    axes.set_xlim(-0.04, 1.04)
    axes.set_ylim(-0.04, 1.04)
    axes.set_xlabel("predicted probability of a response")
    axes.set_ylabel("share who responded")
    quiet_grid(axes)


def _promised(document: Document) -> str:
    return f"{100 * document['coverage']['promised']:.0f} %"
