"""How far a resting edge would move if the same person were measured again for as long: circular block bootstrap.

Blocks of consecutive volumes are drawn with replacement, so that what is put together keeps the memory of the signals
within a block. A resample only counts how often each volume is drawn; means, covariances and shrinkage are sums over
volumes with these counts as weights, so all resamples are a few matrix products.

References
----------
Politis & Romano (1992), in LePage & Billard (eds), Exploring the Limits of Bootstrap, 263-270: circular blocks.
Politis & Romano (1995), J Time Series Analysis 16:67-103, doi 10.1111/j.1467-9892.1995.tb00223.x: the bias.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from predictor.errors import FeatureError
from predictor.features.rest_connectivity import MAX_ABS_CORRELATION

# One seed for everyone: the same signals give the same standard errors, today and tomorrow.
BOOTSTRAP_SEED = 20_240_517
# Fewer blocks than this say nothing about how blocks differ [assumed].
MINIMUM_BLOCKS = 4
# Resamples of partial correlation are inverted in portions of about this many numbers.
_NUMBERS_AT_ONCE = 2_000_000
_ROUNDING = 1e-12

EdgesOfResamples = Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]


def block_length(n_volumes: int, repetition_time_s: float, block_s: float) -> int:
    """Volumes per block.

    Parameters
    ----------
    n_volumes
        Kept volumes of the run.
    repetition_time_s, block_s
        Time between volumes, and wanted length of a block.

    Returns
    -------
    int
        At least 1.

    Raises
    ------
    FeatureError
        If fewer than 4 blocks fit in the run.
    """
    length = max(1, round(block_s / repetition_time_s))
    if n_volumes < MINIMUM_BLOCKS * length:
        raise FeatureError(
            f"{n_volumes} volumes hold fewer than {MINIMUM_BLOCKS} blocks of {length} volumes.",
            remedy="Use a longer run or shorter blocks.",
        )
    return length


def bootstrap_standard_errors(
    bold: NDArray[np.float64],
    edges_of_resamples: EdgesOfResamples,
    *,
    length: int,
    n_samples: int,
    freedom_left: float = 1.0,
) -> NDArray[np.float64]:
    """Return standard errors of the edges of one run.

    Blocks cut the memory of the signals short and hide what differs between blocks. Both make the variance too small,
    by a share that is known: the first halves when blocks get twice as long, so the variance from half blocks is used
    to take it away; the second is length / n_volumes.

    Parameters
    ----------
    bold
        Cleaned signals, shape (n_volumes, n_regions).
    edges_of_resamples
        `fisher_z_of_resamples` or `partial_fisher_z_of_resamples`.
    length
        Volumes per block.
    n_samples
        Resamples, at least 2.
    freedom_left
        Share of the degrees of freedom that confound regression has left, above 0. Residuals look as free as what
        they are residuals of; the bootstrap cannot know.

    Returns
    -------
    ndarray of shape (n_edges,)
        Unit of the edges, upper triangle row by row; NaN where a region is without change in some resample.
    """
    variance = _block_variance(bold, edges_of_resamples, length, n_samples)
    if length > 1:
        shorter = _block_variance(bold, edges_of_resamples, length // 2, n_samples)
        variance = np.maximum(2 * variance - shorter, variance / 2)
    return np.asarray(np.sqrt(variance / freedom_left))


def _block_variance(
    bold: NDArray[np.float64], edges_of_resamples: EdgesOfResamples, length: int, n_samples: int
) -> NDArray[np.float64]:
    n_volumes = len(bold)
    with np.errstate(invalid="ignore", divide="ignore"):
        edges = edges_of_resamples(bold, resample_counts(n_volumes, length, n_samples))
    return np.asarray(edges.var(axis=0, ddof=1) * n_volumes / (n_volumes - length))


@lru_cache(maxsize=8)  # both kinds of edges of a run, and the runs of one protocol, draw the same volumes
def resample_counts(n_volumes: int, length: int, n_samples: int) -> NDArray[np.float64]:
    """How often each resample draws each volume.

    Parameters
    ----------
    n_volumes
        Volumes to draw from, and drawn in each resample.
    length
        Volumes per block; the last volume is followed by the first, and the last block is cut to fit.
    n_samples
        Resamples.

    Returns
    -------
    ndarray of shape (n_samples, n_volumes)
        Whole numbers, every row sums to n_volumes; read-only, the same for the same arguments.
    """
    rng = np.random.default_rng(BOOTSTRAP_SEED)
    n_blocks = -(-n_volumes // length)
    starts = rng.integers(0, n_volumes, size=(n_samples, n_blocks))
    drawn = (starts[:, :, None] + np.arange(length)) % n_volumes
    volume = drawn.reshape(n_samples, -1)[:, :n_volumes]
    sample = np.arange(n_samples)[:, None] * n_volumes
    counts = np.bincount((volume + sample).ravel(), minlength=n_samples * n_volumes).astype(np.float64)
    counts = counts.reshape(n_samples, n_volumes)
    counts.setflags(write=False)
    return counts


def fisher_z_of_resamples(bold: NDArray[np.float64], counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fisher z of every pair of regions in every resample.

    Parameters
    ----------
    bold
        Shape (n_volumes, n_regions), no constant column.
    counts
        Shape (n_samples, n_volumes).

    Returns
    -------
    ndarray of shape (n_samples, n_regions * (n_regions - 1) / 2)
        Upper triangle row by row.
    """
    centred = bold - bold.mean(axis=0)
    return _fisher_z(_correlations(centred, counts, *_moments(centred, counts)))


def partial_fisher_z_of_resamples(bold: NDArray[np.float64], counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fisher z of the partial correlations of every resample, each with its own scaling and Ledoit-Wolf shrinkage.

    Parameters and return value as of `fisher_z_of_resamples`.
    """
    centred = bold - bold.mean(axis=0)
    n_at_once = max(1, _NUMBERS_AT_ONCE // max(centred.shape[1] ** 2, len(centred)))
    portions = [counts[first : first + n_at_once] for first in range(0, len(counts), n_at_once)]
    return np.concatenate([_partial_fisher_z(centred, portion) for portion in portions])


def _partial_fisher_z(centred: NDArray[np.float64], counts: NDArray[np.float64]) -> NDArray[np.float64]:
    n_regions = centred.shape[1]
    rows, columns = np.triu_indices(n_regions, k=1)
    mean, spread = _moments(centred, counts)
    correlations = _correlations(centred, counts, mean, spread)
    shrinkage = _ledoit_wolf(centred, counts, mean, spread, correlations)
    matrices = np.broadcast_to(np.eye(n_regions), (len(counts), n_regions, n_regions)).copy()
    matrices[:, rows, columns] = matrices[:, columns, rows] = (1 - shrinkage)[:, None] * correlations
    precision = np.linalg.inv(matrices)
    scale = np.sqrt(np.diagonal(precision, axis1=1, axis2=2))
    return _fisher_z(-precision[:, rows, columns] / (scale[:, rows] * scale[:, columns]))


def _moments(
    centred: NDArray[np.float64], counts: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of each region in each resample, shape (n_samples, n_regions)."""
    mean = counts @ centred / len(centred)
    variance = counts @ centred**2 / len(centred) - mean**2
    # Of a region that does not change, rounding would leave a random rest.
    return mean, np.sqrt(np.where(variance > _ROUNDING * centred.var(axis=0), variance, np.nan))


def _correlations(
    centred: NDArray[np.float64],
    counts: NDArray[np.float64],
    mean: NDArray[np.float64],
    spread: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Correlation of each pair in each resample, shape (n_samples, n_edges)."""
    rows, columns = np.triu_indices(centred.shape[1], k=1)
    products = counts @ (centred[:, rows] * centred[:, columns]) / len(centred)
    return np.asarray((products - mean[:, rows] * mean[:, columns]) / (spread[:, rows] * spread[:, columns]))


def _ledoit_wolf(
    centred: NDArray[np.float64],
    counts: NDArray[np.float64],
    mean: NDArray[np.float64],
    spread: NDArray[np.float64],
    correlations: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Shrinkage of each resample's correlation matrix towards the identity, shape (n_samples,)."""
    n_volumes, n_regions = centred.shape
    # Squared length of each volume's vector of z-scores: sum over regions of (x - mean)^2 / spread^2.
    weight = 1 / spread**2
    lengths = weight @ (centred**2).T - 2 * (weight * mean) @ centred.T + np.sum(weight * mean**2, axis=1)[:, None]
    distance = 2 * np.sum(correlations**2, axis=1)  # of the correlation matrix from the identity, squared
    noise = (np.sum(counts * lengths**2, axis=1) / n_volumes - distance - n_regions) / n_volumes
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(distance > 0, np.minimum(noise / distance, 1.0), 0.0)


def _fisher_z(correlation: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.arctanh(np.clip(correlation, -MAX_ABS_CORRELATION, MAX_ABS_CORRELATION))
