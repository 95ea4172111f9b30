"""Is the change of connectivity related to dissociation? Spearman correlations with permutation p.

Asked three times, because the arms differ in both: within the treated arm; over all people, where the difference
between arms counts as well; and over all people within arms, where it does not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

FloatArray = NDArray[np.float64]
Scope = Literal["treated arm", "all", "all, within arms"]
SCOPES: tuple[Scope, ...] = ("treated arm", "all", "all, within arms")

# With four people the smallest possible p is above .05.
MINIMUM_PEOPLE = 5
_TIE = 1 - 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Association:
    """Change of every pair against dissociation, in one group of people."""

    scope: Scope
    rho: FloatArray  # (n_edges,); NaN where too few people are left or a variable is constant
    p_uncorrected: FloatArray  # (n_edges,)
    p_family: FloatArray  # (n_edges,), corrected over pairs by the largest |rho|
    n_people: NDArray[np.int64]  # (n_edges,)


def associate(
    change: FloatArray, dissociation: FloatArray, is_treated: NDArray[np.bool_], *, n_permutations: int, seed: int
) -> tuple[Association, ...]:
    """Relate the change of every pair to dissociation, in every scope.

    Parameters
    ----------
    change
        Shape (n_people, n_edges), Fisher z; NaN where missing.
    dissociation
        Shape (n_people,), for example CADSS, 0-92; NaN where unknown.
    is_treated
        Shape (n_people,).
    n_permutations
        Permutations of dissociation over people (within arms where the scope says so); the true one counts too.
    seed
        Of the permutations.

    Returns
    -------
    tuple of Association
        Negative rho: the more connectivity fell, the stronger the dissociation.
    """
    seeds = np.random.SeedSequence(seed).spawn(len(SCOPES))
    return tuple(
        _associate(scope, change, dissociation, is_treated, n_permutations, np.random.default_rng(one))
        for scope, one in zip(SCOPES, seeds, strict=True)
    )


def _associate(
    scope: Scope,
    change: FloatArray,
    dissociation: FloatArray,
    is_treated: NDArray[np.bool_],
    n_permutations: int,
    rng: np.random.Generator,
) -> Association:
    is_in = np.isfinite(dissociation) & np.isfinite(change).any(axis=1)
    if scope == "treated arm":
        is_in &= is_treated
    strata = is_treated[is_in] if scope == "all, within arms" else np.zeros(int(is_in.sum()), dtype=np.bool_)
    scores = _permuted(dissociation[is_in], strata, n_permutations, rng)
    # One column per pair, one row per permutation, the true one first.
    rho = np.column_stack([_stratified_spearman(column, scores, strata) for column in change[is_in].T])
    size = np.abs(np.nan_to_num(rho, nan=0.0))
    p_uncorrected = (size >= size[0] * _TIE).mean(axis=0)
    p_family = (size.max(axis=1)[:, None] >= size[0] * _TIE).mean(axis=0)
    is_undefined = np.isnan(rho[0])
    p_uncorrected[is_undefined] = p_family[is_undefined] = np.nan
    return Association(scope, rho[0], p_uncorrected, p_family, np.isfinite(change[is_in]).sum(axis=0))


def _permuted(
    scores: FloatArray, strata: NDArray[np.bool_], n_permutations: int, rng: np.random.Generator
) -> FloatArray:
    """Return scores exchanged within strata, shape (1 + n_permutations, n_people); the first row is the true one."""
    rows = np.tile(scores, (n_permutations + 1, 1))
    for stratum in np.unique(strata):
        members = np.flatnonzero(strata == stratum)
        rows[1:, members] = rng.permuted(rows[1:, members], axis=1)
    return rows


def _stratified_spearman(change: FloatArray, scores: FloatArray, strata: NDArray[np.bool_]) -> FloatArray:
    """Return the correlation of ranks, taken and centred within strata, for every row of scores; shape (n_rows,)."""
    is_known = np.isfinite(change)
    if is_known.sum() < MINIMUM_PEOPLE:
        return np.full(len(scores), np.nan)
    change_ranks, score_ranks = np.zeros(len(change)), np.zeros(scores.shape)
    for stratum in np.unique(strata):
        members = np.flatnonzero(is_known & (strata == stratum))
        if len(members):
            middle = (len(members) + 1) / 2
            change_ranks[members] = stats.rankdata(change[members]) - middle
            score_ranks[:, members] = stats.rankdata(scores[:, members], axis=1) - middle
    with np.errstate(invalid="ignore", divide="ignore"):
        length = np.sqrt((change_ranks**2).sum() * (score_ranks**2).sum(axis=1))
        return np.asarray(score_ranks @ change_ranks / length, dtype=np.float64)
