"""The same person under two names: copied visits, shared scans, and values too alike to be two people's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import optimize, stats

from training.cohort.participants import listed
from training.evaluation.leak_finding import LeakFinding

Reason = Literal["same scan", "same values", "nearly the same values"]

# Pairs that chance may produce in a whole cohort; 1 in 1000 cohorts has a false alarm.
EXPECTED_CHANCE_PAIRS = 1e-3
FEWEST_SAME_VALUES = 2  # in one, a rounded table may agree
# A column whose values repeat is a count, a label or a constant: agreeing in it says nothing.
CONTINUOUS_SHARE = 0.9
# Mean squared difference of two people over twice the variance: 1 for strangers, 0 for copies. Never called a copy
# above this, which is a correlation of .95 between the two profiles; a second scan of a person lies far above.
NEAR_DISTANCE = 0.05
SMALLEST_DISTANCE = 1e-9
FEWEST_SHARED_FEATURES = 6
SHARED_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class SamePair:
    """Two rows that are one person."""

    first: str
    second: str
    reason: Reason


def find_same_people(values: pd.DataFrame, *, input_digests: pd.Series | None = None) -> tuple[SamePair, ...]:
    """Pairs of participants who are, by all that can be told from their features, one person's visit.

    Parameters
    ----------
    values
        Features, index participant_id, NaN where missing.
    input_digests
        Digest of the files that the features were made from, by participant; missing where unknown.

    Returns
    -------
    tuple of SamePair
        The strongest reason of every pair, in the order of the table: equal input digests; continuous features equal
        to the last digit (more of them than rounding would explain); profiles closer than chance allows, given how
        many independent directions the features have.
    """
    found: dict[tuple[int, int], Reason] = {}
    digests = None if input_digests is None else input_digests.reindex(values.index)
    for pair in _equal_pairs([] if digests is None else digests.tolist()):
        found[pair] = "same scan"
    numbers = values.to_numpy(dtype=np.float64, na_value=np.nan)
    for pair in _copied(numbers):
        found.setdefault(pair, "same values")
    for pair in _near(numbers):
        found.setdefault(pair, "nearly the same values")
    names = [str(name) for name in values.index]
    return tuple(SamePair(names[a], names[b], reason) for (a, b), reason in sorted(found.items()))


def across_folds(
    pairs: Sequence[SamePair], participants: Sequence[str], partitions: NDArray[np.intp]
) -> tuple[LeakFinding, ...]:
    """Judge pairs by the folds: one half of a pair must never predict the other.

    Parameters
    ----------
    pairs
        From `find_same_people`.
    participants
        In the order of the partitions.
    partitions
        Fold of everyone, one row per repeat.
    """
    position = {name: number for number, name in enumerate(participants)}
    findings = []
    for reason in dict.fromkeys(pair.reason for pair in pairs):
        split: list[str] = []
        together: list[str] = []
        for pair in pairs:
            if pair.reason == reason:
                folds = partitions[:, [position[pair.first], position[pair.second]]]
                (split if (folds[:, 0] != folds[:, 1]).any() else together).append(f"{pair.first} = {pair.second}")
        for severity, names in (("leak", split), ("look", together)):
            if names:
                findings.append(
                    LeakFinding(
                        "duplicates",
                        severity,  # type: ignore[arg-type]
                        f"{len(names)} pairs have the {reason} "
                        f"{'in different folds' if severity == 'leak' else 'in the same fold'}: {listed(names)}.",
                        "features.tsv",
                        "Leave one of each pair out, or give both the same group, so that no fold separates them.",
                    )
                )
    return tuple(findings)


def _equal_pairs(values: Sequence[object]) -> Iterator[tuple[int, int]]:
    """Yield the positions of equal values; missing ones equal nothing."""
    rows: dict[object, list[int]] = {}
    for number, value in enumerate(values):
        if value is not None and value == value and value != "":
            rows.setdefault(value, []).append(number)
    for same in rows.values():
        yield from combinations(same, 2)


def _copied(numbers: NDArray[np.float64]) -> Iterator[tuple[int, int]]:
    """Yield pairs that agree to the last digit in more continuous columns than rounding explains."""
    n_people = len(numbers)
    n_pairs = n_people * (n_people - 1) // 2
    n_equal: dict[tuple[int, int], int] = {}
    n_matches = 0
    for column in numbers.T:
        if np.unique(column[np.isfinite(column)]).size >= CONTINUOUS_SHARE * max(np.isfinite(column).sum(), 2):
            for pair in _equal_pairs(column.tolist()):
                n_equal[pair] = n_equal.get(pair, 0) + 1
                n_matches += 1
    for pair, count in n_equal.items():
        by_rounding = (n_matches - count) / n_pairs  # matches that a pair of strangers has, on average
        chance = float(stats.poisson.sf(count - 1, by_rounding))
        if count >= FEWEST_SAME_VALUES and chance * n_pairs < EXPECTED_CHANCE_PAIRS:
            yield pair


def _near(numbers: NDArray[np.float64]) -> Iterator[tuple[int, int]]:
    """Yield pairs whose profiles are closer than those of strangers ever come."""
    n_people = len(numbers)
    if n_people < 3:
        return
    is_known = np.isfinite(numbers)
    numbers = numbers[:, is_known.sum(axis=0) >= max(3, SHARED_SHARE * n_people)]
    is_known = np.isfinite(numbers)
    spread = np.nanstd(numbers, axis=0)
    varies = spread > 1e-9 * np.abs(np.nanmean(numbers, axis=0))
    if varies.sum() < FEWEST_SHARED_FEATURES:
        return
    is_known = is_known[:, varies].astype(np.float64)
    z = np.where(is_known > 0, (numbers[:, varies] - np.nanmean(numbers[:, varies], axis=0)) / spread[varies], 0.0)
    n_shared = is_known @ is_known.T
    squares = z**2 @ is_known.T
    distance = (squares + squares.T - 2 * z @ z.T) / (2 * np.maximum(n_shared, 1))
    threshold = _chance_distance(z, n_people * (n_people - 1) // 2)
    enough = n_shared >= max(FEWEST_SHARED_FEATURES, SHARED_SHARE * z.shape[1])
    rows, columns = np.nonzero(np.triu((distance < threshold) & enough, k=1))
    yield from zip(rows.tolist(), columns.tolist(), strict=True)


def _chance_distance(z: NDArray[np.float64], n_pairs: int) -> float:
    """Distance below which chance brings fewer than `EXPECTED_CHANCE_PAIRS` pairs of strangers.

    The squared distance of two strangers is a sum of chi-square variables, weighted by the variances of the features'
    independent directions: a thousand features that all follow one global signal are one feature here. The probability
    of a small sum is bounded after Chernoff.
    """
    variances = np.linalg.svd(z - z.mean(axis=0), compute_uv=False) ** 2
    shares = variances[variances > 1e-12 * variances[0]] / variances.sum()
    wanted = float(np.log(EXPECTED_CHANCE_PAIRS / n_pairs))

    def excess(log_distance: float) -> float:
        return _log_chance_below(float(np.exp(log_distance)), shares) - wanted

    if excess(np.log(SMALLEST_DISTANCE)) >= 0:  # too few directions to tell anyone apart
        return 0.0
    if excess(np.log(NEAR_DISTANCE)) <= 0:
        return NEAR_DISTANCE
    root = float(optimize.brentq(excess, np.log(SMALLEST_DISTANCE), np.log(NEAR_DISTANCE)))
    return float(np.exp(root))


def _log_chance_below(distance: float, shares: NDArray[np.float64]) -> float:
    """Upper bound of the log probability that the weighted mean of chi-squares is below a distance (mean 1)."""

    def bound(log_rate: float) -> float:
        rate = np.exp(log_rate)
        return float(rate * distance - 0.5 * np.log1p(2 * rate * shares).sum())

    # The bound holds for any positive rate; the best one lies near the number of directions over twice the distance.
    return float(
        optimize.minimize_scalar(bound, bounds=(-5.0, np.log(len(shares) / distance) + 1), method="bounded").fun
    )
