"""Study B's design 200 times over: the planted decrease is found, and the other pairs stay at their level.

Not part of the quick tests: `python -m pytest tests/robustness/test_timecourse_fwer.py -s` (about two minutes).
"""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from predictor.features.dynamic_connectivity import windowed_fisher_z
from predictor.scan.cleaning import RegionTimeseries
from training.simulation.infusion import (
    PLANTED_EDGES,
    REGIONS,
    REPETITION_TIME_S,
    InfusionPlan,
    simulate_infused_people,
)
from training.timecourse.arm_test import compare_arms
from training.timecourse.dissociation import associate
from training.timecourse.window_plan import load_window_plan

N_STUDIES = 200
LEVEL = 0.05
PLAN = load_window_plan()
WINDOWS = [PLAN.time_window(window) for window in PLAN.windows]
IS_PLANTED = np.array([edge in PLANTED_EDGES for edge in PLAN.edges])
TARGET_WINDOW = PLAN.window_names.index("10-20") - 1


def study(plan: InfusionPlan) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.float64]]:
    """Changes from baseline (n_people, n_windows, n_edges), who has ketamine, and CADSS."""
    people = list(simulate_infused_people(plan))
    fisher_z = [
        windowed_fisher_z(
            RegionTimeseries(person.bold, REGIONS, REPETITION_TIME_S),
            person.motion.framewise_displacement_mm > 0.15,
            WINDOWS,
            edges=PLAN.edges,
        ).fisher_z
        for person in people
    ]
    changes = np.stack(fisher_z)[:, 1:] - np.stack(fisher_z)[:, :1]
    return changes, np.array([p.arm == "ketamine" for p in people]), np.array([float(p.cadss) for p in people])


def within_binomial(n_false: int, *, n: int = N_STUDIES, level: float = LEVEL) -> bool:
    lowest, highest = stats.binom.interval(0.99, n, level)
    return bool(lowest <= n_false <= highest)


def test_planted_decrease_is_found_and_the_other_pairs_hold_the_family_wise_level() -> None:
    n_found = n_at_other_times = n_false = 0
    for seed in range(N_STUDIES):
        changes, is_treated, _ = study(InfusionPlan(seed=seed))
        result = compare_arms(changes, is_treated, n_permutations=499, seed=seed)
        is_found = result.p_family <= LEVEL
        n_found += bool((is_found & (result.difference < 0))[TARGET_WINDOW, IS_PLANTED].any())
        n_at_other_times += bool(np.delete(is_found[:, IS_PLANTED], TARGET_WINDOW, axis=0).any())
        n_false += bool(is_found[:, ~IS_PLANTED].any())
    print(f"\nplanted: found {n_found}, at other times {n_at_other_times}, other pairs {n_false} of {N_STUDIES}")  # noqa: T201
    assert n_found >= 0.9 * N_STUDIES
    # With the planted pairs among the maxima the others can only be harder to find: no lower bound here.
    assert n_false <= stats.binom.ppf(0.995, N_STUDIES, LEVEL)
    assert n_at_other_times <= stats.binom.ppf(0.995, N_STUDIES, LEVEL)


def test_nothing_planted_is_found_at_the_level() -> None:
    n_false = n_associations = 0
    for seed in range(N_STUDIES):
        changes, is_treated, cadss = study(InfusionPlan(seed=10_000 + seed, effect="null"))
        result = compare_arms(changes, is_treated, n_permutations=499, seed=seed)
        n_false += bool((result.p_family <= LEVEL).any())
        related = associate(changes[:, TARGET_WINDOW], cadss, is_treated, n_permutations=199, seed=seed)
        n_associations += bool((related[0].p_family <= LEVEL).any())
    print(f"\nnull: {n_false} of {N_STUDIES} with any pair, {n_associations} with any association under ketamine")  # noqa: T201
    assert within_binomial(n_false)
    assert within_binomial(n_associations)


@pytest.mark.parametrize("n_treated", [12, 14])
def test_arms_that_differ_in_spread_only_hold_the_level(n_treated: int) -> None:
    # Trap 12: with unequal numbers, a permuted difference of means would be wrong by a lot; Welch's t is not.
    rng = np.random.default_rng(n_treated)
    is_treated = np.arange(26) < n_treated
    n_false = 0
    for seed in range(N_STUDIES):
        changes = rng.standard_normal((26, 4, 6))
        changes[is_treated] *= 2.0
        n_false += bool((compare_arms(changes, is_treated, n_permutations=499, seed=seed).p_family <= LEVEL).any())
    print(f"\nspread only, {n_treated} treated: {n_false} of {N_STUDIES}")  # noqa: T201
    assert n_false <= stats.binom.ppf(0.995, N_STUDIES, LEVEL)
