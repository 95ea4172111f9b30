"""How well a design can tell its conditions apart, before any signal is looked at.

References
----------
Mumford et al. (2015), PLoS ONE 10:e0126255 (collinearity), doi 10.1371/journal.pone.0126255.
Dale (1999), Human Brain Mapping 8:109-114 (efficiency).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from predictor.errors import FeatureError
from predictor.features.region_glm import RegionGlm, fit_region_glm
from predictor.features.task_design import DesignMatrix


@dataclass(frozen=True, slots=True, eq=False)
class DesignDiagnostics:
    """Collinearity and efficiency of the regressors of interest, by column name.

    A regressor that the others explain completely has no number (None). The variance inflation is 1 for a regressor
    that nothing else in the design resembles, above about 5 where its beta is hardly its own. The efficiency is the
    inverse of a beta's variance for noise of variance 1, without serial correlation; `contrast` is that of the
    contrast. Efficiencies compare designs of one kind: they depend on the size of the regressors.
    """

    variance_inflation: dict[str, float | None]
    efficiency: dict[str, float | None]
    notes: tuple[str, ...] = ()  # what was decided about the design, in plain words


def design_diagnostics(
    design: DesignMatrix,
    columns: Iterable[str],
    contrast: dict[str, float],
    *,
    drift: NDArray[np.float64],
    notes: tuple[str, ...] = (),
) -> DesignDiagnostics:
    """Variance inflation and efficiency of some columns of a design, all others (drift too) held constant.

    Parameters
    ----------
    design
        The whole design of a run, confounds and constant among its columns.
    columns
        Names of the regressors of interest.
    contrast
        Weight per column name; a column that the design lacks leaves the contrast without a number.
    drift
        Orthonormal cosines, shape (n_volumes, n_cosines).
    notes
        Passed on.

    Raises
    ------
    FeatureError
        If the design has no such column, or no degrees of freedom are left.
    """
    # The signal plays no part; one is needed for the fit to have a shape.
    model = fit_region_glm(np.zeros((design.columns.shape[0], 1)), design, drift=drift)

    inflation: dict[str, float | None] = {}
    efficiencies: dict[str, float | None] = {}
    for name in columns:
        efficiencies[name] = own = _efficiency(model, design.weights({name: 1.0}))
        column = design.columns[:, design.names.index(name)]
        # 1 / (1 - R^2): all of the column's variance over the part of it that is the column's own.
        inflation[name] = None if own is None else float(np.sum((column - column.mean()) ** 2)) / own
    is_modelled = contrast.keys() <= set(design.names)
    efficiencies["contrast"] = _efficiency(model, design.weights(contrast)) if is_modelled else None
    return DesignDiagnostics(inflation, efficiencies, notes)


def _efficiency(model: RegionGlm, weights: NDArray[np.float64]) -> float | None:
    try:
        functional = model.functional(weights)
    except FeatureError:  # the other regressors explain it completely
        return None
    return 1 / float(functional @ functional)
