"""How strongly regions respond to a condition: contrasts of a first-level model of the region signals."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from predictor.features.region_glm import ContrastEstimate, fit_region_glm
from predictor.features.serial_correlation import reml_covariance
from predictor.features.task_design import Condition, DesignMatrix, MicrotimeGrid, condition_regressors

CONSTANT_COLUMN = "constant"


def activation_design(
    conditions: tuple[Condition, ...], grid: MicrotimeGrid, *, confounds: DesignMatrix | None = None
) -> DesignMatrix:
    """One convolved regressor per condition, the constant, and confounds if there are any."""
    regressors = condition_regressors(conditions, grid)
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
    explained = np.column_stack([design.columns, drift])
    # A covariance per region, not pooled: a region's number must not depend on which others are covered.
    estimates = []
    for region in range(bold.shape[1]):
        signal = bold[:, [region]]
        model = fit_region_glm(signal, design, drift=drift, covariance_row=reml_covariance(signal, explained))
        estimates.append(model.contrast(weights))
    return ContrastEstimate(
        effect=np.array([estimate.effect[0] for estimate in estimates]),
        standard_error=np.array([estimate.standard_error[0] for estimate in estimates]),
        degrees_of_freedom=estimates[0].degrees_of_freedom if estimates else 0,
    )
