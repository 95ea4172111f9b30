from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from training.timecourse.arm_test import arm_labellings, compare_arms


def two_arms(rng: np.random.Generator, n_treated: int, n_other: int, *, shift: float = 0.0) -> tuple:
    changes = rng.standard_normal((n_treated + n_other, 4, 3))
    is_treated = np.arange(n_treated + n_other) < n_treated
    changes[is_treated, 1, 0] += shift
    return changes, is_treated


def test_statistic_is_welchs_t(rng: np.random.Generator) -> None:
    changes, is_treated = two_arms(rng, 12, 14)
    changes[is_treated] *= 3
    changes[3, 2, 1] = np.nan
    result = compare_arms(changes, is_treated, n_permutations=19, seed=0)
    expected = stats.ttest_ind(changes[is_treated], changes[~is_treated], equal_var=False, nan_policy="omit").statistic
    assert result.welch_t == pytest.approx(np.asarray(expected), abs=1e-10)
    means = np.nanmean(changes[is_treated], axis=0) - np.nanmean(changes[~is_treated], axis=0)
    assert result.difference == pytest.approx(means, abs=1e-12)


def test_p_is_the_share_of_all_labellings_when_there_are_few(rng: np.random.Generator) -> None:
    changes, is_treated = two_arms(rng, 4, 5, shift=2.0)
    result = compare_arms(changes, is_treated, n_permutations=999, seed=0)
    assert result.is_exhaustive
    assert result.n_labellings == 126
    sizes = []  # the same by hand, labelling by labelling: the smaller Welch's own p, the larger the statistic
    for members in combinations(range(9), 4):
        label = np.isin(np.arange(9), members)
        p = stats.ttest_ind(changes[label], changes[~label], equal_var=False).pvalue
        sizes.append(stats.norm.isf(np.asarray(p) / 2))
    p_of_true = stats.ttest_ind(changes[:4], changes[4:], equal_var=False).pvalue
    true_size = stats.norm.isf(np.asarray(p_of_true) / 2) * (1 - 1e-9)
    assert result.p_uncorrected == pytest.approx(np.mean(np.array(sizes) >= true_size, axis=0))
    largest = np.array(sizes).max(axis=(1, 2))
    assert result.p_family == pytest.approx(np.mean(largest[:, None, None] >= true_size, axis=0))
    assert result.p_family_of_edge == pytest.approx(result.p_family.min(axis=0))


def test_true_labelling_stands_first_and_group_sizes_stay(rng: np.random.Generator) -> None:
    is_treated = rng.permutation(np.arange(26) < 12)
    labellings, is_exhaustive = arm_labellings(is_treated, n_permutations=50, seed=1)
    assert not is_exhaustive
    assert (labellings[0] == is_treated).all()
    assert (labellings.sum(axis=1) == 12).all()
    few, is_exhaustive = arm_labellings(is_treated[:6], n_permutations=100, seed=1)
    assert is_exhaustive
    assert len({tuple(row) for row in few}) == len(few)
    assert (few[0] == is_treated[:6]).all()


def test_what_differs_between_people_or_over_time_for_everyone_is_no_effect(rng: np.random.Generator) -> None:
    levels = rng.standard_normal((26, 5, 3))
    is_treated = np.arange(26) < 12
    plain = compare_arms(levels[:, 1:] - levels[:, :1], is_treated, n_permutations=99, seed=0)
    shifted = levels + 10 * is_treated[:, None, None] + np.arange(5)[None, :, None]
    other = compare_arms(shifted[:, 1:] - shifted[:, :1], is_treated, n_permutations=99, seed=0)
    assert other.welch_t == pytest.approx(plain.welch_t, abs=1e-8)
    assert other.p_family == pytest.approx(plain.p_family)


def test_swapped_arms_give_the_same_p_and_the_opposite_sign(rng: np.random.Generator) -> None:
    changes, is_treated = two_arms(rng, 5, 5, shift=2.0)
    one = compare_arms(changes, is_treated, n_permutations=999, seed=0)
    other = compare_arms(changes, ~is_treated, n_permutations=999, seed=0)
    assert other.welch_t == pytest.approx(-one.welch_t)
    assert other.p_family == pytest.approx(one.p_family)


def test_missing_people_and_windows_leave_the_rest_tested(rng: np.random.Generator) -> None:
    changes, is_treated = two_arms(rng, 8, 9)
    changes[[0, 9]] = np.nan  # two people without any change
    changes[is_treated, 3, 2] = np.nan  # a window that one arm lacks
    result = compare_arms(changes, is_treated, n_permutations=99, seed=0)
    assert np.isnan(result.p_family[3, 2])
    assert np.isnan(result.welch_t[3, 2])
    assert np.isfinite(np.delete(result.p_family.ravel(), 11)).all()
    assert np.isfinite(result.p_family_of_edge).all()
    without = compare_arms(np.delete(changes, [0, 9], axis=0), np.delete(is_treated, [0, 9]), n_permutations=99, seed=0)
    assert without.p_family == pytest.approx(result.p_family, nan_ok=True)


def test_null_p_values_are_exact_and_the_smallest_is_corrected() -> None:
    # Of 20 labellings of 3 + 3 people, p can be .1, .2, ...: P(p <= .1) is exactly .1 for one cell.
    rng = np.random.default_rng(5)
    p_one, p_family = [], []
    for _ in range(300):
        changes, is_treated = two_arms(rng, 3, 3)
        result = compare_arms(changes, is_treated, n_permutations=99, seed=0)
        p_one.append(result.p_uncorrected[0, 0])
        p_family.append(np.nanmin(result.p_family))
    low, high = stats.binom.interval(0.999, 300, 0.1)
    assert low <= np.sum(np.array(p_one) <= 0.1 + 1e-9) <= high
    assert low <= np.sum(np.array(p_family) <= 0.1 + 1e-9) <= high


def test_a_small_arm_that_differs_in_spread_only_rarely_passes_for_a_difference() -> None:
    rng = np.random.default_rng(3)
    is_treated = np.arange(26) < 8
    found = []
    for seed in range(300):
        changes = rng.standard_normal((26, 24, 1)) * np.where(is_treated, 3.0, 1.0)[:, None, None]
        found.append(compare_arms(changes, is_treated, n_permutations=99, seed=seed).p_family.min())
    # It is .12; with Welch's t itself as the statistic .23, with a plain difference of means .40.
    assert np.mean(np.array(found) <= 0.05) < 0.14
