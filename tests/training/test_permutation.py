from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.base import BaseEstimator, RegressorMixin

from predictor.errors import TrainingError
from training.evaluation.metrics import r2_against_training_mean
from training.evaluation.nested_cv import cross_validate
from training.evaluation.permutation import PermutationTest, permutation_test, permute_within
from training.evaluation.splits import Partition, stratified_folds


class LeastSquares(RegressorMixin, BaseEstimator):
    """Without scikit-learn's checks, which would take most of these tests' time."""

    def fit(self, X: pd.DataFrame, y: np.ndarray) -> LeastSquares:
        self.coef_ = np.linalg.lstsq(np.column_stack([np.ones(len(X)), X.to_numpy()]), y)[0]
        return self

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        return self.coef_[0] + X.to_numpy() @ self.coef_[1:]


def four_folds(outcome: np.ndarray, rng: np.random.Generator) -> Partition:
    return stratified_folds(outcome, None, n_folds=4, rng=rng)


def run(inputs: pd.DataFrame, outcome: np.ndarray, *, strata: list[str] | None = None, n: int = 39) -> PermutationTest:
    folds = four_folds(outcome, np.random.default_rng(1))[np.newaxis]
    observed = r2_against_training_mean(cross_validate(LeastSquares(), inputs, outcome, folds))
    return permutation_test(
        LeastSquares(), inputs, outcome, strata=strata, observed_r2=observed, make_partition=four_folds,
        n_permutations=n, seed=2,
    )  # fmt: skip


def test_p_counts_the_true_labelling_among_the_permutations() -> None:
    assert PermutationTest(0.5, np.array([0.1, 0.5, 0.6])).p_value == 3 / 4
    assert PermutationTest(0.5, np.array([0.1, 0.2, 0.3])).p_value == 1 / 4


def test_a_strong_signal_gets_the_smallest_possible_p(rng: np.random.Generator) -> None:
    signal = rng.standard_normal(60)
    assert run(pd.DataFrame({"signal": signal}), signal + 0.3 * rng.standard_normal(60)).p_value == 1 / 40


def test_p_is_uniform_when_nothing_is_there(rng: np.random.Generator) -> None:
    p_values = [
        run(pd.DataFrame(rng.standard_normal((24, 2))).rename(columns=str), rng.standard_normal(24), n=19).p_value
        for _ in range(40)
    ]
    assert stats.kstest(p_values, "uniform").pvalue > 0.01


def test_an_effect_of_the_arm_alone_earns_nothing(rng: np.random.Generator) -> None:
    arm = np.repeat([0.0, 1.0], 30)
    outcome = 3 * arm + rng.standard_normal(60)
    result = run(pd.DataFrame({"arm": arm}), outcome, strata=[str(label) for label in arm])
    assert result.observed_r2 > 0.4
    assert result.p_value > 0.05
    assert run(pd.DataFrame({"arm": arm}), outcome, strata=None).p_value == 1 / 40


def test_outcomes_are_exchanged_within_strata_only(rng: np.random.Generator) -> None:
    outcome = np.arange(12.0)
    labels = np.array(["a", "b", "c"] * 4)
    permuted = permute_within(outcome, labels, rng)
    assert not np.array_equal(permuted, outcome)
    for label in "abc":
        assert sorted(permuted[labels == label]) == sorted(outcome[labels == label])


def test_folds_are_drawn_anew_for_every_permuted_outcome(rng: np.random.Generator) -> None:
    outcome, seen = rng.standard_normal(20), []

    def remember(values: np.ndarray, generator: np.random.Generator) -> Partition:
        seen.append(values.copy())
        return four_folds(values, generator)

    permutation_test(
        LeastSquares(), pd.DataFrame({"x": rng.standard_normal(20)}), outcome, strata=None, observed_r2=0.0,
        make_partition=remember, n_permutations=5, seed=0,
    )  # fmt: skip
    assert len(seen) == 5
    assert len({tuple(values) for values in seen}) == 5


def test_strata_of_one_person_each_are_refused(rng: np.random.Generator) -> None:
    with pytest.raises(TrainingError, match="nothing can be permuted"):
        run(pd.DataFrame({"x": rng.standard_normal(12)}), np.arange(12.0), strata=[str(n) for n in range(12)])
