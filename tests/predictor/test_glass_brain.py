from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree

import pytest

from predictor.circuit.circuit import circuit_of_names, load_circuit
from predictor.errors import ExplanationAbsentError, RegionsUnknownError
from predictor.report.glass_brain import VIEWS, glass_brain_svg, outline_path

SVG = "{http://www.w3.org/2000/svg}"


def answer_of(**amounts: float) -> dict[str, Any]:
    items = [
        {"feature": feature, "kind": feature[:4], "contribution": amount, "circuit": "", "value": 0.1, "unit": "1"}
        for feature, amount in amounts.items()
    ]
    return {
        "status": "ok",
        "outcome": {"name": "caps5_percent_improvement", "unit": "percent"},
        "explanation": {"arm": "ketamine", "contributions": items},
    }


@pytest.fixture
def answer() -> dict[str, Any]:
    return answer_of(
        rest_fisher_z__amygdala_L__vmPFC=6.0, gppi_faces__dACC__amygdala_R=-3.0, activation_faces__insula_anterior_L=1.5
    )


def edges_of(svg: str) -> list[dict[str, str]]:
    """Lines between regions, of all views; those of the legend come last and are left out."""
    lines = [line.attrib for line in ElementTree.fromstring(svg).iter(f"{SVG}line")]
    return lines[:-3]


def test_every_pair_is_drawn_once_in_each_view(answer: dict[str, Any]) -> None:
    assert len(edges_of(glass_brain_svg(answer, load_circuit()))) == 2 * len(VIEWS)


def test_width_colour_and_dashes_follow_the_contribution(answer: dict[str, Any]) -> None:
    edges = edges_of(glass_brain_svg(answer, load_circuit()))
    up = [edge for edge in edges if edge["class"] == "figure-up"]
    down = [edge for edge in edges if edge["class"] == "figure-down"]
    assert {edge["stroke-dasharray"] for edge in up} == {"none"}
    assert {edge["stroke-dasharray"] for edge in down} != {"none"}
    assert {float(edge["stroke-width"]) for edge in up} == {8.0}
    assert {float(edge["stroke-width"]) for edge in down} == {4.5}


def test_left_is_left_from_behind_and_from_above() -> None:
    svg = glass_brain_svg(answer_of(rest_fisher_z__amygdala_L__amygdala_R=1.0), load_circuit())
    side, back, top = edges_of(svg)
    for view in (back, top):
        assert float(view["x1"]) < float(view["x2"])  # amygdala_L is the first end
    assert abs(float(side["x1"]) - float(side["x2"])) < 1.0  # one behind the other


def test_the_key_names_every_region_with_its_half_of_each_edge(answer: dict[str, Any]) -> None:
    words = [
        text.text or "" for text in ElementTree.fromstring(glass_brain_svg(answer, load_circuit())).iter(f"{SVG}text")
    ]
    assert "1  left amygdala  +3.0" in words
    assert "4  dACC  −1.5" in words
    assert "5  left anterior insula  +1.5" in words
    assert "Research use only." in words
    assert any("under ketamine, in percentage points" in line for line in words)


def test_the_description_says_it_in_words(answer: dict[str, Any]) -> None:
    description = ElementTree.fromstring(glass_brain_svg(answer, load_circuit())).find(f"{SVG}desc")
    assert description is not None
    assert description.text == (
        "left amygdala and vmPFC +6.0 percentage points; right amygdala and dACC −3.0 percentage points. "
        "Research use only."
    )


def test_nothing_in_it_is_fetched_or_run(answer: dict[str, Any]) -> None:
    svg = glass_brain_svg(answer, load_circuit())
    assert not re.search(r"<script|<style|<image|href|url\(|\bon\w+=", svg)


def test_the_outlines_lie_where_nilearn_lays_them() -> None:
    from nilearn.plotting import glass_brain

    for view, direction in zip(VIEWS, "xyz", strict=True):
        path, transform = glass_brain._get_json_and_transform(direction)
        assert path.name == f"brain_schematics_{view.name}.json"
        matrix = transform.get_matrix()
        assert (matrix[0, 0], matrix[1, 1]) == view.scale
        assert (matrix[0, 2], matrix[1, 2]) == view.offset_mm


@pytest.mark.parametrize("view", ["side", "back", "top"])
def test_an_outline_holds_only_moves_lines_and_curves(view: str) -> None:
    assert re.fullmatch(r"(M[-\d. ]+[LQC][-\d. ]+)+", outline_path(view))


def test_an_answer_by_covariates_alone_is_drawn_without_edges() -> None:
    answer = answer_of(rest=1.0)
    answer["explanation"]["contributions"][0]["kind"] = "clinical"
    svg = glass_brain_svg(answer, load_circuit())
    assert edges_of(svg) == []
    assert "No pair of regions moves the number." in svg


def test_what_has_no_place_is_a_named_error(answer: dict[str, Any]) -> None:
    with pytest.raises(RegionsUnknownError, match="names only"):
        glass_brain_svg(answer, circuit_of_names(["amygdala_L", "vmPFC"], name="table"))
    with pytest.raises(RegionsUnknownError, match="thalamus"):
        glass_brain_svg(answer_of(rest_fisher_z__thalamus__vmPFC=1.0), load_circuit())
    with pytest.raises(ExplanationAbsentError):
        glass_brain_svg({"status": "refused"}, load_circuit())
