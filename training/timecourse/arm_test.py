"""Did connectivity change differently in the two arms? A permutation test with family-wise error over all pairs.

Arms are permuted over people, whole, on every person's changes from the baseline window. Changes are within people, so
whatever differs between people but stays, and whatever time does to everyone, drops out. If arms had no influence on
the changes, labels could be exchanged, and the test is exact: the true labelling counts among the permuted ones.
The statistic is Welch's t, studentised by both arms' own variances, so that arms that differ in spread only, with
unequal numbers of people, hardly pass for arms that differ in mean (with a raw difference of means they would). It is
turned into the z with the same tail at Welch's degrees of freedom, so that cells with few people, or a wide small arm,
do not rule the maximum by their heavy tails. The largest |z| over all pairs and windows is what a single one has to
beat, which holds the family-wise error also where some pairs truly change.

The test is exact where arms have no influence on the changes at all. Where they change the spread only, the level holds
nearly: with 8 people of twice the spread beside 18, and 24 cells, the family-wise error at .05 is about .09 (a raw
difference: .27).

References
----------
Welch (1947), Biometrika 34:28-35, doi 10.2307/2332510: the degrees of freedom.
Westfall & Young (1993), Resampling-based multiple testing: the maximum statistic.
Chung & Romano (2013), Annals of Statistics 41:484-507, doi 10.1214/13-AOS1090: why to studentise.
Phipson & Smyth (2010), doi 10.2202/1544-6115.1585: why the true labelling counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np
from numpy.typing import NDArray

from predictor.model.reference_model import normal_score

FloatArray = NDArray[np.float64]

# A variance of fewer people is no estimate; such a cell has no statistic.
MINIMUM_PER_ARM = 3
# Equal statistics must count as equal although their sums were added in another order.
_TIE = 1 - 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class ArmTest:
    """Arm x time: the difference between arms in the change from baseline, per window and pair."""

    difference: FloatArray  # (n_windows, n_edges), Fisher z; mean change of the treated minus that of the others
    welch_t: FloatArray  # (n_windows, n_edges); NaN where an arm has fewer than three people
    p_uncorrected: FloatArray  # (n_windows, n_edges)
    p_family: FloatArray  # (n_windows, n_edges), corrected over all pairs and windows
    p_family_of_edge: FloatArray  # (n_edges,), the pair's largest |z| over windows against the same maxima
    n_labellings: int  # with the true one
    is_exhaustive: bool  # every possible labelling was looked at


def compare_arms(changes: FloatArray, is_treated: NDArray[np.bool_], *, n_permutations: int, seed: int) -> ArmTest:
    """Test arm x time for every pair and window, corrected over all of them.

    Parameters
    ----------
    changes
        Shape (n_people, n_windows, n_edges): Fisher z minus that of the person's baseline window; NaN where missing.
    is_treated
        Shape (n_people,).
    n_permutations
        Labellings besides the true one; all of them where there are no more than that.
    seed
        Of the random labellings.

    Returns
    -------
    ArmTest
        Positive differences: connectivity rose more (or fell less) in the treated.
    """
    n_people, n_windows, n_edges = changes.shape
    cells = changes.reshape(n_people, -1)
    # Who has no change at all takes part in no labelling.
    has_any = np.isfinite(cells).any(axis=1)
    cells, is_treated = cells[has_any], is_treated[has_any]
    labellings, is_exhaustive = arm_labellings(is_treated, n_permutations=n_permutations, seed=seed)
    difference, statistic, size = _welch(cells, labellings)
    size = np.nan_to_num(size, nan=0.0)  # (n_labellings, n_cells); the first is the true one
    p_uncorrected = (size >= size[0] * _TIE).mean(axis=0)
    p_family = (size.max(axis=1)[:, None] >= size[0] * _TIE).mean(axis=0)
    is_undefined = np.isnan(statistic[0])
    p_uncorrected[is_undefined] = p_family[is_undefined] = np.nan
    shape = (n_windows, n_edges)
    p_of_edge = np.array([_smallest(column) for column in p_family.reshape(shape).T])
    return ArmTest(
        difference=difference[0].reshape(shape),
        welch_t=statistic[0].reshape(shape),
        p_uncorrected=p_uncorrected.reshape(shape),
        p_family=p_family.reshape(shape),
        p_family_of_edge=p_of_edge,
        n_labellings=len(labellings),
        is_exhaustive=is_exhaustive,
    )


def arm_labellings(is_treated: NDArray[np.bool_], *, n_permutations: int, seed: int) -> tuple[NDArray[np.bool_], bool]:
    """Return labellings with as many treated people, shape (n_labellings, n_people), and whether these are all.

    The true labelling stands first.
    """
    n_people, n_treated = len(is_treated), int(is_treated.sum())
    if comb(n_people, n_treated) <= n_permutations + 1:
        every = np.zeros((comb(n_people, n_treated), n_people), dtype=np.bool_)
        for row, members in zip(every, combinations(range(n_people), n_treated), strict=True):
            row[list(members)] = True
        is_true_one = (every == is_treated).all(axis=1)
        return np.concatenate([every[is_true_one], every[~is_true_one]]), True
    rng = np.random.default_rng(seed)
    shuffled = rng.permuted(np.tile(is_treated, (n_permutations, 1)), axis=1)
    return np.concatenate([is_treated[None], shuffled]), False


def _welch(cells: FloatArray, labellings: NDArray[np.bool_]) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Difference of means, Welch's t and |z| of every cell under every labelling, (n_labellings, n_cells) each."""
    is_known = np.isfinite(cells)
    n_known = is_known.sum(axis=0)
    middle = np.where(is_known, cells, 0.0).sum(axis=0) / np.maximum(n_known, 1)
    centred = np.where(is_known, cells - middle, 0.0)  # around zero, so that squares lose no digits
    treated = labellings.astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        means, error_variances, numbers, is_enough = [], [], [], np.ones((len(treated), cells.shape[1]), dtype=np.bool_)
        for label in (treated, 1 - treated):
            n = label @ is_known
            mean = label @ centred / n
            variance = (label @ centred**2 - n * mean**2) / (n - 1)
            means.append(mean)
            error_variances.append(np.maximum(variance, 0.0) / n)
            numbers.append(n)
            is_enough &= n >= MINIMUM_PER_ARM
        difference = means[0] - means[1]
        whole = error_variances[0] + error_variances[1]
        statistic = np.where(is_enough, difference / np.sqrt(whole), np.nan)
        freedom = whole**2 / sum(part**2 / (n - 1) for part, n in zip(error_variances, numbers, strict=True))
        z = normal_score(statistic, freedom)[0]
    return np.where(is_enough, difference, np.nan), statistic, np.abs(z)


def _smallest(column: FloatArray) -> float:
    return float(np.nanmin(column)) if np.isfinite(column).any() else np.nan
