"""Methods of an answer, from what was really used."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from serving.model_facts import ModelFacts, facts_of
from serving.model_store import ModelStore
from serving.web.methods_view import methods_of

RUN = {"n_volumes": 240, "n_volumes_kept": 236, "confound_strategy": "motion24_wm_csf", "fallback_reason": None}


@pytest.fixture
def facts(store: ModelStore) -> ModelFacts:
    return facts_of(store.current())


def answer(**changed: Any) -> dict[str, Any]:
    """Return what the methods read of an answer."""
    return {"quality": {"rest": RUN}, "arms": {"all": {}}, "explanation": {"contributions": []}, **changed}


def said(found: dict[str, Any], facts: ModelFacts) -> str:
    """Return all paragraphs as one text."""
    return " ".join(words for _, words in methods_of(found, facts).paragraphs)


def test_only_families_that_the_card_names_are_described_and_cited(facts: ModelFacts) -> None:
    rest = replace(facts, card={"model": "elastic_net", "feature_families": ["rest_fisher_z"]})
    methods = methods_of(answer(), rest)
    words = " ".join(paragraph for _, paragraph in methods.paragraphs)
    cited = {reference.short for reference in methods.references}
    assert "Fisher z" in words
    assert "elastic net" in words
    assert "psychophysiological" not in words
    assert not {"McLaren et al., 2012", "Ledoit & Wolf, 2004"} & cited
    both = replace(facts, card={"feature_families": ["gppi_faces", "rest_partial"]})
    assert {"McLaren et al., 2012", "Ledoit & Wolf, 2004"} <= {
        one.short for one in methods_of(answer(), both).references
    }


def test_every_reference_stands_in_the_text(facts: ModelFacts) -> None:
    methods = methods_of(answer(), replace(facts, card={"model": "ridge", "feature_families": ["gppi_faces"]}))
    words = " ".join(paragraph for _, paragraph in methods.paragraphs)
    assert methods.references
    assert all(reference.short in words for reference in methods.references)


@pytest.mark.parametrize(
    ("model", "work"), [("ridge", "Lundberg & Lee, 2017"), ("random_forest", "Lundberg et al., 2020")]
)
def test_contributions_are_told_as_the_kind_of_model_makes_them(facts: ModelFacts, model: str, work: str) -> None:
    words = said(answer(), replace(facts, card={"model": model}))
    assert work in words
    assert ("pass the nodes" in words) == (model == "random_forest")


def test_the_recipes_own_numbers_are_told(facts: ModelFacts) -> None:
    assert facts.recipe is not None
    recipe = replace(facts.recipe, high_pass_hz=0.02, low_pass_hz=None, censor_framewise_displacement_mm=0.31)
    words = said(answer(), replace(facts, recipe=recipe, card={"feature_families": ["rest_fisher_z"]}))
    assert "0.02 Hz" in words
    assert "0.31 mm" in words


def test_a_fallback_and_the_volumes_used_are_told(facts: ModelFacts) -> None:
    run = {**RUN, "confound_strategy": "motion6", "fallback_reason": "the table has no CSF"}
    words = said(answer(quality={"rest": run}), facts)
    assert "236 of 240" in words
    assert "six head-motion parameters" in words
    assert "the table has no CSF" in words


def test_features_that_were_sent_are_not_told_as_scans_that_were_read(facts: ModelFacts) -> None:
    words = said(answer(quality={}), facts)
    assert "no scan was read here" in words
    assert "volumes were used" not in words


def test_a_refused_answer_claims_no_interval_and_no_explanation(facts: ModelFacts) -> None:
    words = said({"quality": {}}, facts)
    assert "interval" not in words
    assert "Shapley" not in words
