"""Serial correlation of fMRI noise, by restricted maximum likelihood (REML).

Two descriptions: a weighted sum of two covariance components around an AR(1) process of .2, as the reference numbers of
activations have it; and an AR(1) process of any coefficient, for the standard errors of interactions.

References
----------
Friston et al. (2002), NeuroImage 16:484-512, doi 10.1006/nimg.2002.1091 (components).
Pinheiro and Bates (2000), Mixed-Effects Models in S and S-PLUS, Springer, chapter 5 (autoregressive noise).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

if TYPE_CHECKING:
    from scipy.interpolate import CubicSpline

from predictor.errors import FeatureError

AUTOREGRESSION = 0.2  # coefficient around which the process is expanded
_DIFFERENCE_STEP = float(np.exp(-8))  # of the expansion, as the reference numbers have it
_NEGLIGIBLE = 1e-4  # a covariance below this counts as zero, which keeps the matrices banded
_NEGLIGIBLE_WHITENING = 1e-6  # entries below count as zero, as in the reference numbers
_SPECTRUM_POINTS = 512
_SAFE_MARGIN = 1e-3  # share of the admissible range left out at both ends
# Search of the best weight: a grid finds the valley, golden sections the bottom.
_GRID_POINTS = 25
_GOLDEN_STEPS = 28
_GOLDEN_SECTION = (np.sqrt(5) - 1) / 2
# Coefficients of the autoregressive process that are tried, from -.46 to .98, as their Fisher z.
_AR1_GRID = np.linspace(-0.5, 2.3, 29)


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


@dataclass(frozen=True, slots=True, eq=False)
class NoiseEstimate:
    """Noise of several regions: its variance, and how it is correlated in time."""

    correlation_rows: NDArray[np.float64]  # (n_regions, n_volumes), by lag, 1 at lag 0
    variance: NDArray[np.float64]  # (n_regions,), squared unit of the signal

    def variance_of(self, functional: NDArray[np.float64]) -> NDArray[np.float64]:
        """Variance, in each region, of the sum of its noise weighted by `functional` of shape (n_volumes,)."""
        products = np.correlate(functional, functional, mode="full")[functional.size - 1 :]
        products[1:] *= 2  # a lag stands on both sides of the diagonal
        return np.asarray(self.variance * (self.correlation_rows @ products))


def reml_noise(bold: NDArray[np.float64], design: NDArray[np.float64]) -> NoiseEstimate:
    """Restricted maximum likelihood estimate of the noise of each region on its own.

    Parameters
    ----------
    bold
        Region signals, shape (n_volumes, n_regions).
    design
        All regressors including drift, shape (n_volumes, n_columns); may be rank-deficient.

    Raises
    ------
    FeatureError
        If no degrees of freedom are left, or a signal is explained completely, so that there is no noise to describe.
    """
    free = _FreeSpace.of(design)
    squares = free.squares(bold)
    weights = free.best_weights(squares)
    expected, change = _expansion(bold.shape[0])
    variance = (squares / (1 + np.outer(free.change, weights))).mean(axis=0)
    return NoiseEstimate(expected + weights[:, None] * change, variance)


def ar1_noise(bold: NDArray[np.float64], design: NDArray[np.float64]) -> NoiseEstimate:
    """Restricted maximum likelihood estimate of a first-order autoregressive process, each region on its own.

    Unlike the two components of `reml_noise`, which are made for coefficients near .2, this follows slow noise too:
    what standard errors of least squares need when ongoing activity of a region is all noise to the model.

    Parameters
    ----------
    bold
        Region signals, shape (n_volumes, n_regions).
    design
        All regressors including drift, shape (n_volumes, n_columns); may be rank-deficient.

    Raises
    ------
    FeatureError
        If no degrees of freedom are left, or a signal is explained completely, so that there is no noise to describe.
    """
    basis = _orthonormal_basis(design)
    n_volumes, rank = basis.shape
    n_free = _checked_degrees_of_freedom(n_volumes, rank)
    residuals = bold - basis @ (basis.T @ bold)
    _check_noise(residuals, bold)
    # (1 - coefficient^2) times the inverse of the process's correlation is I - coefficient * near + coefficient^2 *
    # inner: `near` adds both neighbours, `inner` leaves out the first and the last volume. All products are taken once.
    both = np.column_stack([basis, residuals])
    near, inner = np.zeros_like(both), both.copy()
    near[1:] += both[:-1]
    near[:-1] += both[1:]
    inner[[0, -1]] = 0
    products = [both.T @ part for part in (both, near, inner)]
    coefficient = np.tanh(_AR1_GRID)[:, None, None]
    whole = (products[0] - coefficient * products[1] + coefficient**2 * products[2]) / (1 - coefficient**2)
    information, cross = whole[:, :rank, :rank], whole[:, :rank, rank:]
    own = np.diagonal(whole, axis1=1, axis2=2)[:, rank:]
    squares = own - np.sum(cross * np.linalg.solve(information, cross), axis=1)  # (n_coefficients, n_regions)
    log_determinant = np.linalg.slogdet(information)[1] + (n_volumes - 1) * np.log(1 - coefficient[:, 0, 0] ** 2)
    heights = n_free * np.log(squares) + log_determinant[:, None]
    # Here, because importing it takes half a second, which the service does not wait for before it answers.
    from scipy.interpolate import CubicSpline

    curves = CubicSpline(_AR1_GRID, np.column_stack([heights, np.log(squares)]))
    fisher_z = _lowest_point(curves, n_curves=bold.shape[1])
    variance = np.exp(np.diag(curves(fisher_z)[:, bold.shape[1] :])) / n_free
    return NoiseEstimate(np.tanh(fisher_z)[:, None] ** np.arange(n_volumes), variance)


def reml_covariance(bold: NDArray[np.float64], design: NDArray[np.float64]) -> NDArray[np.float64]:
    """Restricted maximum likelihood estimate of one noise correlation that all regions share.

    Parameters
    ----------
    bold
        Region signals, shape (n_volumes, n_regions), each weighted by the inverse of its own residual variance.
    design
        All regressors including drift, shape (n_volumes, n_columns); may be rank-deficient.

    Returns
    -------
    ndarray of shape (n_volumes,)
        First row of the Toeplitz correlation matrix (1 at lag 0).

    Raises
    ------
    FeatureError
        If no degrees of freedom are left, or a signal is explained completely, so that there is no noise to describe.
    """
    free = _FreeSpace.of(design)
    residual_variance = np.sum((free.directions.T @ bold) ** 2, axis=0)
    pooled = (free.squares(bold) / residual_variance).sum(axis=1, keepdims=True)
    expected, change = _expansion(bold.shape[0])
    return np.asarray(expected + free.best_weights(pooled)[0] * change)


def inverse_square_root(covariance_row: NDArray[np.float64]) -> NDArray[np.float64]:
    """Symmetric whitening matrix of a Toeplitz covariance given by its first row, shape (n, n).

    Raises
    ------
    FeatureError
        If the covariance is not positive definite.
    """
    # A symmetric Toeplitz matrix is the same read backwards, so it falls into two blocks of half the size: courses that
    # are symmetric in time, and courses that are antisymmetric. That is several times faster than the whole.
    n_volumes, half = covariance_row.size, covariance_row.size // 2
    upper = linalg.toeplitz(covariance_row[: n_volumes - half], covariance_row)  # first half, and the middle if any
    mirrored = upper[:, ::-1]
    symmetric = (upper + mirrored)[:, : n_volumes - half]
    antisymmetric = (upper - mirrored)[:half, :half]
    # The middle of an odd length is its own mirror image; it is counted once, not twice.
    symmetric[half:] /= np.sqrt(2)
    symmetric[:, half:] /= np.sqrt(2)
    even, odd = _inverse_square_root(symmetric), _inverse_square_root(antisymmetric)
    even[half:] *= np.sqrt(2)
    even[:, half:] *= np.sqrt(2)
    whitening = np.zeros((n_volumes, n_volumes))
    left, right = slice(0, n_volumes - half), slice(n_volumes - half, n_volumes)
    whitening[left, left] = even / 2
    whitening[left, right] = even[:, :half][:, ::-1] / 2
    whitening[:half, :half] += odd / 2
    whitening[:half, right] -= odd[:, ::-1] / 2
    whitening[right] = whitening[:half][::-1, ::-1]
    return np.where(np.abs(whitening) > _NEGLIGIBLE_WHITENING, whitening, 0.0)


@dataclass(frozen=True, slots=True, eq=False)
class _FreeSpace:
    """What a design leaves of a signal, turned so that both covariance components are diagonal there.

    With the design projected out, the noise covariance is I + weight * diag(change) in these coordinates, so a
    restricted likelihood costs no more than a sum, for any weight and any number of regions.
    """

    directions: NDArray[np.float64]  # (n_volumes, n_free), orthonormal, orthogonal to the design
    rotation: NDArray[np.float64]  # (n_free, n_free)
    change: NDArray[np.float64]  # (n_free,)

    @classmethod
    def of(cls, design: NDArray[np.float64]) -> _FreeSpace:
        """Return the space that a design of shape (n_volumes, n_columns) leaves free."""
        n_volumes = design.shape[0]
        basis = _orthonormal_basis(design)
        _checked_degrees_of_freedom(n_volumes, basis.shape[1])
        directions: NDArray[np.float64] = np.asarray(linalg.qr(basis)[0][:, basis.shape[1] :], dtype=np.float64)
        expected, change = (directions.T @ _multiply_toeplitz(row, directions) for row in _expansion(n_volumes))
        change_diagonal, rotation = linalg.eigh(change, expected, check_finite=False)
        return cls(directions, np.asarray(rotation), np.asarray(change_diagonal))

    def squares(self, bold: NDArray[np.float64]) -> NDArray[np.float64]:
        """Squared coordinates of signals of shape (n_volumes, n_regions), shape (n_free, n_regions)."""
        residuals = self.directions.T @ bold
        _check_noise(residuals, bold)
        return np.asarray((self.rotation.T @ residuals) ** 2)

    def best_weights(self, squares: NDArray[np.float64]) -> NDArray[np.float64]:
        """Weight of the change with the greatest restricted likelihood, per column of `squares`."""
        lower, upper = _admissible_range(*_expansion(self.directions.shape[0]))
        grid = np.linspace(lower, upper, _GRID_POINTS)
        heights = np.array([self._minus_log_likelihood(squares, np.full(squares.shape[1], w)) for w in grid])
        best = heights.argmin(axis=0)
        left, right = grid[np.maximum(best - 1, 0)], grid[np.minimum(best + 1, grid.size - 1)]
        for _ in range(_GOLDEN_STEPS):
            inner_left = right - _GOLDEN_SECTION * (right - left)
            inner_right = left + _GOLDEN_SECTION * (right - left)
            is_left = self._minus_log_likelihood(squares, inner_left) < self._minus_log_likelihood(squares, inner_right)
            left, right = np.where(is_left, left, inner_left), np.where(is_left, inner_right, right)
        return np.asarray((left + right) / 2)

    def _minus_log_likelihood(self, squares: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Twice the negative restricted log likelihood with the scale profiled out, plus a constant."""
        variance = 1 + np.outer(self.change, weights)
        return np.asarray(self.change.size * np.log((squares / variance).sum(axis=0)) + np.log(variance).sum(axis=0))


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


def _inverse_square_root(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    variances, directions = np.linalg.eigh(covariance)
    if variances.size and variances[0] <= 0:
        raise FeatureError("the noise covariance is not positive definite.")
    return np.asarray((directions / np.sqrt(variances)) @ directions.T)


def _lowest_point(curves: CubicSpline, *, n_curves: int) -> NDArray[np.float64]:
    """Place at which each of the first smooth curves over `_AR1_GRID` is lowest, shape (n_curves,)."""
    fine = np.linspace(_AR1_GRID[0], _AR1_GRID[-1], 20 * _AR1_GRID.size)
    heights = curves(fine)[:, :n_curves]
    middle = np.clip(heights.argmin(axis=0), 1, fine.size - 2)
    before, at, after = (np.take_along_axis(heights, middle[None] + step, axis=0)[0] for step in (-1, 0, 1))
    # A parabola through three points; at the end of the grid there may be none.
    curvature = np.maximum(before - 2 * at + after, 1e-300)
    shift = np.clip((before - after) / (2 * curvature), -1, 1)
    return np.asarray(fine[middle] + shift * (fine[1] - fine[0]))


def _checked_degrees_of_freedom(n_volumes: int, rank: int) -> int:
    if rank >= n_volumes:
        raise FeatureError(f"{n_volumes} volumes are too few for {rank} regressors.")
    return n_volumes - rank


def _check_noise(residuals: NDArray[np.float64], bold: NDArray[np.float64]) -> None:
    noise = np.sqrt((residuals**2).mean(axis=0))
    if not (noise > 1e-10 * np.maximum(np.abs(bold).max(axis=0), 1e-300)).all():
        raise FeatureError("a signal is constant or explained completely by the design; its noise cannot be estimated.")


def _multiply_toeplitz(row: NDArray[np.float64], matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Symmetric Toeplitz matrix, given by its first row of few lags, times a matrix."""
    product: NDArray[np.float64] = np.asarray(row[0] * matrix)
    for lag in range(1, int(np.flatnonzero(row)[-1]) + 1):
        product[lag:] += row[lag] * matrix[:-lag]
        product[:-lag] += row[lag] * matrix[lag:]
    return product


def _orthonormal_basis(design: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(linalg.orth(design / np.maximum(np.linalg.norm(design, axis=0), 1e-300), rcond=1e-8))
