from __future__ import annotations

import numpy as np
import pytest

from predictor.errors import TrainingError
from training.evaluation.external_test import external_test


def test_numbers_are_against_the_training_mean_and_the_constant_scores_zero(rng: np.random.Generator) -> None:
    outcome = rng.normal(1.0, 1.0, 30)
    prediction = 0.5 * outcome
    result = external_test(prediction, outcome, training_mean=0.2, baselines={"age": np.zeros(30)})
    locked, constant, age = result.models
    assert locked.metrics.r2 == pytest.approx(1 - (0.25 * outcome**2).sum() / ((outcome - 0.2) ** 2).sum())
    assert constant.metrics.r2 == 0
    assert age.gain == pytest.approx(np.mean(outcome**2 - (0.5 * outcome) ** 2))
    assert result.p_value == 1e-4
    assert len(result.models) == 3


def test_p_values_of_useless_models_are_uniform(rng: np.random.Generator) -> None:
    p_values = [
        external_test(
            rng.standard_normal(20), rng.standard_normal(20), training_mean=0.0, baselines={}, n_permutations=99
        ).p_value
        for _ in range(120)
    ]
    assert np.mean(np.array(p_values) <= 0.2) == pytest.approx(0.2, abs=0.11)  # three standard errors
    assert np.mean(p_values) == pytest.approx(0.5, abs=0.08)


def test_missing_predictions_are_refused() -> None:
    with pytest.raises(TrainingError, match="none missing"):
        external_test(np.array([1.0, np.nan, 0.0]), np.zeros(3), training_mean=0.0, baselines={})
