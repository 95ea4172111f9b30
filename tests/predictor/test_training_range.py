from __future__ import annotations

import numpy as np
import pytest

from predictor.errors import ModelBundleError
from predictor.model.training_range import TrainingRange, describe_training


def describe(raw: np.ndarray, **options: object) -> TrainingRange:
    options = {"n_features": raw.shape[1], "background_mean": np.nanmean(raw, axis=0), **options}
    return describe_training(raw, **options)  # type: ignore[arg-type]


def test_mean_and_spread_are_numpys(rng: np.random.Generator) -> None:
    raw = rng.normal(5, 3, (30, 4))
    raw[3, 1] = np.nan
    training = describe(raw)
    assert training.mean == pytest.approx(np.nanmean(raw, axis=0))
    assert training.sd == pytest.approx(np.nanstd(raw, axis=0, ddof=1))
    assert (training.minimum.tolist(), training.maximum.tolist()) == (
        np.nanmin(raw, axis=0).tolist(),
        np.nanmax(raw, axis=0).tolist(),
    )


def test_the_largest_distance_is_each_persons_from_all_others(rng: np.random.Generator) -> None:
    raw = rng.standard_normal((20, 6))
    raw[rng.random(raw.shape) < 0.1] = np.nan
    by_hand = []
    for person in range(len(raw)):
        others = np.delete(raw, person, axis=0)
        z = (raw[person] - np.nanmean(others, axis=0)) / np.nanstd(others, axis=0, ddof=1)
        by_hand.append(np.nanmean(z**2))
    assert describe(raw).largest_distance == pytest.approx(max(by_hand), rel=1e-10)


@pytest.mark.parametrize("n_inputs", [3, 400])
def test_new_people_of_the_same_population_rarely_lie_further_out(rng: np.random.Generator, n_inputs: int) -> None:
    n_people, n_trials = 30, 300
    loading = rng.standard_normal((2, n_inputs))
    n_outside = 0
    for _ in range(n_trials):
        people = rng.standard_normal((n_people + 1, 2)) @ loading + rng.standard_normal((n_people + 1, n_inputs))
        training = describe(people[:-1])
        n_outside += training.distance(people[-1]) > training.largest_distance
    # 1 / (n + 1) = 3.2 %, and three binomial standard errors.
    assert n_outside / n_trials == pytest.approx(1 / (n_people + 1), abs=3.1 * np.sqrt(0.032 * 0.968 / n_trials))


def test_constant_and_missing_inputs_have_no_distance() -> None:
    raw = np.column_stack([np.full(12, 0.1), np.arange(12.0)])
    training = describe(raw)
    assert training.sd[0] == 0.0
    assert training.distance(np.array([99.0, np.nan])) == 0.0
    assert np.isfinite(training.largest_distance)


def test_the_largest_motion_is_kept_by_kind_of_run() -> None:
    raw = np.arange(12.0)[:, np.newaxis]
    motion = {"rest": np.array([0.1, np.nan, 0.3]), "faces": np.full(3, np.nan)}
    assert describe(raw, motion_mm=motion).largest_motion_mm == {"rest": 0.3}


def test_an_input_that_nobody_has_is_an_error() -> None:
    with pytest.raises(ModelBundleError, match="at least one training person"):
        describe_training(np.full((12, 1), np.nan), n_features=1, background_mean=np.zeros(1))
