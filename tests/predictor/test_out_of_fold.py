from __future__ import annotations

import math

import numpy as np
import pytest

from predictor.errors import ModelBundleError
from predictor.model.out_of_fold import OutOfFoldResiduals
from predictor.model.outcome_definition import OutcomeDefinition

RULE = OutcomeDefinition("improvement", "percent", "higher", 30.0, "at least 30 percent")


def residuals_of(residual: np.ndarray, fold_index: np.ndarray) -> OutOfFoldResiduals:
    return OutOfFoldResiduals(
        fold_index=fold_index.astype(np.int64),
        arm_index=np.zeros(len(residual), dtype=np.int64),
        prediction=np.zeros(len(residual)),
        residual=residual,
    )


@pytest.mark.parametrize(("n_people", "level"), [(9, 0.9), (19, 0.9), (29, 0.9), (35, 0.9), (120, 0.9), (40, 0.5)])
def test_the_interval_is_barbers_definition(rng: np.random.Generator, n_people: int, level: float) -> None:
    folds = rng.permutation(n_people) % 5
    residual, by_fold = rng.standard_normal(n_people), rng.standard_normal(5)
    # Written out after equation (11) of the paper, in exact fractions of a rank.
    percent = round(level * 100)
    lower_rank = (100 - percent) * (n_people + 1) // 100
    upper_rank = -(-percent * (n_people + 1) // 100)
    lower = sorted(by_fold[folds[i]] - abs(residual[i]) for i in range(n_people))[lower_rank - 1]
    upper = sorted(by_fold[folds[i]] + abs(residual[i]) for i in range(n_people))[upper_rank - 1]
    interval = residuals_of(residual, folds).interval(by_fold, level=level)
    assert (interval.lower, interval.upper) == pytest.approx((lower, upper), abs=1e-14)


def test_nine_of_ten_new_people_lie_in_the_interval(rng: np.random.Generator) -> None:
    n_people, n_trials, n_inside = 60, 400, 0
    for _ in range(n_trials):
        inputs = rng.standard_normal((n_people + 1, 3))
        outcome = inputs @ [2.0, -1.0, 0.0] + rng.standard_t(4, n_people + 1)
        folds = np.arange(n_people) % 10
        past = outcome[:-1]
        models = np.array([np.linalg.lstsq(inputs[:-1][folds != k], past[folds != k])[0] for k in range(10)])
        predicted = (inputs[:-1] * models[folds]).sum(axis=1)
        by_fold = models @ inputs[-1]
        interval = residuals_of(outcome[:-1] - predicted, folds).interval(by_fold, level=0.9)
        n_inside += interval.lower <= outcome[-1] <= interval.upper
    # Three binomial standard errors around 0.9.
    assert n_inside / n_trials == pytest.approx(0.9, abs=3 * math.sqrt(0.09 / n_trials))


def of_two_arms(rng: np.random.Generator, n_per_arm: int) -> OutOfFoldResiduals:
    """Errors of the first arm are three times as large."""
    arms = np.arange(2 * n_per_arm) % 2
    return OutOfFoldResiduals(
        fold_index=np.arange(2 * n_per_arm) % 5,
        arm_index=arms,
        prediction=np.zeros(2 * n_per_arm),
        residual=np.where(arms == 0, 3.0, 1.0) * rng.standard_normal(2 * n_per_arm),
    )


def test_arms_that_differ_in_spread_each_get_nine_of_ten_new_people_into_their_intervals(
    rng: np.random.Generator,
) -> None:
    held: list[list[float]] = [[], []]
    for _ in range(200):
        residuals = of_two_arms(rng, 30)
        for arm, spread in enumerate((3.0, 1.0)):
            interval = residuals.of_arm(arm, level=0.9).interval(np.zeros(5), level=0.9)
            held[arm].append(float(np.mean(np.abs(spread * rng.standard_normal(50)) <= interval.upper)))
    assert [np.mean(of_arm) for of_arm in held] == pytest.approx([0.9, 0.9], abs=0.02)


def test_an_arm_of_few_people_takes_the_residuals_of_all(rng: np.random.Generator) -> None:
    few, enough = of_two_arms(rng, 18), of_two_arms(rng, 19)
    assert few.of_arm(0, level=0.9) is few
    assert len(enough.of_arm(0, level=0.9).residual) == 19
    assert enough.of_arm(5, level=0.9) is enough  # nobody was in this arm


def test_the_response_probability_is_a_share_of_plausible_outcomes() -> None:
    residual = np.array([-12.0, -6.0, -2.0, 0.0, 1.0, 4.0, 8.0, 10.0, 20.0, 30.0])
    residuals = residuals_of(residual, np.arange(10) % 2)
    # 26 plus the residual for even numbers, 24 for odd ones: 30 is reached by 8, 20 and, exactly at 30, by 4 - no.
    plausible = [26 - 12, 24 - 6, 26 - 2, 24 + 0, 26 + 1, 24 + 4, 26 + 8, 24 + 10, 26 + 20, 24 + 30]
    by_fold = np.array([26.0, 24.0])
    assert residuals.plausible_outcomes(by_fold).tolist() == plausible
    assert residuals.response_probability(by_fold, RULE) == sum(value >= 30 for value in plausible) / 10


def test_without_a_response_rule_there_is_no_probability() -> None:
    residuals = residuals_of(np.zeros(10), np.zeros(10))
    assert residuals.response_probability(np.zeros(1), OutcomeDefinition("pain", "z", "lower")) is None


def test_too_few_people_and_odd_shapes_are_errors() -> None:
    with pytest.raises(ModelBundleError, match="at least 9"):
        residuals_of(np.zeros(8), np.zeros(8))
    with pytest.raises(ModelBundleError, match="expected 10"):
        residuals_of(np.zeros(10), np.zeros(9))
