"""How two regions go together at rest: correlation, and what is left of it when all other regions are known."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from predictor.errors import FeatureError
from predictor.scan.cleaning import RegionTimeseries

# An |r| this high means two regions share voxels; it would also send arctanh to infinity.
MAX_ABS_CORRELATION = 0.9999


def fisher_z_edges(timeseries: RegionTimeseries) -> NDArray[np.float64]:
    """Fisher z-transformed correlation of every pair of regions.

    Parameters
    ----------
    timeseries
        Cleaned signals, shape (n_volumes, n_regions).

    Returns
    -------
    ndarray of shape (n_regions * (n_regions - 1) / 2,)
        arctanh(r), unitless; upper triangle of the matrix, row by row.

    Raises
    ------
    FeatureError
        If two regions carry the same signal, or one is constant.

    Examples
    --------
    >>> bold = np.random.default_rng(0).standard_normal((200, 3))
    >>> fisher_z_edges(RegionTimeseries(bold, ("amygdala_L", "amygdala_R", "vmPFC"), 2.0)).shape
    (3,)
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = np.atleast_2d(np.corrcoef(timeseries.bold, rowvar=False))
    return _fisher_z(_upper_triangle(correlation), timeseries.region_names)


def partial_correlation_edges(timeseries: RegionTimeseries) -> NDArray[np.float64]:
    """Partial correlation of every pair of regions given all others, with Ledoit-Wolf shrinkage.

    Signals are z-scored first, because the shrinkage target (a multiple of the identity) supposes equal variances.

    Parameters
    ----------
    timeseries
        Cleaned signals, shape (n_volumes, n_regions).

    Returns
    -------
    ndarray of shape (n_regions * (n_regions - 1) / 2,)
        Partial correlation, -1 to 1; upper triangle of the matrix, row by row.

    Raises
    ------
    FeatureError
        If a signal is constant.

    References
    ----------
    Ledoit & Wolf (2004), J Multivariate Analysis 88:365-411, doi 10.1016/S0047-259X(03)00096-4.
    """
    # Here, because importing scikit-learn takes half a second, which the service does not wait for.
    from sklearn.covariance import ledoit_wolf

    centred = timeseries.bold - timeseries.bold.mean(axis=0)
    spread = centred.std(axis=0)
    if not (spread > 0).all():
        region = timeseries.region_names[int(np.argmin(spread > 0))]
        raise FeatureError(f"the signal of {region} is constant or not finite.")
    covariance, _ = ledoit_wolf(centred / spread, assume_centered=True)
    precision = np.linalg.inv(covariance)
    scale = np.sqrt(np.diag(precision))
    return -_upper_triangle(precision / np.outer(scale, scale))


def partial_fisher_z_edges(timeseries: RegionTimeseries) -> NDArray[np.float64]:
    """Fisher z of `partial_correlation_edges`; same order, same errors, and an error where |r| comes near 1."""
    return _fisher_z(partial_correlation_edges(timeseries), timeseries.region_names)


def _fisher_z(edges: NDArray[np.float64], region_names: tuple[str, ...]) -> NDArray[np.float64]:
    is_broken = ~(np.abs(edges) < MAX_ABS_CORRELATION)  # also true where r is NaN
    if is_broken.any():
        edge = int(np.argmax(is_broken))
        rows, columns = np.triu_indices(len(region_names), k=1)
        pair = f"{region_names[rows[edge]]} and {region_names[columns[edge]]}"
        raise FeatureError(
            f"correlation of {pair} is {edges[edge]:.4f}.",
            remedy="Check that both regions lie in the brain and do not overlap.",
        )
    return np.arctanh(edges)


def _upper_triangle(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(matrix[np.triu_indices_from(matrix, k=1)])
