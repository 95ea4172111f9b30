"""The neuronal signal behind a BOLD signal, estimated on the microtime grid.

A ridge regression with fixed variances: cosines convolved with the haemodynamic response explain the signal, and how
strongly they are shrunk does not depend on the data. The estimate is therefore proportional to the signal: it carries
the signal's unit, and no unit is shrunk more than another. The constant is a confound, so percent signal change around
zero and signals with a grand mean of 100 give the same.

References
----------
Gitelman et al. (2003), NeuroImage 19:200-207, doi 10.1016/S1053-8119(03)00058-2.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from predictor.errors import FeatureError
from predictor.features.hrf import HrfShape
from predictor.features.task_design import MicrotimeGrid, convolve_hrf

# Bins before the first volume, so that the response to earlier activity can be explained.
LEAD_IN_BINS = 128
NOISE_VARIANCE = 0.25  # only its ratio to the prior variance matters
CONFOUND_VARIANCE = 1e6  # so wide that confounds are hardly shrunk
# Added to each variance by the reference implementation; kept, since the estimates see it in the fifth digit.
VARIANCE_JITTER = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class NeuronalBasis:
    """Cosines in microtime and what they look like in the scan."""

    microtime: NDArray[np.float64]  # (n_bins, n_volumes)
    scan: NDArray[np.float64]  # (n_volumes, n_volumes): convolved, at the first bin of each volume


def deconvolve(
    bold: NDArray[np.float64],
    grid: MicrotimeGrid,
    *,
    confounds: NDArray[np.float64],
    whitening: NDArray[np.float64] | None = None,
    shape: HrfShape = "spm",
) -> NDArray[np.float64]:
    """Neuronal signal of one or several regions.

    Parameters
    ----------
    bold
        Region signals, shape (n_volumes, n_regions), percent signal change; unbroken in time.
    grid
        The run's time grid.
    confounds
        Columns that the signal may also hold, shape (n_volumes, n_confounds): constant, drift, motion, spikes. Apart
        from the orthonormal drift they should have a standard deviation near 1.
    whitening
        Matrix of shape (n_volumes, n_volumes) that `bold` and `confounds` have already been multiplied with.
        None (the default, and what gPPI uses): signals are not whitened.
    shape
        Of the haemodynamic response.

    Returns
    -------
    ndarray of shape (n_bins, n_regions)
        Neuronal signal per region, mean zero, in units of `bold`.

    Raises
    ------
    FeatureError
        If signals, confounds and grid differ in length, or hold values that are not finite.
    """
    if bold.shape[:1] != (grid.n_volumes,) or confounds.shape[:1] != (grid.n_volumes,):
        raise FeatureError(
            f"expected signals and confounds of {grid.n_volumes} volumes, got {bold.shape} and {confounds.shape}."
        )
    if not (np.isfinite(bold).all() and np.isfinite(confounds).all()):
        raise FeatureError("deconvolution needs signals and confounds without gaps.")
    basis = neuronal_basis(grid, shape)
    explained = basis.scan if whitening is None else whitening @ basis.scan
    regressors = np.column_stack([explained, confounds])
    prior_variance = np.full(regressors.shape[1], CONFOUND_VARIANCE)
    prior_variance[: grid.n_volumes] = grid.n_volumes / np.sum(basis.scan**2)
    noise_precision = 1 / (NOISE_VARIANCE + VARIANCE_JITTER)
    posterior_precision = regressors.T @ regressors * noise_precision
    posterior_precision[np.diag_indices_from(posterior_precision)] += 1 / (prior_variance + VARIANCE_JITTER)
    weights = linalg.solve(posterior_precision, regressors.T @ bold * noise_precision, assume_a="pos")
    neuronal = basis.microtime @ weights[: grid.n_volumes]
    return np.asarray(neuronal - neuronal.mean(axis=0))


@lru_cache(maxsize=4)  # runs of one study share length and repetition time; an entry holds some 5 MB
def neuronal_basis(grid: MicrotimeGrid, shape: HrfShape = "spm") -> NeuronalBasis:
    """Cosine basis of as many functions as volumes, with and without the haemodynamic response."""
    n_rows = grid.n_bins + LEAD_IN_BINS
    phase = np.pi * (2 * np.arange(n_rows)[:, None] + 1) * np.arange(grid.n_volumes) / (2 * n_rows)
    cosines = np.sqrt(2 / n_rows) * np.cos(phase)
    cosines[:, 0] /= np.sqrt(2)
    scan = convolve_hrf(cosines, grid, shape=shape)[LEAD_IN_BINS + grid.first_bins]
    microtime = cosines[LEAD_IN_BINS:].copy()
    for array in (microtime, scan):
        array.setflags(write=False)  # shared by every caller of the cache
    return NeuronalBasis(microtime, scan)
