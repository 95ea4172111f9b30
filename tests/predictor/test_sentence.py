from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from predictor.model.bundle import ModelBundle
from predictor.model.explanation import explain
from predictor.model.outcome_definition import OutcomeDefinition
from predictor.model.person_inputs import person_inputs
from predictor.model.sentence import explanation_sentence


def sentence(bundle: ModelBundle, features: dict[str, float | None], covariates: dict[str, Any] | None = None) -> str:
    person = person_inputs(features, covariates or {}, bundle)
    return explanation_sentence(explain(bundle, person, arm=bundle.arms[0]), bundle)


@pytest.fixture(scope="module")
def only_features(make_bundle: Any, make_cohort: Any) -> ModelBundle:
    """Return a model that uses the first feature, upwards, and no covariate but the arm."""
    cohort = make_cohort()
    arm = tuple(covariate for covariate in cohort.covariates if covariate.role == "arm")
    return make_bundle(replace(cohort, covariates=arm, table=cohort.table[[*cohort.feature_names, "arm"]]))


def test_the_driver_is_named_with_its_direction_and_the_outcomes_unit(only_features: ModelBundle) -> None:
    features = dict.fromkeys(only_features.feature_names, 0.0)
    high = sentence(only_features, {**features, only_features.feature_names[0]: 2.0})
    low = sentence(only_features, {**features, only_features.feature_names[0]: -2.0})
    named = "mostly because the resting connectivity between amygdala_L and vmPFC is"
    assert high.startswith("The expected improvement is ")
    assert " percent, " in high
    assert " above the average of the people the model learned from, " in high
    assert f"{named} higher than in the average person." in high
    assert " below the average " in low
    assert f"{named} lower than in the average person." in low


def test_an_average_person_is_called_average(only_features: ModelBundle) -> None:
    mean = dict(zip(only_features.feature_names, only_features.training_range.mean, strict=True))
    words = sentence(only_features, {name: float(value) for name, value in mean.items()})
    assert words.endswith("about the average of the people the model learned from; no single measure stands out.")


def test_an_input_that_was_not_measured_is_no_reason(only_features: ModelBundle) -> None:
    lopsided = replace(only_features.model, impute_values=np.full(len(only_features.feature_names), 3.0))
    words = sentence(replace(only_features, model=lopsided), {})
    assert "amygdala" not in words
    assert "no single measure stands out" in words


def test_many_small_influences_are_called_that(make_bundle: Any, make_cohort: Any, least_squares: Any) -> None:
    wide = make_bundle(make_cohort(n_features=40, covariates=(), missing_share=0.0), make_regressor=least_squares)
    even = replace(wide, model=replace(wide.model, coefficients=np.ones((1, 40))))
    words = sentence(even, dict.fromkeys(wide.feature_names, 0.9))
    assert "many small influences add up" in words
    assert "mostly" not in words


def test_a_model_without_brain_features_says_so(
    make_bundle: Any, least_squares: Any, only_features: ModelBundle
) -> None:
    bundle = make_bundle(make_regressor=least_squares)
    no_features = bundle.model.coefficients.copy()
    no_features[:, : len(bundle.definitions)] = 0.0
    clinical = replace(bundle, model=replace(bundle.model, coefficients=no_features))
    words = sentence(clinical, {}, {"caps5_total_baseline": 60.0})
    assert "this model uses no brain feature; what is expected rests on caps5 total baseline and site alone." in words
    constant = replace(
        only_features, model=replace(only_features.model, coefficients=np.zeros_like(only_features.model.coefficients))
    )
    assert "uses no brain feature and expects the same of everyone" in sentence(constant, {})


def test_another_outcome_is_named_as_it_is(only_features: ModelBundle) -> None:
    pain = replace(only_features, outcome=OutcomeDefinition("pain_sensitivity", "z", "lower"))
    assert sentence(pain, {}).startswith("The expected pain sensitivity is ")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (4.0, r"amPFC and vmPFC lies \d\.\d standard deviations above what is expected of controls"),
        (-4.0, r"amPFC and vmPFC lies \d\.\d standard deviations below what is expected of controls"),
        (0.6, "amPFC and vmPFC is about what is expected of controls"),
    ],
)
def test_a_connection_that_acts_by_its_deviation_is_told_against_the_controls(
    deviation_bundle: ModelBundle, value: float, words: str
) -> None:
    names = deviation_bundle.feature_names
    only = np.zeros_like(deviation_bundle.model.coefficients)
    only[:, deviation_bundle.model.input_names.index("deviation_rest__amPFC__vmPFC")] = 30.0
    bundle = replace(deviation_bundle, model=replace(deviation_bundle.model, coefficients=only))
    found = sentence(bundle, {**dict.fromkeys(names, 0.0), names[3]: value}, {"age": 40.0, "sex": "F"})
    assert re.search(words, found), found
