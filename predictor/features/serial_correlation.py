"""Serial correlation of fMRI noise: two covariance components around an AR(1) process, weighted by REML.

References
----------
Friston et al. (2002), NeuroImage 16:484-512, doi 10.1006/nimg.2002.1091.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, optimize

from predictor.errors import FeatureError

AUTOREGRESSION = 0.2  # coefficient around which the process is expanded
_DIFFERENCE_STEP = float(np.exp(-8))  # of the expansion, as the reference numbers have it
_NEGLIGIBLE = 1e-4  # a covariance below this counts as zero, which keeps the matrices banded
_NEGLIGIBLE_WHITENING = 1e-6  # entries below count as zero, as in the reference numbers
_SPECTRUM_POINTS = 512
_SAFE_MARGIN = 1e-3  # share of the admissible range left out at both ends


def covariance_components(n_volumes: int) -> NDArray[np.float64]:
    """First rows of two Toeplitz components; noise covariance is a weighted sum of them.

    They are the AR(1) covariance minus and plus its derivative by the coefficient (times the coefficient).

    Returns
    -------
    ndarray of shape (2, n_volumes)
        Covariance at lags 0, 1, ...
    """
    expected, change = _expansion(n_volumes)
    return np.stack([expected - change, expected + change])


def reml_covariance(bold: NDArray[np.float64], design: NDArray[np.float64]) -> NDArray[np.float64]:
    """Restricted maximum likelihood estimate of the noise covariance, up to scale.

    Parameters
    ----------
    bold
        Region signals, shape (n_volumes, n_regions). Several regions share one estimate, each weighted by the inverse
        of its own residual variance.
    design
        All regressors including drift, shape (n_volumes, n_columns); may be rank-deficient.

    Returns
    -------
    ndarray of shape (n_volumes,)
        First row of the Toeplitz correlation matrix (1 at lag 0).

    Raises
    ------
    FeatureError
        If a signal is explained completely, so that there is no noise to describe.
    """
    basis = _orthonormal_basis(design)
    residuals = bold - basis @ (basis.T @ bold)
    noise = np.sqrt((residuals**2).mean(axis=0))
    if not (noise > 1e-10 * np.maximum(np.abs(bold).max(axis=0), 1e-300)).all():
        raise FeatureError("a signal is constant or explained completely by the design; its noise cannot be estimated.")
    expected, change = _expansion(bold.shape[0])
    lower, upper = _admissible_range(expected, change)
    found = optimize.minimize_scalar(
        lambda weight: _minus_log_restricted_likelihood(expected + weight * change, residuals / noise, basis),
        bounds=(lower, upper),
        method="bounded",
        options={"xatol": 1e-7},
    )
    return np.asarray(expected + found.x * change)


def inverse_square_root(covariance_row: NDArray[np.float64]) -> NDArray[np.float64]:
    """Symmetric whitening matrix of a Toeplitz covariance given by its first row, shape (n, n).

    Raises
    ------
    FeatureError
        If the covariance is not positive definite.
    """
    variances, directions = np.linalg.eigh(linalg.toeplitz(covariance_row))
    if variances[0] <= 0:
        raise FeatureError("the noise covariance is not positive definite.")
    whitening = (directions / np.sqrt(variances)) @ directions.T
    return np.where(np.abs(whitening) > _NEGLIGIBLE_WHITENING, whitening, 0.0)


@lru_cache(maxsize=8)
def _expansion(n_volumes: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    lag = np.arange(n_volumes)
    expected = np.asarray(AUTOREGRESSION**lag, dtype=np.float64)
    shifted = np.asarray((AUTOREGRESSION + _DIFFERENCE_STEP) ** lag, dtype=np.float64)
    change = AUTOREGRESSION * (shifted - expected) / _DIFFERENCE_STEP
    is_negligible = expected < _NEGLIGIBLE
    expected[is_negligible] = 0
    change[is_negligible] = 0
    expected.setflags(write=False)
    change.setflags(write=False)
    return expected, change


def _admissible_range(expected: NDArray[np.float64], change: NDArray[np.float64]) -> tuple[float, float]:
    """Weights of the change for which the power spectrum is positive everywhere."""
    n_lags = int(np.count_nonzero(expected))
    cosines = np.cos(np.outer(np.linspace(0, np.pi, _SPECTRUM_POINTS), np.arange(n_lags)))
    doubled = np.where(np.arange(n_lags) == 0, 1, 2)
    base, slope = cosines @ (doubled * expected[:n_lags]), cosines @ (doubled * change[:n_lags])
    lower = float(np.max(-base[slope > 0] / slope[slope > 0]))
    upper = float(np.min(-base[slope < 0] / slope[slope < 0]))
    margin = _SAFE_MARGIN * (upper - lower)
    return lower + margin, upper - margin


def _minus_log_restricted_likelihood(
    covariance_row: NDArray[np.float64], residuals: NDArray[np.float64], basis: NDArray[np.float64]
) -> float:
    """Twice the negative restricted log likelihood with the scale profiled out, per region, plus a constant."""
    n_volumes, n_columns = basis.shape
    factor = linalg.cholesky_banded(_upper_band(covariance_row), check_finite=False)
    whitened = linalg.cho_solve_banded((factor, False), np.column_stack([basis, residuals]), check_finite=False)
    weighted_basis, weighted_residuals = whitened[:, :n_columns], whitened[:, n_columns:]
    information = basis.T @ weighted_basis
    projected = basis.T @ weighted_residuals
    error = np.sum(residuals * weighted_residuals) - np.sum(projected * np.linalg.solve(information, projected))
    log_determinant = 2 * np.log(factor[-1]).sum() + np.linalg.slogdet(information)[1]
    return float((n_volumes - n_columns) * np.log(error) + log_determinant)


def _upper_band(covariance_row: NDArray[np.float64]) -> NDArray[np.float64]:
    n_lags = int(np.flatnonzero(covariance_row)[-1]) + 1
    return np.repeat(covariance_row[n_lags - 1 :: -1][:, None], covariance_row.size, axis=1)


def _orthonormal_basis(design: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(linalg.orth(design / np.maximum(np.linalg.norm(design, axis=0), 1e-300), rcond=1e-8))
