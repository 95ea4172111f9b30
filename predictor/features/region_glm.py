"""General linear model of region signals: betas, contrasts and their uncertainty."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from predictor.errors import FeatureError
from predictor.features.serial_correlation import inverse_square_root
from predictor.features.task_design import DesignMatrix, remove_drift

# Singular values below this share of the largest count as zero: fMRIPrep's own cosines repeat the drift columns.
RANK_TOLERANCE = 1e-8
ESTIMABLE_TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class ContrastEstimate:
    """A contrast of betas in every region."""

    effect: NDArray[np.float64]  # (n_regions,), unit of the signal
    standard_error: NDArray[np.float64]  # (n_regions,)
    degrees_of_freedom: int

    @property
    def t(self) -> NDArray[np.float64]:
        """Effect over standard error, shape (n_regions,)."""
        return np.asarray(self.effect / self.standard_error)


@dataclass(frozen=True, slots=True, eq=False)
class RegionGlm:
    """A fitted model; one column of betas per region."""

    design: DesignMatrix
    betas: NDArray[np.float64]  # (n_columns, n_regions)
    residual_variance: NDArray[np.float64]  # (n_regions,)
    unscaled_covariance: NDArray[np.float64]  # (n_columns, n_columns)
    column_size: NDArray[np.float64]  # (n_columns,) norms, infinite for a column that drift explains completely
    row_basis: NDArray[np.float64]  # (rank, n_columns), orthonormal; what the data can tell of betas * column_size
    column_basis: NDArray[np.float64]  # (n_volumes, rank), orthonormal; the regressors as they were fitted
    singular_values: NDArray[np.float64]  # (rank,) of the regressors as they were fitted, over their size
    whitening: NDArray[np.float64] | None  # (n_volumes, n_volumes), symmetric; None: ordinary least squares
    degrees_of_freedom: int

    def contrast(self, weights: NDArray[np.float64]) -> ContrastEstimate:
        """Weighted sum of betas with its standard error.

        Raises
        ------
        FeatureError
            If the contrast cannot be told apart from the other regressors.
        """
        self._check_estimable(weights)
        variance = float(weights @ self.unscaled_covariance @ weights)
        return ContrastEstimate(
            weights @ self.betas, np.sqrt(variance * self.residual_variance), self.degrees_of_freedom
        )

    def functional(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Contrast as weights on the volumes, shape (n_volumes,): `functional @ bold` is its effect.

        Raises
        ------
        FeatureError
            If the contrast cannot be told apart from the other regressors.
        """
        self._check_estimable(weights)
        functional = self.column_basis @ (self.row_basis @ (weights / self.column_size) / self.singular_values)
        return np.asarray(functional if self.whitening is None else self.whitening @ functional)

    def _check_estimable(self, weights: NDArray[np.float64]) -> None:
        scaled = weights / self.column_size
        remainder = scaled - self.row_basis.T @ (self.row_basis @ scaled)
        is_lost = np.isinf(self.column_size) & (weights != 0)
        if is_lost.any() or np.abs(remainder).max() > ESTIMABLE_TOLERANCE * np.abs(scaled).max():
            raise FeatureError("the contrast cannot be estimated: its regressors are combinations of the others.")


def fit_region_glm(
    bold: NDArray[np.float64],
    design: DesignMatrix,
    *,
    drift: NDArray[np.float64],
    covariance_row: NDArray[np.float64] | None = None,
) -> RegionGlm:
    """Fit the same design to every region.

    Signals and design are first whitened (when a covariance is given), then drift is projected out of both.

    Parameters
    ----------
    bold
        Region signals, shape (n_volumes, n_regions).
    design
        Regressors of interest, confounds and the constant; may be rank-deficient.
    drift
        Orthonormal cosines, shape (n_volumes, n_cosines).
    covariance_row
        First row of the Toeplitz correlation matrix of the noise, shape (n_volumes,). None: ordinary least squares.

    Returns
    -------
    RegionGlm
        Betas in the unit of `bold` per unit of the regressor.

    Raises
    ------
    FeatureError
        If the lengths differ or no degrees of freedom are left.
    """
    if bold.ndim != 2 or bold.shape[0] != design.columns.shape[0]:
        raise FeatureError(f"expected signals of {design.columns.shape[0]} volumes in rows, got {bold.shape}.")
    both = np.column_stack([design.columns, bold])
    whitening = None if covariance_row is None else inverse_square_root(covariance_row)
    if whitening is not None:
        both = whitening @ both
    both = remove_drift(both, drift)
    regressors, signals = both[:, : len(design.names)], both[:, len(design.names) :]
    # Columns of very different size (motion in mm, raw tissue signals) would hide behind the rank tolerance.
    size = np.linalg.norm(regressors, axis=0)
    size[size <= RANK_TOLERANCE * np.linalg.norm(design.columns, axis=0)] = np.inf
    left, singular, right = np.linalg.svd(regressors / size, full_matrices=False)
    is_kept = singular > RANK_TOLERANCE * singular[0]
    left, singular, right = left[:, is_kept], singular[is_kept], right[is_kept]
    degrees_of_freedom = bold.shape[0] - drift.shape[1] - int(is_kept.sum())
    if degrees_of_freedom < 1:
        raise FeatureError(f"{bold.shape[0]} volumes are too few for {len(design.names) + drift.shape[1]} regressors.")
    scores = left.T @ signals
    betas = (right.T / size[:, None]) @ (scores / singular[:, None])
    residuals = signals - left @ scores
    root = right.T / size[:, None] / singular
    return RegionGlm(
        design=design,
        betas=betas,
        residual_variance=np.sum(residuals**2, axis=0) / degrees_of_freedom,
        unscaled_covariance=root @ root.T,
        column_size=size,
        row_basis=right,
        column_basis=left,
        singular_values=singular,
        whitening=whitening,
        degrees_of_freedom=degrees_of_freedom,
    )
