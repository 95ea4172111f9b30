"""False-positive rate of the permutation tests, over 300 null cohorts each.

The compiled test is that of a whole nested cross-validation of an elastic net. What only concerns the test itself
(the maximum over models that compete, early stopping, families, sites that are left out) is tried with least squares
and ridge of fixed penalty, which take no time. Without the precautions the same cohorts are called significant too
often; that is shown beside.

Not part of the quick tests: `python -m pytest tests/robustness/test_permutation_level.py` (some minutes).
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
import pytest
from scipy import stats

from training.evaluation.elastic_net_cv import Columns, PenaltyGrid, nested_elastic_net, permute_elastic_net
from training.evaluation.metrics import r2_against_training_mean
from training.evaluation.nested_cv import OutOfFold
from training.evaluation.permutation import competition_test
from training.evaluation.splits import Partition, PartitionMaker, stratified_folds, train_and_test

N_COHORTS, N_PERMUTATIONS, LEVEL = 300, 99, 0.05
N_PEOPLE, N_FEATURES, N_FOLDS = 40, 12, 5
GRID = PenaltyGrid((0.2, 0.8), n_penalties=20, smallest_fraction=0.05, stops_early=False, shares_grid=True)
ARMS = np.arange(N_PEOPLE) % 2


def p_value(seed: int, *, arm_effect: float) -> float:
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((N_PEOPLE, 3)) @ rng.standard_normal((3, N_FEATURES))
    features += rng.standard_normal(features.shape)
    outcome = rng.standard_normal(N_PEOPLE) + arm_effect * ARMS
    columns = Columns.of(np.column_stack([features, ARMS]), unpenalised=(N_FEATURES,))
    make_partition = PartitionMaker(tuple(ARMS.astype(str)), N_FOLDS)

    def inner(y: np.ndarray, rows: np.ndarray) -> Partition:
        return stratified_folds(y, list(ARMS[rows]), n_folds=4, rng=np.random.default_rng(0))

    observed = nested_elastic_net(columns, outcome, make_partition(outcome, rng), inner_folds=inner, grid=GRID)
    return permute_elastic_net(
        columns,
        outcome,
        strata=list(ARMS),
        make_partition=make_partition,
        inner_folds=inner,
        grid=GRID,
        observed_r2=r2_against_training_mean(observed),
        n_permutations=N_PERMUTATIONS,
        seed=seed,
        n_jobs=os.cpu_count() or 1,
    ).p_value


@pytest.mark.parametrize("arm_effect", [0.0, 1.5], ids=["no arm effect", "arm effect"])
def test_null_cohorts_are_called_significant_at_the_nominal_rate(arm_effect: float) -> None:
    assert_level(np.array([p_value(seed, arm_effect=arm_effect) for seed in range(N_COHORTS)]), label="compiled")


def assert_level(p_values: np.ndarray, *, label: str, is_uniform: bool = True) -> None:
    n_rejected, n_cohorts = int((p_values <= LEVEL).sum()), len(p_values)
    low, high = stats.binom.interval(0.99, n_cohorts, LEVEL)
    found = f"rejected {n_rejected} of {n_cohorts} (99 % interval {low:.0f}-{high:.0f}), mean p {p_values.mean():.3f}"
    print(f"{label}: {found}")  # noqa: T201
    assert low <= n_rejected <= high
    if is_uniform:
        assert p_values.mean() == pytest.approx(0.505, abs=3.3 * np.sqrt(1 / 12 / n_cohorts))


@dataclass(frozen=True)
class FixedRidge:
    """Judges a ridge of fixed penalty on some of the columns."""

    columns: np.ndarray
    penalty: float

    def __call__(self, outcome: np.ndarray, folds: Partition) -> float:
        prediction, mean = np.empty(len(outcome)), np.empty(len(outcome))
        for train, test in train_and_test(folds):
            centre, mean[test] = self.columns[train].mean(axis=0), outcome[train].mean()
            centred = self.columns[train] - centre
            gram = centred.T @ centred + self.penalty * np.eye(centred.shape[1])
            weights = np.linalg.solve(gram, centred.T @ (outcome[train] - mean[test][0]))
            prediction[test] = mean[test] + (self.columns[test] - centre) @ weights
        return r2_against_training_mean(OutOfFold(outcome, prediction[None], mean[None], folds[None], ()))


def null_cohort(seed: int) -> tuple[dict[str, FixedRidge], np.ndarray, np.random.Generator]:
    """Nine different models of eighteen features that have nothing to do with the outcome."""
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((N_PEOPLE, 18))
    judges = {str(n): FixedRidge(features[:, 2 * n : 2 * n + 2], 1.0 + n) for n in range(9)}
    return judges, rng.standard_normal(N_PEOPLE), rng


def test_p_of_the_maximum_holds_its_level_and_p_of_the_winner_does_not() -> None:
    of_best, of_winner = [], []
    make_partition = PartitionMaker(None, N_FOLDS)
    for seed in range(N_COHORTS):
        judges, outcome, rng = null_cohort(seed)
        folds = make_partition(outcome, rng)
        r2 = {name: judge(outcome, folds) for name, judge in judges.items()}
        winner = max(r2, key=r2.__getitem__)
        common = {"strata": None, "make_partition": make_partition, "n_permutations": N_PERMUTATIONS, "seed": seed}
        of_best.append(competition_test(judges, outcome, observed_r2=r2[winner], **common).p_value)
        alone = {winner: judges[winner]}
        of_winner.append(competition_test(alone, outcome, observed_r2=r2[winner], **common).p_value)
    assert_level(np.array(of_best), label="maximum over nine models")
    n_rejected = int((np.array(of_winner) <= LEVEL).sum())
    print(f"winner's own p: rejected {n_rejected} of {N_COHORTS}")  # noqa: T201
    assert n_rejected > stats.binom.interval(0.99, N_COHORTS, LEVEL)[1]


def test_early_stopping_holds_its_level_at_a_fraction_of_the_draws() -> None:
    p_values, n_drawn = [], 0
    make_partition = PartitionMaker(None, N_FOLDS)
    for seed in range(N_COHORTS):
        judges, outcome, rng = null_cohort(seed)
        one = {"0": judges["0"]}
        observed = judges["0"](outcome, make_partition(outcome, rng))
        test = competition_test(
            one, outcome, strata=None, observed_r2=observed, make_partition=make_partition,
            n_permutations=N_PERMUTATIONS, seed=seed, stop_after=10,
        )  # fmt: skip
        p_values.append(test.p_value)
        n_drawn += len(test.null_r2)
    print(f"{n_drawn / N_COHORTS:.0f} of {N_PERMUTATIONS} draws on average")  # noqa: T201
    assert n_drawn < 0.5 * N_COHORTS * N_PERMUTATIONS
    assert_level(np.array(p_values), label="early stopping", is_uniform=False)


def test_families_that_are_alike_hold_their_level_and_exchanging_members_would_not() -> None:
    """Features and outcome are alike within families of four, and have nothing to do with each other."""
    families = np.repeat(np.arange(10), 4)
    as_wholes, member_by_member = [], []
    for seed in range(N_COHORTS):
        rng = np.random.default_rng(seed)
        features = 2 * rng.standard_normal((10, 3))[families] + rng.standard_normal((N_PEOPLE, 3))
        outcome = 2 * rng.standard_normal(10)[families] + rng.standard_normal(N_PEOPLE)
        judge = {"ridge": FixedRidge(features, 1.0)}
        make_partition = PartitionMaker(None, N_FOLDS, groups=tuple(map(str, families)))
        observed = judge["ridge"](outcome, make_partition(outcome, rng))
        common = {"strata": None, "make_partition": make_partition, "n_permutations": N_PERMUTATIONS, "seed": seed}
        for found, groups in ((as_wholes, list(families)), (member_by_member, None)):
            found.append(competition_test(judge, outcome, groups=groups, observed_r2=observed, **common).p_value)
    assert_level(np.array(as_wholes), label="families as wholes")
    n_rejected = int((np.array(member_by_member) <= LEVEL).sum())
    print(f"exchanging members: rejected {n_rejected} of {N_COHORTS}")  # noqa: T201
    assert n_rejected > stats.binom.interval(0.99, N_COHORTS, LEVEL)[1]


def test_leaving_sites_out_holds_its_level_though_sites_differ_in_features_and_outcome() -> None:
    sites = np.repeat(np.arange(4), 10)
    p_values = []
    for seed in range(N_COHORTS):
        rng = np.random.default_rng(seed)
        features = rng.standard_normal((4, 3))[sites] + rng.standard_normal((N_PEOPLE, 3))
        outcome = rng.standard_normal(4)[sites] + rng.standard_normal(N_PEOPLE)
        judge = {"ridge": FixedRidge(features, 1.0)}
        make_partition = PartitionMaker(None, None, sites=tuple(map(str, sites)))
        observed = judge["ridge"](outcome, make_partition(outcome, rng))
        p_values.append(
            competition_test(
                judge, outcome, strata=list(sites), observed_r2=observed, make_partition=make_partition,
                n_permutations=N_PERMUTATIONS, seed=seed,
            ).p_value
        )  # fmt: skip
    assert_level(np.array(p_values), label="leave one site out")
