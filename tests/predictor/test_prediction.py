from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from predictor.model.bundle import ModelBundle
from predictor.model.outcome_definition import OutcomeDefinition
from predictor.model.person_inputs import person_inputs
from predictor.model.prediction import INTERVAL_LEVEL, _quantile, predict_response


def inputs_of(bundle: ModelBundle, first: float = 0.0) -> np.ndarray:
    features = {name: first if number == 0 else 0.0 for number, name in enumerate(bundle.feature_names)}
    return person_inputs(features, {"caps5_total_baseline": 42.0, "site": "A"}, bundle).values


def test_expectation_interval_and_probability_come_from_the_right_models(bundle: ModelBundle) -> None:
    inputs = inputs_of(bundle)
    prediction = predict_response(bundle, inputs)
    by_fold = bundle.fold_models.predict(inputs)
    for number, arm in enumerate(("ketamine", "midazolam")):
        found = prediction.arms[arm]
        assert found.expected == bundle.model.predict(inputs[np.newaxis])[0, number]
        assert found.interval == bundle.out_of_fold.of_arm(number, level=0.9).interval(by_fold[:, number], level=0.9)
        plausible = by_fold[bundle.out_of_fold.fold_index, number] + bundle.out_of_fold.residual
        assert found.response_probability == np.mean(plausible >= 30.0)


def test_the_benefit_is_the_difference_with_percentiles_of_the_bootstrap(bundle: ModelBundle) -> None:
    inputs = inputs_of(bundle, first=1.0)
    prediction = predict_response(bundle, inputs)
    assert prediction.benefit is not None
    differences = np.diff(bundle.bootstrap_models.predict(inputs)[:, ::-1]).ravel()
    assert prediction.benefit.interval.lower == np.percentile(differences, 5)
    assert prediction.benefit.interval.upper == np.percentile(differences, 95)
    expected = prediction.arms["ketamine"].expected - prediction.arms["midazolam"].expected
    assert prediction.benefit.expected == expected


def test_the_planted_benefit_is_recovered(make_bundle: Any, make_cohort: Any, least_squares: Any) -> None:
    large = make_bundle(make_cohort(n_people=1_500, missing_share=0.0), make_regressor=least_squares)
    for first in (-1.0, 0.0, 1.0):
        benefit = predict_response(large, inputs_of(large, first)).benefit
        assert benefit is not None
        assert benefit.expected == pytest.approx(15 + 8 * first, abs=3.0)
        assert benefit.interval.lower < 15 + 8 * first < benefit.interval.upper


def test_where_lower_is_better_a_lower_outcome_is_a_benefit(bundle: ModelBundle) -> None:
    higher = predict_response(bundle, inputs_of(bundle)).benefit
    outcome = OutcomeDefinition("caps5_total_followup", "points", "lower")
    lower = predict_response(replace(bundle, outcome=outcome), inputs_of(bundle)).benefit
    assert higher is not None
    assert lower is not None
    assert (lower.expected, lower.interval.lower) == (-higher.expected, -higher.interval.upper)


def test_without_a_second_arm_there_is_no_benefit(make_bundle: Callable[..., Any], make_cohort: Any) -> None:
    prognostic = make_bundle(make_cohort(covariates=()))
    prediction = predict_response(prognostic, person_inputs({}, {}, prognostic).values)
    assert list(prediction.arms) == ["all"]
    assert prediction.benefit is None


def test_uncertainty_shares_sum_to_one_and_the_models_grows_far_from_the_training_people(
    make_bundle: Any, least_squares: Any
) -> None:
    dense = make_bundle(make_regressor=least_squares)
    near = predict_response(dense, inputs_of(dense)).uncertainty_shares
    far = predict_response(dense, inputs_of(dense, first=3.0)).uncertainty_shares
    assert sum(near.values()) == pytest.approx(1.0)
    assert sum(far.values()) == pytest.approx(1.0)
    assert 0 < near["model"] < far["model"] < 1


def test_percentiles_of_the_bootstrap_are_numpys(rng: np.random.Generator) -> None:
    for n_models in (1, 2, 19, 20, 100):
        ascending = np.sort(rng.standard_normal(n_models))
        for share in (0.0, (1 - INTERVAL_LEVEL) / 2, 0.5, 1 - (1 - INTERVAL_LEVEL) / 2, 1.0):
            assert _quantile(ascending, share) == pytest.approx(np.quantile(ascending, share), rel=1e-12, abs=1e-14)
