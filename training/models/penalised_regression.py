"""Elastic net and ridge with unpenalised covariates, solved for a whole path of penalties."""

from __future__ import annotations

import warnings
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import enet_path

# lambda_max of a ridge is infinite; R's glmnet starts its path where an elastic net with this l1 ratio would.
RIDGE_L1_RATIO = 1e-3
# While tuning, the solver may stop early: errors this small do not move a cross-validated choice.
TUNING_TOLERANCE = 1e-3
FINAL_TOLERANCE = 1e-8
MAX_SWEEPS = 20_000
# Up to here a precomputed Gram matrix is fastest; beyond, most columns are screened out before the solver sees them.
MAX_GRAM_COLUMNS = 1_000
# A column left out by screening may exceed its bound by this share of the penalty before it is taken back in.
SCREENING_SLACK = 1e-3


class PenalisedRegression(RegressorMixin, BaseEstimator):
    """Elastic net (or ridge) at one penalty; the columns named unpenalised enter like covariates of least squares.

    Minimises 1/(2n) |y - Xb - Zc|^2 + alpha * l1_ratio * |b|_1 + alpha / s * (1 - l1_ratio) / 2 * |b|^2 over columns
    that the caller has standardised, Z being the intercept and the unpenalised columns, and s the standard deviation
    (1/n) of what Z leaves of y. This is glmnet's objective; the balance of both penalties does not depend on the
    outcome's unit.

    Parameters
    ----------
    alpha
        Penalty in the outcome's unit (glmnet's lambda), at least 0.
    l1_ratio
        0 is ridge, 1 the lasso.
    unpenalised
        Numbers of the columns that are not shrunk, besides the intercept.
    tolerance
        Relative accuracy of the solver.
    """

    def __init__(
        self, *, alpha: float = 1.0, l1_ratio: float = 0.5, unpenalised: tuple[int, ...] = (), tolerance: float = 1e-8
    ) -> None:
        self.alpha = alpha
        self.l1_ratio = l1_ratio
        self.unpenalised = unpenalised
        self.tolerance = tolerance

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Fit at `alpha`, coming down a short path so that the solver starts near its goal."""
        problem = PathProblem(X, y, unpenalised=self.unpenalised)
        largest = problem.largest_alpha(self.l1_ratio)
        steps = np.geomspace(largest, self.alpha, 8) if 0 < self.alpha < largest else np.array([self.alpha])
        coefficients, intercepts = problem.solve(steps, l1_ratio=self.l1_ratio, tolerance=self.tolerance)
        self.coef_ = coefficients[:, -1]
        self.intercept_ = float(intercepts[-1])
        self.n_features_in_ = len(self.coef_)
        return self

    def predict(self, X: ArrayLike) -> NDArray[np.float64]:
        """Predicted outcome, shape (n_rows,)."""
        return np.asarray(np.asarray(X, dtype=np.float64) @ self.coef_ + self.intercept_)


class PathProblem:
    """One training set, made ready to be solved for many penalties.

    The unpenalised columns and the intercept are regressed out of everything else first; by the theorem of Frisch,
    Waugh and Lovell the penalised coefficients are then the same as in the joint problem.
    """

    def __init__(self, X: ArrayLike, y: ArrayLike, *, unpenalised: tuple[int, ...] = ()) -> None:
        columns = np.asarray(X, dtype=np.float64)
        self._outcome = np.asarray(y, dtype=np.float64)
        self._is_free = np.zeros(columns.shape[1], dtype=bool)
        self._is_free[list(unpenalised)] = True
        self._penalised = columns[:, ~self._is_free]
        self._free = np.column_stack([np.ones(len(columns)), columns[:, self._is_free]])
        basis = _orthonormal_basis(self._free)
        self._rest = np.asfortranarray(self._penalised - basis @ (basis.T @ self._penalised))
        rest_outcome = self._outcome - basis @ (basis.T @ self._outcome)
        self.scale = float(np.sqrt((rest_outcome**2).mean()))
        # An outcome that the covariates explain to rounding error leaves nothing for the features.
        self._has_signal = self.scale > 1e-12 * max(float(np.abs(self._outcome).max()), 1e-300)
        self._target = rest_outcome / self.scale if self._has_signal else np.zeros_like(rest_outcome)
        self._moments = self._rest.T @ self._target
        self._gram: NDArray[np.float64] | None = None

    def largest_alpha(self, l1_ratio: float) -> float:
        """Smallest penalty at which every penalised coefficient is 0 (for ridge, glmnet's start of the path)."""
        if not self._has_signal or not len(self._moments):
            return 0.0
        strongest = float(np.abs(self._moments).max()) / len(self._target)
        return strongest / max(l1_ratio, RIDGE_L1_RATIO) * self.scale

    def solve(
        self, alphas: NDArray[np.float64], *, l1_ratio: float, tolerance: float = TUNING_TOLERANCE
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Coefficients (n_columns, n_alphas) and intercepts (n_alphas,) at decreasing penalties."""
        penalised = np.zeros((self._rest.shape[1], len(alphas)))
        if self._has_signal and self._rest.shape[1]:
            relative = alphas / self.scale
            solver = self._solve_ridge if l1_ratio == 0 else self._solve_elastic_net
            penalised = solver(relative, l1_ratio, tolerance) * self.scale
        free, *_ = np.linalg.lstsq(self._free, self._outcome[:, np.newaxis] - self._penalised @ penalised)
        coefficients = np.empty((len(self._is_free), len(alphas)))
        coefficients[~self._is_free] = penalised
        coefficients[self._is_free] = free[1:]
        return coefficients, free[0]

    def _solve_elastic_net(self, alphas: NDArray[np.float64], l1_ratio: float, tolerance: float) -> NDArray[np.float64]:
        """Coordinate descent of scikit-learn on the standardised problem."""
        if self._rest.shape[1] > MAX_GRAM_COLUMNS:
            return self._solve_screened(alphas, l1_ratio, tolerance)
        self._gram = self._rest.T @ self._rest if self._gram is None else self._gram
        return _descend(self._rest, self._target, self._moments, alphas, l1_ratio, tolerance, gram=self._gram)

    def _solve_screened(self, alphas: NDArray[np.float64], l1_ratio: float, tolerance: float) -> NDArray[np.float64]:
        """Solve for few columns at a time: those that the sequential strong rule cannot rule out.

        The rule may err, so every solution is checked against the optimality conditions of all columns, and solved
        again with those that break them.

        References
        ----------
        Tibshirani R et al. (2012). Strong rules for discarding predictors. J R Stat Soc B 74:245-266.
        """
        n_rows, n_columns = self._rest.shape
        path = np.zeros((n_columns, len(alphas)))
        current, correlation = np.zeros(n_columns), np.abs(self._moments) / n_rows
        previous = correlation.max() / l1_ratio
        for position, alpha in enumerate(alphas):
            kept = (correlation >= l1_ratio * (2 * alpha - previous)) | (current != 0)
            while kept.any():
                columns = np.asfortranarray(self._rest[:, kept])
                start = current[kept]
                current[kept] = _descend(
                    columns, self._target, self._moments[kept], alpha[np.newaxis], l1_ratio, tolerance, start=start
                )[:, 0]
                residual = self._target - columns @ current[kept]
                correlation = np.abs(self._rest.T @ residual) / n_rows
                is_broken = (correlation > alpha * l1_ratio * (1 + SCREENING_SLACK)) & ~kept
                if not is_broken.any():
                    break
                kept |= is_broken
            path[:, position], previous = current, alpha
        return path

    def _solve_ridge(self, alphas: NDArray[np.float64], l1_ratio: float, tolerance: float) -> NDArray[np.float64]:
        """Solve in closed form through the singular values; exact for every penalty."""
        left, singular, right = np.linalg.svd(self._rest, full_matrices=False)
        shrunk = (singular * (left.T @ self._target))[:, np.newaxis] / (
            singular[:, np.newaxis] ** 2 + len(self._target) * alphas
        )
        return np.asarray(right.T @ shrunk)


def _descend(
    columns: NDArray[np.float64],
    target: NDArray[np.float64],
    moments: NDArray[np.float64],
    alphas: NDArray[np.float64],
    l1_ratio: float,
    tolerance: float,
    *,
    gram: NDArray[np.float64] | None = None,
    start: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Coefficients (n_columns, n_alphas) by scikit-learn's coordinate descent."""
    with warnings.catch_warnings():
        # The weakest penalties of a path may stop before full accuracy; they are candidates, not results.
        warnings.simplefilter("ignore", ConvergenceWarning)
        _, coefficients, _ = enet_path(
            columns, target, l1_ratio=l1_ratio, alphas=alphas, precompute=False if gram is None else gram, Xy=moments,
            coef_init=start, tol=tolerance, max_iter=MAX_SWEEPS, check_input=False, copy_X=False,
            do_screening=gram is None,  # costs more than it saves when a sweep is as cheap as with a Gram matrix
        )  # fmt: skip
    return np.asarray(coefficients, dtype=np.float64)


def _orthonormal_basis(columns: NDArray[np.float64]) -> NDArray[np.float64]:
    """Basis of what the columns span; a column that adds nothing (a constant one) is left out."""
    left, singular, _ = np.linalg.svd(columns, full_matrices=False)
    return np.asarray(left[:, singular > 1e-10 * singular[0]])
