from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.linear_model import LinearRegression

from predictor.errors import TrainingError
from training.evaluation.conformal import count_covered, realised_coverage
from training.evaluation.splits import PartitionMaker, stratified_folds


class Memory(RegressorMixin, BaseEstimator):
    """Knows the outcome of everyone it was trained on by heart, and says 0 about others."""

    def fit(self, X: pd.DataFrame, y: np.ndarray) -> Memory:
        self.known_ = dict(zip(X["x"], y, strict=True))
        return self

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        return np.array([self.known_.get(x, 0.0) for x in X["x"]])


def cohort(rng: np.random.Generator, n_people: int = 120) -> tuple[pd.DataFrame, np.ndarray]:
    inputs = pd.DataFrame({"x": rng.standard_normal(n_people), "z": rng.standard_normal(n_people)})
    return inputs, (2 * inputs["x"] + rng.standard_t(4, n_people)).to_numpy()


def test_a_sound_procedure_holds_its_promise(rng: np.random.Generator) -> None:
    inputs, outcome = cohort(rng)
    folds = stratified_folds(outcome, None, n_folds=6, rng=rng)
    found = realised_coverage(
        LinearRegression(), inputs, outcome, folds, make_partition=PartitionMaker(("a", "b") * 60, 6)
    )
    assert found.realised == pytest.approx(0.9, abs=0.08)
    assert found.interval.lower < found.realised < found.interval.upper
    assert found.mean_width == pytest.approx(2 * 2.13, rel=0.25)  # the 95 % quantile of t with 4 degrees of freedom
    assert set(found.by_arm) == {"a", "b"}
    assert np.mean([one.realised for one in found.by_arm.values()]) == pytest.approx(found.realised)
    assert found.is_kept
    whole, by_arm = found.lines()
    assert "90%" in whole
    assert by_arm.startswith("by arm: a ")


def test_outcomes_of_those_left_out_do_not_reach_their_own_intervals(rng: np.random.Generator) -> None:
    inputs, outcome = cohort(rng, 60)
    folds = np.arange(60) % 5
    poisoned = np.where(folds == 0, 1e6, outcome)
    maker = PartitionMaker(tuple("left" if fold == 0 else "kept" for fold in folds), 5)
    kept, spoilt = (
        realised_coverage(
            Memory(),
            inputs,
            values,
            folds,
            make_partition=maker,
        )
        for values in (outcome, poisoned)
    )
    assert kept.by_arm["left"].realised > 0.6
    assert spoilt.by_arm["left"].realised == 0.0


def test_inner_folds_may_leave_one_out_and_arms_stay_balanced(rng: np.random.Generator) -> None:
    inputs, outcome = cohort(rng, 24)
    arms = tuple(np.tile(["ketamine", "midazolam"], 12))
    folds = stratified_folds(outcome, arms, n_folds=3, rng=rng)
    found = realised_coverage(LinearRegression(), inputs, outcome, folds, make_partition=PartitionMaker(arms, None))
    assert 0.6 < found.realised <= 1


def test_counts_include_the_ends_and_a_broken_promise_is_seen() -> None:
    outcome = np.array([1.0, 2.0, 3.0, 4.0] * 10)
    ends = np.tile([1.0, 3.0], (40, 1))
    found = count_covered(outcome, ends)
    assert (found.realised, found.mean_width, found.guaranteed) == (0.75, 2.0, pytest.approx(0.8))
    assert not found.is_kept
    assert found.document()["is_kept"] is False


def test_arms_of_different_spread_are_both_held_as_promised(rng: np.random.Generator) -> None:
    arms = ("ketamine", "midazolam") * 150
    inputs, _ = cohort(rng, 300)
    outcome = 2 * inputs["x"].to_numpy() + np.tile([4.0, 1.0], 150) * rng.standard_normal(300)
    folds = stratified_folds(outcome, arms, n_folds=5, rng=rng)
    found = realised_coverage(LinearRegression(), inputs, outcome, folds, make_partition=PartitionMaker(arms, 5))
    assert [one.realised for one in found.by_arm.values()] == pytest.approx([0.9, 0.9], abs=0.06)


def test_an_arm_that_its_intervals_hold_too_seldom_is_named() -> None:
    outcome = np.tile([0.0, 0.0, 0.0, 5.0], 20)
    ends = np.tile([-1.0, 1.0], (80, 1))
    found = count_covered(outcome, ends, arms=["x", "x", "x", "ketamine"] * 20)
    assert found.lacking == ("ketamine",)
    assert found.document()["by_arm"]["ketamine"]["realised"] == 0.0
    assert list(found.lines())[1].endswith("too narrow for ketamine")
    assert not count_covered(outcome * 0, ends, arms=["x", "ketamine"] * 40).lacking


def test_the_interval_of_a_share_is_exact_for_strangers_and_wider_for_visits_of_the_same_people() -> None:
    outcome = np.repeat(np.arange(40) < 4, 3).astype(float) * 9
    ends = np.tile([-1.0, 1.0], (120, 1))
    alone, together = (count_covered(outcome, ends, groups=groups) for groups in (None, np.repeat(range(40), 3)))
    exact = stats.binomtest(108, 120).proportion_ci(0.95, method="exact")
    assert (alone.interval.lower, alone.interval.upper) == pytest.approx((exact.low, exact.high))
    as_people = stats.binomtest(36, 40).proportion_ci(0.95, method="exact")
    found = (together.interval.lower, together.interval.upper)
    assert found == pytest.approx((as_people.low, as_people.high), abs=0.01)
    everyone = count_covered(outcome * 0, ends, groups=np.repeat(range(40), 3))
    assert everyone.interval.lower == pytest.approx(0.025 ** (1 / 40))


def test_too_few_people_for_an_interval_are_an_error(rng: np.random.Generator) -> None:
    inputs, outcome = cohort(rng, 12)
    with pytest.raises(TrainingError, match="at least 9 training people"):
        realised_coverage(
            LinearRegression(), inputs, outcome, np.arange(12) % 2, make_partition=PartitionMaker(None, 3)
        )
