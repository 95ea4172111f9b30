"""Least squares with standard errors that hold when the spread differs between people (HC3).

Where people belong to groups, they hold for any dependence within a group (CR3).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from predictor.errors import TrainingError

Floats = NDArray[np.float64]

# A person who alone decides a coefficient has no residual to judge it by; the division must stay finite.
MIN_FREE_SHARE = 1e-8
# Directions shorter than this share of the longest column are rounding error.
RANK_TOLERANCE = 1e-10


@dataclass(frozen=True, slots=True, eq=False)
class RobustRegression:
    """Coefficients of some terms beside others."""

    coefficients: Floats  # (n_terms,)
    covariance: Floats  # (n_terms, n_terms), HC3 or CR3
    degrees_of_freedom: int


def robust_regression(
    terms: Floats, beside: Floats, outcome: Floats, *, groups: NDArray[np.intp] | None = None
) -> RobustRegression:
    """Regress the outcome on the terms, beside columns whose coefficients nobody asks for.

    Parameters
    ----------
    terms
        Shape (n_people, n_terms).
    beside
        Shape (n_people, n_columns), the intercept among them; may be collinear.
    outcome
        Shape (n_people,).
    groups
        Group of everyone, shape (n_people,); None: everyone is on their own.

    Raises
    ------
    TrainingError
        If the terms cannot be told from each other or from what stands beside them, or people are too few.

    References
    ----------
    MacKinnon JG, White H (1985). Some heteroskedasticity-consistent covariance matrix estimators with improved finite
    sample properties. J Econometrics 29:305-325.
    Bell RM, McCaffrey DF (2002). Bias reduction in standard errors for linear regression with multi-stage samples.
    Surv Methodol 28:169-181.
    """
    basis = orthonormal_basis(beside)
    own = terms - basis @ (basis.T @ terms)
    size = np.sqrt((terms**2).sum(axis=0))
    is_lost = (own**2).sum(axis=0) <= (1e-7 * size) ** 2
    n_units = len(outcome) if groups is None else len(np.unique(groups))
    n_left = n_units - basis.shape[1] - terms.shape[1]
    if n_left < 1 or is_lost.any() or np.linalg.matrix_rank(own / np.where(size > 0, size, 1.0)) < terms.shape[1]:
        raise TrainingError(f"{terms.shape[1]} terms cannot be estimated from {n_units} people or groups.")
    rest = outcome - basis @ (basis.T @ outcome)
    inverse = np.linalg.inv(own.T @ own)
    coefficients = inverse @ (own.T @ rest)
    whole = np.column_stack([basis, orthonormal_basis(own)])
    scores = summed_within(own * _left_out(rest - own @ coefficients, whole, groups)[:, np.newaxis], groups)
    return RobustRegression(coefficients, inverse @ (scores.T @ scores) @ inverse, n_left)


def summed_within(scores: Floats, groups: NDArray[np.intp] | None) -> Floats:
    """Return sums over the members of every group, shape (n_groups, n_terms); without groups the scores themselves."""
    if groups is None:
        return scores
    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.diff(groups[order], prepend=-1))
    return np.asarray(np.add.reduceat(scores[order], starts, axis=0))


def _left_out(residual: Floats, basis: Floats, groups: NDArray[np.intp] | None) -> Floats:
    """Residuals of everyone (or every group) in the model of all others."""
    if groups is None:
        return np.asarray(residual / np.maximum(1 - (basis**2).sum(axis=1), MIN_FREE_SHARE))
    found = np.empty_like(residual)
    for group in np.unique(groups):
        rows = np.flatnonzero(groups == group)
        free, directions = np.linalg.eigh(np.eye(len(rows)) - basis[rows] @ basis[rows].T)
        found[rows] = directions @ ((directions.T @ residual[rows]) / np.maximum(free, MIN_FREE_SHARE))
    return found


def orthonormal_basis(columns: Floats) -> Floats:
    """Basis of what the columns span; a column that adds nothing is left out."""
    length = np.sqrt((columns**2).sum(axis=0))
    scaled = columns / np.where(length > 0, length, 1.0)
    left, singular, _ = np.linalg.svd(scaled, full_matrices=False)
    return np.asarray(left[:, singular > RANK_TOLERANCE * singular[0]])
