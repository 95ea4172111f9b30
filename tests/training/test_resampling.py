from __future__ import annotations

import numpy as np
import pytest

from training.evaluation.resampling import (
    UnitResampler,
    bootstrap_weights,
    count_units,
    effective_number,
    jackknife_weights,
    resample_counts,
)

FAMILIES = np.array([0, 1, 0, 2, 2, 2, 1, 3])


def test_members_of_a_group_are_drawn_together_and_weights_sum_to_one() -> None:
    counts = resample_counts(8, seed=0, n_draws=50, groups=FAMILIES)
    for family in range(4):
        of_members = counts[:, np.flatnonzero(np.equal(FAMILIES, family))]
        assert (np.ptp(of_members, axis=1) == 0).all()
    assert bootstrap_weights(8, seed=0, n_draws=50, groups=FAMILIES).sum(axis=1) == pytest.approx(1.0)
    assert np.ptp(counts.sum(axis=1)) > 0  # families differ in size


def test_without_groups_everyone_is_drawn_alone() -> None:
    counts = resample_counts(8, seed=0, n_draws=50)
    assert (counts.sum(axis=1) == 8).all()
    assert np.array_equal(bootstrap_weights(8, seed=0, n_draws=50), counts / 8)
    alone = UnitResampler.within(8, strata=list("aaaabbbb")).draw(np.random.default_rng(0))
    assert (alone < 4).sum() == 4


def test_the_jackknife_leaves_out_whole_groups() -> None:
    weights = jackknife_weights(8, FAMILIES)
    assert weights.shape == (5, 8)
    assert weights.sum(axis=1) == pytest.approx(1.0)
    assert np.flatnonzero(weights[3] == 0).tolist() == [3, 4, 5]


def test_resampled_rows_hold_whole_groups_of_the_same_arms(rng: np.random.Generator) -> None:
    arms = ["k", "m", "k", "k", "m", "k", "m", "m"]  # family 2 has members in both arms
    resampler = UnitResampler.within(8, strata=arms, groups=FAMILIES)
    for _ in range(20):
        rows = resampler.draw(rng)
        times = np.bincount(rows, minlength=8)
        assert times[3] == times[4] == times[5] == 1  # the only one of its kind
        assert times[0] == times[2] == 1
        assert times[1] == times[6]
        assert times[1] + times[7] == 2  # both families of the other arm


def test_people_who_are_alike_within_groups_count_once_and_others_in_full(rng: np.random.Generator) -> None:
    groups = np.repeat(np.arange(100), 5)
    alike, apart = np.repeat(rng.random(100) < 0.8, 5), rng.random(500) < 0.8
    assert effective_number(alike, groups) == pytest.approx(100, rel=0.05)
    assert effective_number(apart, groups) > 350
    assert effective_number(apart, None) == 500
    assert effective_number(np.ones(500, dtype=bool), groups) == 100
    assert count_units(groups, alike) == alike.sum() / 5
