from __future__ import annotations

import json
from typing import Any

import pytest

import predictor
from predictor.errors import CircuitMismatchError, ExplanationAbsentError, UsageError
from predictor.model.answer import answer_bytes
from predictor.model.bundle import ModelBundle
from predictor.pipeline import score_features
from predictor.scored_visit import Drawing, ScoredVisit


@pytest.fixture
def scored(bundle: ModelBundle, person: dict[str, Any]) -> ScoredVisit:
    return ScoredVisit(score_features(**person, bundle=bundle))


@pytest.fixture
def refused(bundle: ModelBundle, person: dict[str, Any]) -> ScoredVisit:
    return ScoredVisit(score_features(**{**person, "recipe_hash": "sha256:0"}, bundle=bundle))


def test_it_gives_expectation_and_interval_by_arm(scored: ScoredVisit) -> None:
    assert list(scored.expected) == ["ketamine", "midazolam"]
    for arm, expected in scored.expected.items():
        lower, upper = scored.intervals[arm]
        assert lower < expected < upper


def test_base_value_and_contributions_add_up_to_the_expected_outcome(scored: ScoredVisit) -> None:
    table = scored.contributions()
    explanation = scored.answer["explanation"]
    total = explanation["base_value"] + table["contribution"].sum()
    assert total == pytest.approx(scored.expected[explanation["arm"]])
    assert list(table["contribution"].abs()) == sorted(table["contribution"].abs(), reverse=True)


def test_its_bytes_are_those_of_the_command_line(scored: ScoredVisit) -> None:
    assert scored.to_json() == answer_bytes(scored.answer)
    assert json.loads(scored.to_json())["research_use_only"] is True


def test_one_line_and_table_say_numbers_with_intervals_reasons_and_what_for(scored: ScoredVisit) -> None:
    line, html = repr(scored), scored._repr_html_()
    assert line.startswith("ScoredVisit(")
    assert "research use only" in line
    assert "ketamine" in line
    assert "[" in line
    assert scored.sentence in html
    assert "Research use only." in html
    assert "people like this one, not this individual" in html
    assert all(reason["detail"] in html for reason in scored.answer["reasons"])


def test_a_refusal_shows_reasons_and_no_number(refused: ScoredVisit) -> None:
    assert refused.status == "refused"
    assert refused.expected == {}
    assert refused.intervals == {}
    assert "recipe-mismatch (refuse)" in refused.reasons[0]
    assert "No prediction is given for this visit." in refused._repr_html_()
    assert "refused" in repr(refused)
    for draw in (refused.contributions, refused.waterfall, refused.interval_figure):
        with pytest.raises(ExplanationAbsentError):
            draw()


def test_a_withheld_explanation_leaves_the_numbers(scored: ScoredVisit) -> None:
    withheld = ScoredVisit({**scored.answer, "explanation": None})
    assert withheld.expected == scored.expected
    assert "The explanation is withheld." in withheld._repr_html_()
    with pytest.raises(ExplanationAbsentError):
        withheld.waterfall()


def test_drawings_show_in_notebooks_and_can_be_kept(scored: ScoredVisit, tmp_path: Any) -> None:
    for drawing in (scored.waterfall(n_top=3), scored.interval_figure()):
        assert isinstance(drawing, Drawing)
        assert drawing._repr_svg_().startswith("<svg")
        assert "bytes of SVG" in repr(drawing)
        drawing.save(tmp_path / "figure.svg")
        assert (tmp_path / "figure.svg").read_text(encoding="utf-8") == drawing.svg


def test_texts_of_a_model_are_escaped(scored: ScoredVisit) -> None:
    outcome = {**scored.answer["outcome"], "response_rule": "<img src=x onerror=alert(1)>"}
    html = ScoredVisit({**scored.answer, "outcome": outcome})._repr_html_()
    assert "<img" not in html
    assert "&lt;img" in html


def test_covariates_in_the_place_of_the_model_are_named(report_session: Any, bundle: ModelBundle) -> None:
    with pytest.raises(UsageError, match="expected a model as second argument, found dict"):
        predictor.score_session(report_session, {"caps5_total_baseline": 42}, covariates={})  # type: ignore[arg-type]


def test_a_visit_read_for_other_places_of_the_same_names_is_not_measured(report_session: Any) -> None:
    from dataclasses import replace

    recipe = predictor.default_recipe()
    first = recipe.circuit.regions[0]
    moved = replace(recipe.circuit, regions=(replace(first, radius_mm=3.0), *recipe.circuit.regions[1:]))
    runs = tuple(replace(run, recording=replace(run.recording, circuit=moved)) for run in report_session.runs)
    with pytest.raises(CircuitMismatchError, match=f"{first.name} is not the same in both") as caught:
        predictor.extract_features(replace(report_session, runs=runs), recipe)
    assert "recipe=bundle.recipe" in caught.value.remedy


def test_fewer_regions_of_the_same_places_can_be_measured(report_session: Any, report_recipe: Any) -> None:
    from dataclasses import replace

    circuit = report_recipe.circuit
    names = circuit.region_names[:3]
    fewer = replace(
        circuit,
        regions=circuit.regions[:3],
        edges=tuple(edge for edge in circuit.edges if {edge.source, edge.target} <= set(names)),
    )
    runs = tuple(replace(run, recording=replace(run.recording, circuit=circuit)) for run in report_session.runs)
    recipe = replace(report_recipe, circuit=fewer, families=("rest_fisher_z",))
    vector = predictor.extract_features(replace(report_session, runs=runs), recipe)
    assert len(vector.names) == len(fewer.edges)
