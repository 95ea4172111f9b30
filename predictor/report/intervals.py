"""Expected improvement per arm with its interval, drawn over what the training visits showed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from predictor.report.palette import LIGHT
from predictor.report.svg import Axis, axis_around, element, figure, text
from predictor.report.wording import in_percent, outcome_in_words, quantity

N_BINS = 16
# A bin with fewer people could point at one of them.
MIN_PEOPLE_PER_ARM = 15
NARROW_PIXELS = 520
ROW_PIXELS = 96.0


def intervals_svg(
    answer: Mapping[str, Any],
    *,
    training_outcomes: Mapping[str, NDArray[np.float64]] | None = None,
    width: float = 720,
) -> str:
    """Draw every arm's expected improvement and interval as one SVG.

    Parameters
    ----------
    answer
        An answer document with arms.
    training_outcomes
        Outcomes of the training visits by arm, shape (n_visits,) each, drawn as a histogram behind; an arm with fewer
        than 15 is left out.
    width
        Width in pixels.
    """
    arms = answer["arms"]
    crowd = {arm: values for arm, values in (training_outcomes or {}).items() if values.size >= MIN_PEOPLE_PER_ARM}
    is_narrow = width < NARROW_PIXELS
    axis = axis_around(_held(arms, crowd), left=12 if is_narrow else 128, right=width - 14)
    bottom = ROW_PIXELS * len(arms) + 4
    outcome = answer["outcome"]
    shapes = axis.draw(top=4, bottom=bottom, label=f"{outcome_in_words(outcome['name'])} ({outcome['unit']})")
    for index, (arm, prediction) in enumerate(arms.items()):
        base = ROW_PIXELS * (index + 1) - 6
        if arm in crowd:
            shapes += _draw_crowd(crowd[arm], axis, base=base)
        shapes += _draw_arm(arm, prediction, axis, base=base, unit=outcome["unit"], is_narrow=is_narrow)
    description = "; ".join(arm_in_words(arm, prediction, outcome["unit"]) for arm, prediction in arms.items())
    return figure(
        shapes, width=width, height=bottom + 44, title="Expected improvement with interval", description=description
    )


def arm_in_words(arm: str, prediction: Mapping[str, Any], unit: str) -> str:
    """One arm's expectation and interval as a phrase."""
    interval = prediction["interval"]
    bounds = f"{quantity(interval['lower'], unit)} to {quantity(interval['upper'], unit)}"
    name = "this visit" if arm == "all" else arm
    return f"{name}: {quantity(prediction['expected'], unit)}, {in_percent(interval['level'])} interval {bounds}"


def _held(arms: Mapping[str, Any], crowd: Mapping[str, NDArray[np.float64]]) -> list[float]:
    bounds = [arm["interval"][end] for arm in arms.values() for end in ("lower", "upper")]
    outcomes = [float(limit) for values in crowd.values() for limit in (values.min(), values.max())]
    return [*bounds, *outcomes, 0.0]


def _draw_crowd(values: NDArray[np.float64], axis: Axis, *, base: float) -> list[str]:
    counts, edges = np.histogram(values, bins=N_BINS, range=(axis.lower, axis.upper))
    tallest = 30.0
    heights = counts / counts.max() * tallest
    return [
        element(
            "rect",
            style_class="figure-crowd",
            x=axis.x(left) + 0.5,
            y=base - height,
            width=max(axis.x(right) - axis.x(left) - 1, 1),
            height=height,
        )
        for left, right, height in zip(edges[:-1], edges[1:], heights, strict=True)
        if height
    ]


def _draw_arm(
    arm: str, prediction: Mapping[str, Any], axis: Axis, *, base: float, unit: str, is_narrow: bool
) -> list[str]:
    interval = prediction["interval"]
    low, high, middle = axis.x(interval["lower"]), axis.x(interval["upper"]), axis.x(prediction["expected"])
    y = base - 44
    caps = [
        element("line", style_class="figure-up", x1=x, x2=x, y1=y - 8, y2=y + 8, stroke_width=2.5) for x in (low, high)
    ]
    bar = element("line", style_class="figure-up", x1=low, x2=high, y1=y, y2=y, stroke_width=3)
    point = element("circle", style_class="figure-up", cx=middle, cy=y, r=7, stroke=LIGHT["paper"], stroke_width=2)
    number = text(
        quantity(prediction["expected"], unit), x=middle, y=y - 13, size=14, font_weight="600", text_anchor="middle"
    )
    name = "All" if arm == "all" else arm.capitalize()
    label = text(name, x=12, y=base - 76 if is_narrow else y + 5, size=14, font_weight="600")
    return [bar, *caps, point, number, label]
