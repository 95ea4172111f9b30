"""How strongly regions respond to a condition: contrasts of a first-level model of the region signals."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from predictor.features.hrf import ResponseModel
from predictor.features.region_glm import ContrastEstimate, RegionGlm, fit_region_glm
from predictor.features.serial_correlation import ar1_noise, reml_noise
from predictor.features.task_design import Condition, DesignMatrix, MicrotimeGrid, condition_regressors

CONSTANT_COLUMN = "constant"


@dataclass(frozen=True, slots=True, eq=False)
class ActivationEstimates:
    """A contrast of conditions in every region."""

    effect: NDArray[np.float64]  # (n_regions,), percent signal change
    standard_error: NDArray[np.float64]  # (n_regions,), unit of the effect


def activation_design(
    conditions: tuple[Condition, ...],
    grid: MicrotimeGrid,
    *,
    confounds: DesignMatrix | None = None,
    response: ResponseModel | None = None,
) -> DesignMatrix:
    """One convolved regressor per condition (and its derivatives), the constant, and confounds if there are any."""
    regressors = condition_regressors(conditions, grid, response=response)
    columns = [regressors.columns, np.ones(grid.n_volumes)]
    names = (*regressors.names, CONSTANT_COLUMN)
    if confounds is not None:
        columns, names = [*columns, confounds.columns], (*names, *confounds.names)
    return DesignMatrix(np.column_stack(columns), names)


def activation_contrast(
    bold: NDArray[np.float64],
    design: DesignMatrix,
    contrast: dict[str, float],
    *,
    drift: NDArray[np.float64],
) -> ContrastEstimate:
    """Contrast of conditions in every region, with AR(1) noise estimated for each region on its own.

    Parameters
    ----------
    bold
        Uncleaned region signals, shape (n_volumes, n_regions), percent signal change.
    design
        Conditions, constant and confounds.
    contrast
        Weight per condition name, for example {"faces": 1, "control": -1}.
    drift
        Orthonormal cosines, shape (n_volumes, n_cosines).

    Returns
    -------
    ContrastEstimate
        Effects in percent signal change (a long block has a regressor of height 1).

    Raises
    ------
    FeatureError
        If a condition is not modelled, the contrast cannot be estimated, or a signal is constant.
    """
    weights = design.weights(contrast)
    estimates = [model.contrast(weights) for model in _fits(bold, design, drift)]
    return ContrastEstimate(
        effect=np.array([estimate.effect[0] for estimate in estimates]),
        standard_error=np.array([estimate.standard_error[0] for estimate in estimates]),
        degrees_of_freedom=estimates[0].degrees_of_freedom if estimates else 0,
    )


def activation_estimates(
    bold: NDArray[np.float64],
    design: DesignMatrix,
    contrast: dict[str, float],
    *,
    drift: NDArray[np.float64],
) -> ActivationEstimates:
    """Effects of `activation_contrast` with standard errors that also hold in slow noise.

    The noise model of the fit is made for an autoregression near .2; where it is .6, as in averages of many voxels, its
    standard errors are a fifth too small. Here they are those of the same effects under AR(1) noise of any coefficient.

    Raises
    ------
    FeatureError
        As `activation_contrast`.
    """
    weights = design.weights(contrast)
    functionals = np.array([model.functional(weights) for model in _fits(bold, design, drift)])
    noise = ar1_noise(bold, np.column_stack([design.columns, drift]))
    variance = [noise.variance_of(functional)[region] for region, functional in enumerate(functionals)]
    return ActivationEstimates(np.sum(functionals * bold.T, axis=1), np.sqrt(variance))


def _fits(bold: NDArray[np.float64], design: DesignMatrix, drift: NDArray[np.float64]) -> Iterator[RegionGlm]:
    # A covariance per region, not pooled: a region's number must not depend on which others are covered.
    noise = reml_noise(bold, np.column_stack([design.columns, drift]))
    for region, row in enumerate(noise.correlation_rows):
        yield fit_region_glm(bold[:, [region]], design, drift=drift, covariance_row=row)
