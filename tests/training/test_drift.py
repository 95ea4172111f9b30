from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from predictor.model.bundle import ModelBundle
from predictor.model.out_of_fold import OutOfFoldResiduals
from training.locked.drift import feature_drift, performance_drift
from training.locked.locked_reference import QUANTILES, reference_of


def people_like(bundle: ModelBundle, rng: np.random.Generator, *, n_people: int = 80) -> np.ndarray:
    training = bundle.training_range
    return training.mean + training.sd * rng.standard_normal((n_people, len(training.mean)))


def test_a_shifted_input_is_found_and_comes_first(complete_bundle: ModelBundle, rng: np.random.Generator) -> None:
    inputs = people_like(complete_bundle, rng)
    inputs[:, 0] += 1.5 * complete_bundle.training_range.sd[0]
    drift = feature_drift(inputs, complete_bundle, reference_of(complete_bundle).quantiles)
    first = drift.inputs[0]
    assert first.name == complete_bundle.model.input_names[0]
    assert first.mean_difference == pytest.approx(1.5, abs=0.4)
    assert first.ks_p_value is not None
    assert first.ks_p_value < 0.001
    assert first.outside_range is not None
    assert first.outside_range > 0.1


def test_people_like_those_of_training_seldom_differ(complete_bundle: ModelBundle, rng: np.random.Generator) -> None:
    # Against quantiles of a normal distribution, so that the training draw itself is no part of the test.
    training = complete_bundle.training_range
    normal = stats.norm.ppf(np.clip(QUANTILES, 0.005, 0.995))
    quantiles = {
        name: mean + sd * normal
        for name, mean, sd in zip(complete_bundle.model.input_names, training.mean, training.sd, strict=True)
    }
    found = [
        feature_drift(people_like(complete_bundle, rng), complete_bundle, quantiles).n_shifted > 0 for _ in range(60)
    ]
    assert np.mean(found) <= 0.1


def test_an_input_that_hardly_anyone_has_is_not_tested(complete_bundle: ModelBundle, rng: np.random.Generator) -> None:
    inputs = people_like(complete_bundle, rng)
    inputs[3:, 0] = np.nan
    drift = feature_drift(inputs, complete_bundle, reference_of(complete_bundle).quantiles)
    one = next(found for found in drift.inputs if found.name == complete_bundle.model.input_names[0])
    assert (one.mean_difference, one.ks_p_value) == (None, None)
    assert one.missing == pytest.approx(77 / 80)


def test_indicators_are_compared_by_their_means_only(complete_bundle: ModelBundle, rng: np.random.Generator) -> None:
    drift = feature_drift(
        people_like(complete_bundle, rng),
        complete_bundle,
        {name: np.array([0.0] * 10 + [1.0] * 11) for name in complete_bundle.model.input_names},
    )
    assert drift.n_tested == 0


def test_errors_that_grow_are_told_with_an_interval(rng: np.random.Generator) -> None:
    outcome, error = rng.normal(20, 10, 200), rng.normal(0, 4, 200)
    residuals = OutOfFoldResiduals(np.arange(200) % 10, np.zeros(200, dtype=np.int64), outcome - error, error)
    here = rng.normal(20, 10, 150)
    worse = performance_drift(residuals, here + 5 + 8 * rng.standard_normal(150), here, training_mean=20.0, seed=1)
    assert worse["mae"].difference > 0
    assert worse["mae"].difference_interval.lower > 0
    assert worse["bias"].here == pytest.approx(5, abs=1.6)
    assert worse["r2"].in_training == pytest.approx(1 - 16 / 100, abs=0.06)
    same = performance_drift(residuals, here + 4 * rng.standard_normal(150), here, training_mean=20.0, seed=1)
    assert same["mae"].difference_interval.lower < 0 < same["mae"].difference_interval.upper


def test_the_document_shows_the_strongest_and_counts_the_rest(
    complete_bundle: ModelBundle, rng: np.random.Generator
) -> None:
    drift = feature_drift(people_like(complete_bundle, rng), complete_bundle, {})
    many = replace(drift, inputs=drift.inputs * 10)
    document = many.document()
    assert len(document["inputs"]) == 20
    assert document["n_not_shown"] == len(many.inputs) - 20
