"""Generalised psychophysiological interaction: how a seed's drive on a target changes while a condition lasts.

Each condition has its own psychological and its own interaction regressor; the interaction is built from the
*neuronal* signal of the seed and then convolved, because brain regions interact before the haemodynamic response.

References
----------
McLaren et al. (2012), NeuroImage 61:1277-1286, doi 10.1016/j.neuroimage.2012.03.068.
Gitelman et al. (2003), NeuroImage 19:200-207, doi 10.1016/S1053-8119(03)00058-2.
Di et al. (2017), Human Brain Mapping 38:1723-1740 (centring), doi 10.1002/hbm.23413.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from predictor.errors import FeatureError
from predictor.features.deconvolution import deconvolve
from predictor.features.hrf import HrfShape, ResponseModel
from predictor.features.region_glm import RegionGlm, fit_region_glm
from predictor.features.serial_correlation import ar1_noise
from predictor.features.task_design import (
    PRELUDE_BINS,
    Condition,
    DesignMatrix,
    MicrotimeGrid,
    condition_regressors,
    convolve_hrf,
    remove_drift,
    stimulus,
)

INTERACTION_PREFIX = "ppi_"
SEED_COLUMN = "seed"
CONSTANT_COLUMN = "constant"


@dataclass(frozen=True, slots=True, eq=False)
class SeedSignals:
    """What regions contribute when they are seeds: measured signal and, per condition, interaction."""

    physiological: NDArray[np.float64]  # (n_volumes, n_regions), drift and confounds removed
    interactions: dict[str, NDArray[np.float64]]  # by condition: (n_volumes, n_regions), mean zero
    psychological: DesignMatrix  # convolved conditions, with their derivatives if any are wanted


@dataclass(frozen=True, slots=True, eq=False)
class GppiEstimates:
    """A contrast of interactions for every seed on every target; row = seed, column = target, the diagonal is NaN."""

    effect: NDArray[np.float64]  # (n_regions, n_regions)
    standard_error: NDArray[np.float64]  # (n_regions, n_regions), unit of the effect


def seed_signals(
    bold: NDArray[np.float64],
    conditions: tuple[Condition, ...],
    grid: MicrotimeGrid,
    *,
    drift: NDArray[np.float64],
    confounds: NDArray[np.float64] | None = None,
    deconvolve_seed: bool = True,
    center_psychological: bool = True,
    response: ResponseModel | None = None,
) -> SeedSignals:
    """Prepare every region as a seed; the costly part, shared by all targets.

    Parameters
    ----------
    bold
        Region signals, shape (n_volumes, n_regions), percent signal change, not whitened; unbroken in time.
    conditions
        Every modelled condition of the run.
    grid
        The run's time grid.
    drift
        Orthonormal cosines, shape (n_volumes, n_cosines).
    confounds
        Motion, tissue signals, spikes of censored volumes, shape (n_volumes, n_confounds), standard deviation near 1.
    deconvolve_seed
        False multiplies the measured seed with the convolved condition instead.
    center_psychological
        Centre the psychological variable before the product (Di 2017), or leave it 0 and 1 (McLaren 2012).
    response
        Haemodynamic response; its derivatives stand beside the conditions, never beside the interactions.

    Returns
    -------
    SeedSignals
        In units of `bold`.
    """
    filtered = remove_drift(bold, drift)
    nuisance = _nuisance(grid.n_volumes, drift, confounds)
    physiological = filtered - nuisance @ np.linalg.lstsq(nuisance, filtered, rcond=1e-8)[0]
    response = response or ResponseModel()
    psychological = condition_regressors(conditions, grid, response=response)
    neuronal = deconvolve(filtered, grid, confounds=nuisance, shape=response.shape) if deconvolve_seed else None
    interactions = {}
    # The derivatives come after all conditions.
    for condition, regressor in zip(conditions, psychological.columns.T[: len(conditions)], strict=True):
        if neuronal is None:
            product = _centred_if(regressor, center_psychological)[:, None] * physiological
        else:
            shown = stimulus(condition, grid)[PRELUDE_BINS:]
            product = interaction_regressor(
                neuronal, shown, grid, center_psychological=center_psychological, shape=response.shape
            )
        interactions[condition.name] = product - product.mean(axis=0)
    return SeedSignals(physiological, interactions, psychological)


def interaction_regressor(
    neuronal: NDArray[np.float64],
    psychological: NDArray[np.float64],
    grid: MicrotimeGrid,
    *,
    center_psychological: bool = True,
    shape: HrfShape = "spm",
) -> NDArray[np.float64]:
    """Neuronal signal times psychological variable, convolved and sampled at the volumes.

    Parameters
    ----------
    neuronal
        Deconvolved signals, shape (n_bins, n_regions).
    psychological
        Stimulus of one condition (or a weighted sum of several), shape (n_bins,).
    grid
        The run's time grid.
    center_psychological
        Subtract the mean over the run before the product.
    shape
        Of the haemodynamic response.

    Returns
    -------
    ndarray of shape (n_volumes, n_regions)
        Not centred.
    """
    product = _centred_if(psychological, center_psychological)[:, None] * neuronal
    return convolve_hrf(product, grid, shape=shape)[grid.sampled_bins]


def gppi_design(seeds: SeedSignals, seed_index: int, *, confounds: DesignMatrix | None = None) -> DesignMatrix:
    """Design for one seed: conditions, interactions, seed, constant, and confounds if there are any.

    Interactions and seed have mean zero; the conditions are left as they are. Interaction columns are named
    `ppi_<condition>`, the seed `seed`.
    """
    seed = seeds.physiological[:, seed_index]
    interactions = [signals[:, seed_index] for signals in seeds.interactions.values()]
    names = (
        *seeds.psychological.names,
        *(INTERACTION_PREFIX + name for name in seeds.interactions),
        SEED_COLUMN,
        CONSTANT_COLUMN,
    )
    columns = [seeds.psychological.columns, *interactions, seed - seed.mean(), np.ones_like(seed)]
    if confounds is not None:
        columns, names = [*columns, confounds.columns], (*names, *confounds.names)
    return DesignMatrix(np.column_stack(columns), names)


def fit_gppi(
    bold: NDArray[np.float64],
    seeds: SeedSignals,
    seed_index: int,
    *,
    drift: NDArray[np.float64],
    confounds: DesignMatrix | None = None,
    covariance_row: NDArray[np.float64] | None = None,
) -> RegionGlm:
    """Fit one seed's design to all target regions at once.

    Parameters
    ----------
    bold
        Target signals, shape (n_volumes, n_targets).
    seeds, seed_index
        The prepared seeds and which of them drives.
    drift, confounds
        As given to `seed_signals`; they stand in the design of the targets too.
    covariance_row
        Noise correlation by lag, shape (n_volumes,); None for ordinary least squares.

    Returns
    -------
    RegionGlm
        Row `ppi_<condition>` of its betas is the change of slope from seed to target in that condition, unitless
        when both signals are in percent.
    """
    design = gppi_design(seeds, seed_index, confounds=confounds)
    return fit_region_glm(bold, design, drift=drift, covariance_row=covariance_row)


def gppi_estimates(
    bold: NDArray[np.float64],
    seeds: SeedSignals,
    contrast: dict[str, float],
    *,
    drift: NDArray[np.float64],
    confounds: DesignMatrix | None = None,
) -> GppiEstimates:
    """Contrast of interactions for every seed on every target, with its standard error.

    Effects are ordinary least squares: weighting by a noise covariance changes them little, and makes them depend on
    its estimate. The standard error takes the covariance into account: AR(1) noise, estimated by restricted maximum
    likelihood for each seed and target on its own.

    Parameters
    ----------
    bold
        Region signals, shape (n_volumes, n_regions), the same regions as `seeds`.
    contrast
        Weight per condition name, for example {"faces": 1, "control": -1}.

    Raises
    ------
    FeatureError
        If a condition is not modelled, the contrast cannot be estimated, or a signal is explained completely.
    """
    if seeds.physiological.shape != bold.shape:
        raise FeatureError(f"expected seeds of shape {bold.shape}, got {seeds.physiological.shape}.")
    weights_by_column = {INTERACTION_PREFIX + name: weight for name, weight in contrast.items()}
    effect, standard_error = np.full((2, bold.shape[1], bold.shape[1]), np.nan)
    for seed in range(bold.shape[1]):
        model = fit_gppi(bold, seeds, seed, drift=drift, confounds=confounds)
        functional = model.functional(model.design.weights(weights_by_column))
        targets = np.arange(bold.shape[1]) != seed  # the seed explains itself
        noise = ar1_noise(bold[:, targets], np.column_stack([model.design.columns, drift]))
        effect[seed, targets] = functional @ bold[:, targets]
        standard_error[seed, targets] = np.sqrt(noise.variance_of(functional))
    return GppiEstimates(effect, standard_error)


def _nuisance(n_volumes: int, drift: NDArray[np.float64], confounds: NDArray[np.float64] | None) -> NDArray[np.float64]:
    extra = np.empty((n_volumes, 0)) if confounds is None else confounds
    return np.column_stack([np.ones(n_volumes), drift, extra])


def _centred_if(signal: NDArray[np.float64], is_wanted: bool) -> NDArray[np.float64]:
    return signal - signal.mean() if is_wanted else signal
