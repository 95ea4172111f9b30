from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.base import BaseEstimator, RegressorMixin

from predictor.errors import TrainingError
from training.evaluation.metrics import r2_against_training_mean
from training.evaluation.nested_cv import cross_validate
from training.evaluation.permutation import (
    Exchange,
    PermutationTest,
    Refitted,
    competition_test,
    permutation_test,
    permute_within,
)
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


def test_stopping_early_counts_exceedances_over_the_draws_that_were_made() -> None:
    stopped = PermutationTest(0.0, np.array([-0.1, 0.2, 0.3, 0.4]), n_planned=99)
    assert stopped.stopped_early
    assert stopped.p_value == 3 / 4
    assert not PermutationTest(0.0, np.zeros(99), n_planned=99).stopped_early


def noise(rng: np.random.Generator, n_people: int = 24) -> tuple[pd.DataFrame, np.ndarray]:
    return pd.DataFrame(rng.standard_normal((n_people, 2)), columns=["a", "b"]), rng.standard_normal(n_people)


def draw(inputs: pd.DataFrame, outcome: np.ndarray, *, observed: float, n_jobs: int = 1, stop: int) -> PermutationTest:
    return permutation_test(
        LeastSquares(), inputs, outcome, strata=None, observed_r2=observed, make_partition=four_folds,
        n_permutations=60, seed=2, stop_after=stop, n_jobs=n_jobs,
    )  # fmt: skip


def test_early_stopping_ends_at_the_exceedance_asked_for_and_draws_the_same_as_without(
    rng: np.random.Generator,
) -> None:
    inputs, outcome = noise(rng)
    observed = float(np.median(draw(inputs, outcome, observed=0.0, stop=0).null_r2))
    full, stopped = (draw(inputs, outcome, observed=observed, stop=stop) for stop in (0, 5))
    assert (full.null_r2 >= observed).sum() == 30
    assert stopped.n_exceeding == 5
    assert len(stopped.null_r2) < 60
    assert set(stopped.null_r2) <= set(full.null_r2)
    assert stopped.p_value == 5 / len(stopped.null_r2)


def test_a_signal_is_never_stopped_early(rng: np.random.Generator) -> None:
    inputs, _ = noise(rng)
    result = draw(inputs, 3 * inputs["a"].to_numpy(), observed=1.0, stop=5)
    assert (len(result.null_r2), result.p_value) == (60, 1 / 61)


@pytest.mark.filterwarnings("ignore:.*joblib.*:UserWarning")
def test_the_number_of_processes_changes_nothing(rng: np.random.Generator) -> None:
    inputs, outcome = noise(rng)
    one, two = (draw(inputs, outcome, observed=-0.2, n_jobs=n_jobs, stop=3) for n_jobs in (1, 2))
    assert np.array_equal(one.null_r2, two.null_r2)


def test_when_models_compete_every_permutation_takes_the_best_of_them(rng: np.random.Generator) -> None:
    inputs, outcome = noise(rng)

    def null_of(*columns: list[str]) -> np.ndarray:
        judges = {str(names): Refitted(LeastSquares(), inputs[names]) for names in columns}
        return competition_test(
            judges, outcome, strata=None, observed_r2=0.0, make_partition=four_folds, n_permutations=20, seed=1
        ).null_r2

    of_a, of_b, of_best = null_of(["a"]), null_of(["b"]), null_of(["a"], ["b"])
    assert of_best.mean() > max(of_a.mean(), of_b.mean())
    assert (of_best >= of_a).all()  # sorted: the maximum dominates either model
    assert set(of_best) <= {*of_a, *of_b}


def test_whole_groups_exchange_outcomes_with_groups_of_the_same_composition(rng: np.random.Generator) -> None:
    groups = ["p", "p", "q", "q", "r", "r", "r", "s", "t"]
    strata = ["a", "b", "a", "b", "a", "a", "a", "a", "a"]
    outcome = np.arange(9.0)
    exchange = Exchange.within(9, strata=strata, groups=groups)
    seen = {tuple(exchange.permute(outcome, rng)) for _ in range(60)}
    pairs, triples, singles = ({one[part] for one in seen} for part in (slice(0, 4), slice(4, 7), slice(7, 9)))
    assert pairs == {(0, 1, 2, 3), (2, 3, 0, 1)}
    assert triples == {(4, 5, 6)}  # the only family of three keeps its outcomes
    assert singles == {(7, 8), (8, 7)}


def test_groups_without_a_counterpart_are_refused() -> None:
    with pytest.raises(TrainingError, match="no arm and site hold two groups of the same composition"):
        Exchange.within(3, strata=None, groups=["p", "p", "q"]).check(np.arange(3.0))
