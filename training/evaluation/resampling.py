"""Resamples of a cohort in which what belongs together stays together.

Relatives, or visits of one person, tell less than as many strangers. Where people belong to groups, whole groups are
drawn and left out, as in the folds; drawn one by one they would make every interval too narrow.

References
----------
Field CA, Welsh AH (2007). Bootstrapping clustered data. J R Stat Soc B 69:369-390.
Korn EL, Graubard BI (1998). Confidence intervals for proportions with small expected number of positive counts
estimated from survey data. Surv Methodol 24:193-201.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from training.evaluation.splits import codes, member_strata

Floats = NDArray[np.float64]
Groups = NDArray[np.intp]  # (n_participants,): number of everyone's group

N_BOOTSTRAP = 2000  # percentile ends of a 95 % interval rest on 50 draws each


def unit_numbers(n_participants: int, groups: Sequence[object] | Groups | None) -> Groups:
    """Return everyone's unit, numbered from 0: their group, or they themselves without groups."""
    return np.arange(n_participants, dtype=np.intp) if groups is None else codes(list(groups))


def count_units(groups: Groups | None, members: NDArray[np.bool_]) -> int:
    """Return how many groups hold at least one of the members; without groups how many members there are."""
    return int(members.sum()) if groups is None else len(np.unique(groups[members]))


def resample_counts(
    n_participants: int, *, seed: int, n_draws: int = N_BOOTSTRAP, groups: Groups | None = None
) -> Floats:
    """How often everyone stands in resamples of the cohort, shape (n_draws, n_participants).

    A person keeps one count in all repeats of a cross-validation: repeats are no further people.
    """
    units = unit_numbers(n_participants, groups)
    n_units = int(units.max()) + 1
    counts = np.random.default_rng(seed).multinomial(n_units, np.full(n_units, 1 / n_units), size=n_draws)
    return np.asarray(counts[:, units], dtype=np.float64)


def bootstrap_weights(
    n_participants: int, *, seed: int, n_draws: int = N_BOOTSTRAP, groups: Groups | None = None
) -> Floats:
    """Weights of people in resamples of the cohort, shape (n_draws, n_participants); rows sum to 1."""
    counts = resample_counts(n_participants, seed=seed, n_draws=n_draws, groups=groups)
    return np.asarray(counts / counts.sum(axis=1, keepdims=True))


def jackknife_weights(n_participants: int, groups: Groups | None = None) -> Floats:
    """Weights of people: everyone in the first row, then without one unit after the other; rows sum to 1."""
    units = unit_numbers(n_participants, groups)
    is_kept = units != np.arange(int(units.max()) + 1)[:, np.newaxis]
    return np.vstack([np.full(n_participants, 1 / n_participants), is_kept / is_kept.sum(axis=1, keepdims=True)])


@dataclass(frozen=True, slots=True, eq=False)
class UnitResampler:
    """Draws rows of a cohort with replacement: people, or groups as wholes, among those of the same strata."""

    alike: tuple[NDArray[np.intp], ...]  # units whose members are of the same strata
    rows_of: tuple[NDArray[np.intp], ...]  # by unit

    @classmethod
    def within(
        cls, n_participants: int, *, strata: Sequence[object] | None, groups: Sequence[object] | Groups | None = None
    ) -> UnitResampler:
        """Within strata such as arms; None draws over everyone, and everyone alone."""
        units = unit_numbers(n_participants, groups)
        labels = np.zeros(n_participants, dtype=np.intp) if strata is None else codes(strata)
        kinds = labels if groups is None else member_strata(labels, units)
        rows = np.split(np.argsort(units, kind="stable"), np.cumsum(np.bincount(units))[:-1])
        return cls(tuple(np.flatnonzero(kinds == kind) for kind in np.unique(kinds)), tuple(rows))

    def draw(self, rng: np.random.Generator) -> NDArray[np.intp]:
        """Rows of one resample."""
        drawn = np.concatenate([rng.choice(members, size=len(members)) for members in self.alike])
        return np.concatenate([self.rows_of[unit] for unit in drawn])


def effective_number(is_inside: NDArray[np.bool_], groups: Groups | None) -> float:
    """Return how many strangers a share among people in groups is worth; at most the number of people.

    People over the design effect, with the correction of Korn and Graubard for few groups. Where all are alike, no
    design effect can be seen, and every group counts once.
    """
    n_people = len(is_inside)
    if groups is None:
        return float(n_people)
    units = unit_numbers(n_people, groups)
    n_units, share = int(units.max()) + 1, is_inside.mean()
    if share in (0.0, 1.0) or n_units < 2:
        return float(n_units)
    sums = np.bincount(units, is_inside - share)
    variance = n_units / (n_units - 1) * (sums**2).sum() / n_people**2
    wanted = share * (1 - share) / max(variance, 1e-300)
    few = stats.t.ppf(0.975, n_people - 1) / stats.t.ppf(0.975, n_units - 1)
    return float(min(wanted * few**2, n_people))
