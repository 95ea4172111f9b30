from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from predictor.report.intervals import arm_in_words, intervals_svg

SVG = "{http://www.w3.org/2000/svg}"


def _arm(expected: float, lower: float, upper: float) -> dict[str, Any]:
    return {"expected": expected, "interval": {"level": 0.9, "lower": lower, "upper": upper}}


@pytest.fixture
def answer() -> dict[str, Any]:
    arms = {"ketamine": _arm(41.2, 12.0, 70.3), "midazolam": _arm(22.8, -6.1, 51.9)}
    return {"outcome": {"name": "caps5_percent_improvement", "unit": "percent"}, "arms": arms}


def _shapes(answer: dict[str, Any], tag: str, style_class: str, **options: Any) -> list[dict[str, str]]:
    drawing = ElementTree.fromstring(intervals_svg(answer, **options))
    return [shape.attrib for shape in drawing.iter(SVG + tag) if shape.attrib.get("class") == style_class]


def test_points_and_lines_stand_where_the_numbers_say(answer: dict[str, Any]) -> None:
    points = [float(point["cx"]) for point in _shapes(answer, "circle", "figure-up")]
    bars = [bar for bar in _shapes(answer, "line", "figure-up") if bar["y1"] == bar["y2"]]
    values = [41.2, 22.8, 12.0, -6.1, 70.3, 51.9]
    pixels = [*points, *(float(bar["x1"]) for bar in bars), *(float(bar["x2"]) for bar in bars)]
    slope, start = np.polyfit(values, pixels, 1)
    assert slope > 0
    assert pixels == pytest.approx([start + slope * value for value in values], abs=0.2)


def test_training_outcomes_are_drawn_behind_their_arm(answer: dict[str, Any], rng: np.random.Generator) -> None:
    outcomes = {"ketamine": rng.normal(40, 15, 60), "midazolam": rng.normal(20, 15, 60)}
    assert len(_shapes(answer, "rect", "figure-crowd", training_outcomes=outcomes)) > 8
    assert not _shapes(answer, "rect", "figure-crowd")


def test_an_arm_of_few_people_is_not_drawn_so_that_nobody_can_be_picked_out(answer: dict[str, Any]) -> None:
    outcomes = {"ketamine": np.arange(14.0), "midazolam": np.arange(14.0)}
    assert not _shapes(answer, "rect", "figure-crowd", training_outcomes=outcomes)


def test_an_arm_is_put_into_words() -> None:
    assert arm_in_words("ketamine", _arm(41.2, 12.0, 70.3), "percent") == "ketamine: 41 %, 90 % interval 12 % to 70 %"
