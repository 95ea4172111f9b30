from __future__ import annotations

import copy
import re
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from predictor.errors import ExplanationError
from predictor.report.waterfall import waterfall_rows, waterfall_svg

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def answer(rng: np.random.Generator) -> dict[str, Any]:
    """Return the parts of an answer that the drawing needs: 14 contributions that add up."""
    contributions = [
        {
            "feature": f"rest_fisher_z__amygdala_L__region{number}",
            "value": 0.2,
            "unit": "fisher_z",
            "contribution": value,
        }
        for number, value in enumerate(rng.normal(0, 3, 14).tolist())
    ]
    output = 33.0 + sum(item["contribution"] for item in contributions)
    explanation = {"arm": "ketamine", "base_value": 33.0, "output": output, "contributions": contributions}
    return {"outcome": {"name": "caps5_percent_improvement", "unit": "percent"}, "explanation": explanation}


def test_ten_largest_inputs_then_the_sum_of_the_others(answer: dict[str, Any]) -> None:
    rows = waterfall_rows(answer)
    sizes = sorted((abs(item["contribution"]) for item in answer["explanation"]["contributions"]), reverse=True)
    assert [row.role for row in rows] == ["base", *["input"] * 10, "rest", "total"]
    assert [abs(row.end - row.start) for row in rows[1:11]] == pytest.approx(sizes[:10])
    assert rows[11].label == "4 other inputs together"


def test_steps_lead_from_the_base_value_to_the_output_without_a_gap(answer: dict[str, Any]) -> None:
    base, *steps, total = waterfall_rows(answer)
    level = base.end
    for step in steps:
        assert step.start == level
        level = step.end
    assert level == pytest.approx(answer["explanation"]["output"], abs=1e-9)
    assert total.end == answer["explanation"]["output"]


def test_refuses_to_draw_contributions_that_do_not_add_up(answer: dict[str, Any]) -> None:
    answer["explanation"]["contributions"][3]["contribution"] += 1e-3
    with pytest.raises(ExplanationError, match="steps end at"):
        waterfall_svg(answer)


def test_bars_are_as_long_as_contributions_and_point_their_way(answer: dict[str, Any]) -> None:
    drawing = ElementTree.fromstring(waterfall_svg(answer))
    drawn = []
    for path in drawing.iter(f"{SVG}path"):
        corners = [float(number) for number in re.findall(r"(-?[\d.]+),", path.attrib["d"])]
        drawn.append((corners[2] - corners[0], path.attrib["class"]))
    expected = [row.end - row.start for row in waterfall_rows(answer)[1:-1]]
    scale = drawn[0][0] / expected[0]
    assert scale > 0
    for (length, style_class), change in zip(drawn, expected, strict=True):
        assert style_class == ("figure-up" if change >= 0 else "figure-down")
        assert length == pytest.approx(change * scale, abs=0.3) or abs(change * scale) < 1


@pytest.mark.parametrize("width", [360, 720])
def test_nothing_sticks_out_of_the_drawing(answer: dict[str, Any], width: float) -> None:
    drawing = ElementTree.fromstring(waterfall_svg(answer, width=width))
    _, _, right, bottom = (float(number) for number in drawing.attrib["viewBox"].split())
    for text in drawing.iter(f"{SVG}text"):
        assert 0 <= float(text.attrib["x"]) < right
        assert 0 < float(text.attrib["y"]) < bottom


def test_names_and_values_cannot_become_markup(answer: dict[str, Any]) -> None:
    hostile = copy.deepcopy(answer)
    hostile["explanation"]["contributions"][0] |= {
        "feature": "<script>x</script>",
        "value": '"><b>',
        "contribution": 50,
    }
    hostile["explanation"]["output"] += 50 - answer["explanation"]["contributions"][0]["contribution"]
    drawing = waterfall_svg(hostile)
    assert "<script" not in drawing
    assert "<b>" not in drawing
    ElementTree.fromstring(drawing)


def test_a_screen_reader_hears_every_step(answer: dict[str, Any]) -> None:
    description = ElementTree.fromstring(waterfall_svg(answer)).findtext(f"{SVG}desc") or ""
    assert description.count(";") == len(waterfall_rows(answer)) - 1
    assert "Average of the training visits 33.0 %" in description


@pytest.mark.parametrize("width", [360, 720])
def test_the_drawing_alone_says_what_it_may_be_used_for(answer: dict[str, Any], width: float) -> None:
    assert ">Research use only.</text>" in waterfall_svg(answer, width=width)
