"""A result in words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from predictor.model.answer import answer_bytes
from predictor.model.canonical_json import parse_json
from predictor.pipeline import score_features
from serving.kept_results import FoundResult
from serving.model_facts import facts_of
from serving.model_store import LoadedModel, ModelStore
from serving.store.results import KeptResult
from serving.web.result_view import result_view
from serving.web.templating import standalone_page

Features = dict[str, float | None]


@pytest.fixture
def result(store: ModelStore, make_features: Callable[[float], Features]) -> FoundResult:
    """Return the result of a trial whose treatment comes after its control in the alphabet."""
    arms, loaded = ("verum", "placebo"), store.current()
    covariates = tuple(replace(c, levels=arms) if c.role == "arm" else c for c in loaded.bundle.covariates)
    bundle = replace(loaded.bundle, covariates=covariates, model=replace(loaded.bundle.model, arms=arms))
    answer = answer_bytes(score_features(make_features(0.2), {}, bundle, recipe_hash=None, input_digest=None))
    facts = facts_of(LoadedModel(bundle, loaded.version, loaded.loaded_at))
    now = datetime.now(UTC)
    kept = KeptResult("a" * 32, "local", "Visit", now, now + timedelta(hours=5.5), "1", facts.digest, answer)
    return FoundResult(kept, parse_json(answer), facts)


def test_the_benefit_is_that_of_the_treatment_over_the_control_whatever_their_names(result: FoundResult) -> None:
    view = result_view(result)
    assert list(result.answer["arms"]) == ["placebo", "verum"], "the document's keys are sorted"
    assert [arm.name for arm in view.arms] == ["Verum", "Placebo"]
    assert view.benefit.startswith("Benefit of verum over placebo: ")


def test_the_model_is_shown_as_it_stood_when_it_answered(result: FoundResult) -> None:
    assert "(not promoted)" in result_view(result).model
    model = {**result.answer["model"], "promoted": True}
    promoted = replace(result, answer={**result.answer, "model": model}, kept=replace(result.kept, model_version="7"))
    assert result_view(promoted).model.startswith("Model ketamine-response 7 (champion), ")


def test_without_an_explanation_the_sentence_is_about_the_treatment(result: FoundResult) -> None:
    withheld = replace(result, answer={**result.answer, "explanation": None})
    assert "under verum" in result_view(withheld).sentence


def test_a_withheld_explanation_is_said_and_nothing_is_drawn_of_it(result: FoundResult) -> None:
    withheld = replace(result, answer={**result.answer, "explanation": None})
    page = standalone_page("result.html", {"view": result_view(withheld)})
    assert "The explanation is withheld" in page
    assert "Where in the brain" not in page
    assert "Expected improvement" in page


def test_the_page_says_how_long_the_result_stays(result: FoundResult) -> None:
    assert result_view(result).time_left == "5 hours"


def test_the_page_tells_hypo_and_hyperconnectivity_only_where_there_are_controls(result: FoundResult) -> None:
    assert result_view(result).deviations is None
    edge = {"feature": "rest_fisher_z__amygdala_L__<b>", "z": -2.5, "standard_error": 0.3}
    block = {
        "edges": [edge],
        "hypoconnected_edges": 1,
        "hyperconnected_edges": 0,
        "mean": -2.5,
        "n_edges": 1,
        "threshold": 1.96,
        "reference": {"n_people": 40, "expected_given": [], "pooled_over": []},
    }
    view = result_view(replace(result, answer={**result.answer, "deviations": block}))
    page = standalone_page("result.html", {"view": view})
    assert "1 is weaker than expected of controls (hypoconnected)" in page
    assert "−2.50" in page
    assert "<b>" not in page
