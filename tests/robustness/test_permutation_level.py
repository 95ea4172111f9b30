"""False-positive rate of the permutation test of a whole nested cross-validation, over 300 null cohorts each.

Not part of the quick tests: `python -m pytest tests/robustness/test_permutation_level.py` (some minutes).
"""

from __future__ import annotations

import os

import numpy as np
import pytest
from scipy import stats

from training.evaluation.elastic_net_cv import Columns, PenaltyGrid, nested_elastic_net, permute_elastic_net
from training.evaluation.metrics import r2_against_training_mean
from training.evaluation.splits import Partition, PartitionMaker, stratified_folds

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
    p_values = np.array([p_value(seed, arm_effect=arm_effect) for seed in range(N_COHORTS)])
    n_rejected = int((p_values <= LEVEL).sum())
    low, high = stats.binom.interval(0.99, N_COHORTS, LEVEL)
    print(f"rejected {n_rejected} of {N_COHORTS} (99 % interval {low:.0f}-{high:.0f}), mean p {p_values.mean():.3f}")  # noqa: T201
    assert low <= n_rejected <= high
    assert p_values.mean() == pytest.approx(0.505, abs=3.3 * np.sqrt(1 / 12 / N_COHORTS))
