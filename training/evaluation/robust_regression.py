"""Least squares with standard errors that hold when the spread differs between people (HC3)."""

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
    covariance: Floats  # (n_terms, n_terms), HC3
    degrees_of_freedom: int


def robust_regression(terms: Floats, beside: Floats, outcome: Floats) -> RobustRegression:
    """Regress the outcome on the terms, beside columns whose coefficients nobody asks for.

    Parameters
    ----------
    terms
        Shape (n_people, n_terms).
    beside
        Shape (n_people, n_columns), the intercept among them; may be collinear.
    outcome
        Shape (n_people,).

    Raises
    ------
    TrainingError
        If the terms cannot be told from each other or from what stands beside them, or people are too few.

    References
    ----------
    MacKinnon JG, White H (1985). Some heteroskedasticity-consistent covariance matrix estimators with improved finite
    sample properties. J Econometrics 29:305-325.
    """
    basis = orthonormal_basis(beside)
    own = terms - basis @ (basis.T @ terms)
    size = np.sqrt((terms**2).sum(axis=0))
    is_lost = (own**2).sum(axis=0) <= (1e-7 * size) ** 2
    n_left = len(outcome) - basis.shape[1] - terms.shape[1]
    if n_left < 1 or is_lost.any() or np.linalg.matrix_rank(own / np.where(size > 0, size, 1.0)) < terms.shape[1]:
        raise TrainingError(f"{terms.shape[1]} terms cannot be estimated from {len(outcome)} people.")
    rest = outcome - basis @ (basis.T @ outcome)
    inverse = np.linalg.inv(own.T @ own)
    coefficients = inverse @ (own.T @ rest)
    leverage = (basis**2).sum(axis=1) + np.einsum("ij,jk,ik->i", own, inverse, own)
    weighted = own * ((rest - own @ coefficients) / np.maximum(1 - leverage, MIN_FREE_SHARE))[:, np.newaxis]
    return RobustRegression(coefficients, inverse @ (weighted.T @ weighted) @ inverse, n_left)


def orthonormal_basis(columns: Floats) -> Floats:
    """Basis of what the columns span; a column that adds nothing is left out."""
    length = np.sqrt((columns**2).sum(axis=0))
    scaled = columns / np.where(length > 0, length, 1.0)
    left, singular, _ = np.linalg.svd(scaled, full_matrices=False)
    return np.asarray(left[:, singular > RANK_TOLERANCE * singular[0]])
