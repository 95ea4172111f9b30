"""Regressors beside the elastic net, made to add to covariates that no penalty touches."""

from __future__ import annotations

import warnings
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import t as student_t
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.cross_decomposition import PLSRegression
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.svm import SVR

Floats = NDArray[np.float64]

# Width of the tube in which errors cost nothing, in standard deviations of what covariates leave of the outcome.
SVR_TUBE = 0.1
# Forests hardly depend on their settings, and cost too much to tune: one setting, no inner folds.
N_TREES, TREE_LEAF = 100, 5


class AddedToCovariates(RegressorMixin, BaseEstimator):
    """Least squares on the covariates, plus a model of what they leave of the outcome.

    Parameters
    ----------
    model
        Regressor of the rest, which it gets in its standard deviations; cloned.
    unpenalised
        Numbers of the columns that are covariates.
    is_linear
        A linear model gets the other columns, less what covariates predict of them, divided by the root of their
        number, so that one range of penalties suits few and many. Any other model gets all columns as they are: trees
        and kernels find products of features with the arm and clinical columns by themselves.

    Attributes
    ----------
    coef_, intercept_
        Of linear models: on all columns, in the outcome's unit.
    """

    def __init__(self, model: Any, *, unpenalised: tuple[int, ...] = (), is_linear: bool = False) -> None:
        self.model = model
        self.unpenalised = unpenalised
        self.is_linear = is_linear

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Fit covariates first, then the model on the rest."""
        columns, outcome = np.asarray(X, dtype=np.float64), np.asarray(y, dtype=np.float64)
        self.n_features_in_ = columns.shape[1]
        covariates = self._covariates(columns)
        self.covariate_effects_ = np.linalg.lstsq(covariates, outcome, rcond=None)[0]
        rest = outcome - covariates @ self.covariate_effects_
        spread = float(rest.std())
        # What covariates explain to rounding error leaves nothing to model.
        self.outcome_scale_ = spread if spread > 1e-12 * max(float(np.abs(outcome).max()), 1e-300) else 0.0
        if self.is_linear:
            others = self._others(columns)
            self.shares_ = np.linalg.lstsq(covariates, others, rcond=None)[0]
            columns = (others - covariates @ self.shares_) / self._root(others)
        self.model_ = None
        if self.outcome_scale_ > 0 and columns.shape[1]:
            self.model_ = clone(self.model).fit(columns, rest / self.outcome_scale_)
        if self.is_linear:
            self._note_coefficients()
        return self

    def predict(self, X: ArrayLike) -> Floats:
        """Predicted outcome, shape (n_rows,)."""
        columns = np.asarray(X, dtype=np.float64)
        if self.is_linear:
            return np.asarray(columns @ self.coef_ + self.intercept_)
        rest = 0.0 if self.model_ is None else np.ravel(self.model_.predict(columns)) * self.outcome_scale_
        return np.asarray(self._covariates(columns) @ self.covariate_effects_ + rest)

    def _covariates(self, columns: Floats) -> Floats:
        """Intercept and covariates, shape (n_rows, 1 + n_unpenalised)."""
        return np.column_stack([np.ones(len(columns)), columns[:, list(self.unpenalised)]])

    def _others(self, columns: Floats) -> Floats:
        return np.delete(columns, list(self.unpenalised), axis=1)

    @staticmethod
    def _root(others: Floats) -> float:
        return float(np.sqrt(max(others.shape[1], 1)))

    def _note_coefficients(self) -> None:
        """Write covariates and model as one weighted sum of all columns."""
        is_covariate = np.zeros(self.n_features_in_, dtype=bool)
        is_covariate[list(self.unpenalised)] = True
        weights, constant = np.zeros(int((~is_covariate).sum())), 0.0
        if self.model_ is not None:
            scale = self.outcome_scale_ / np.sqrt(len(weights))
            weights = np.ravel(self.model_.coef_) * scale
            constant = float(np.ravel(self.model_.intercept_)[0]) * self.outcome_scale_
        of_covariates = self.covariate_effects_ - self.shares_ @ weights
        self.coef_ = np.empty(self.n_features_in_)
        self.coef_[~is_covariate] = weights
        self.coef_[list(self.unpenalised)] = of_covariates[1:]
        self.intercept_ = float(of_covariates[0]) + constant


class PartialLeastSquares(RegressorMixin, BaseEstimator):
    """Partial least squares with as many components as asked for, or as the data have.

    Parameters
    ----------
    n_components
        At least 1.
    """

    def __init__(self, *, n_components: int = 1) -> None:
        self.n_components = n_components

    def fit(self, X: Floats, y: Floats) -> Self:
        """Fit; columns of rank 0 give the constant model."""
        rank = int(np.linalg.matrix_rank(X - X.mean(axis=0)))
        if rank == 0:
            self.coef_, self.intercept_ = np.zeros(X.shape[1]), float(y.mean())
            return self
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="y residual is constant")  # all is explained before the last
            fitted = PLSRegression(n_components=min(self.n_components, rank), scale=False).fit(X, y)
        self.coef_ = np.ravel(fitted.coef_)
        self.intercept_ = float(y.mean() - X.mean(axis=0) @ self.coef_)
        return self

    def predict(self, X: Floats) -> Floats:
        """Predicted outcome, shape (n_rows,)."""
        return np.asarray(X @ self.coef_ + self.intercept_)


class ConnectomePredictiveModel(RegressorMixin, BaseEstimator):
    """Sums of the features that go with the outcome, and of those that go against it, in a linear model.

    Parameters
    ----------
    p_value
        Features whose correlation with the outcome is less probable than this by chance (two-sided) are selected.
    n_covariates
        Columns already taken out of features and outcome: each costs the test of the correlation a degree of freedom.

    Attributes
    ----------
    is_positive_, is_negative_
        Selected features, shape (n_features,).

    References
    ----------
    Shen X et al. (2017). Using connectome-based predictive modeling to predict individual behavior from brain
    connectivity. Nat Protoc 12:506-518.
    """

    def __init__(self, *, p_value: float = 0.05, n_covariates: int = 0) -> None:
        self.p_value = p_value
        self.n_covariates = n_covariates

    def fit(self, X: Floats, y: Floats) -> Self:
        """Select features, then fit both sums by least squares; without features it is the constant model."""
        centred, outcome = X - X.mean(axis=0), y - y.mean()
        norms = np.sqrt((centred**2).sum(axis=0) * (outcome**2).sum())
        # Below this, only rounding errors are left of a column.
        is_there = norms > 1e-12 * max(float(norms.max(initial=0.0)), 1e-300)
        r = np.where(is_there, centred.T @ outcome / np.where(is_there, norms, 1.0), 0.0)
        freedom = len(y) - 2 - self.n_covariates
        critical = student_t.isf(self.p_value / 2, freedom) if freedom > 0 else np.inf
        largest = 1.0 if np.isinf(critical) else critical / np.sqrt(freedom + critical**2)
        self.is_positive_, self.is_negative_ = r > largest, r < -largest
        networks = np.column_stack([X[:, self.is_positive_].sum(axis=1), X[:, self.is_negative_].sum(axis=1)])
        effects = np.linalg.lstsq(np.column_stack([np.ones(len(y)), networks]), y, rcond=None)[0]
        self.coef_ = effects[1] * self.is_positive_ + effects[2] * self.is_negative_
        self.intercept_ = float(effects[0])
        return self

    def predict(self, X: Floats) -> Floats:
        """Predicted outcome, shape (n_rows,)."""
        return np.asarray(X @ self.coef_ + self.intercept_)


class SmoothFunction(RegressorMixin, BaseEstimator):
    """Gaussian process with one length for all columns; lengths and noise maximise the marginal likelihood."""

    def fit(self, X: Floats, y: Floats) -> Self:
        """Fit to an outcome of mean 0 and variance 1."""
        length = float(np.sqrt(X.shape[1]))
        kernel = ConstantKernel(0.5, (1e-3, 1e2)) * RBF(2 * length, (0.3 * length, 30 * length))
        process = GaussianProcessRegressor(kernel + WhiteKernel(0.5, (1e-2, 1e1)))
        with warnings.catch_warnings():
            # On noise the best length or variance is the end of its range: an answer, not a failure.
            warnings.simplefilter("ignore", ConvergenceWarning)
            self.process_ = process.fit(X, y)
        self.kernel_parameters_ = np.asarray(self.process_.kernel_.theta)
        return self

    def predict(self, X: Floats) -> Floats:
        """Predicted outcome, shape (n_rows,)."""
        return np.asarray(self.process_.predict(X))


def candidate_model(name: str, *, random_state: int, n_covariates: int) -> tuple[Any, tuple[dict[str, Any], ...]]:
    """Unfitted model of one of the names, and the settings among which inner folds choose.

    Parameters
    ----------
    name
        One of `training.models.model_names.REGRESSORS` that is no elastic net.
    random_state
        Seed of the forest.
    n_covariates
        Unpenalised columns of the design.
    """
    match name:
        case "pls":
            return PartialLeastSquares(), tuple({"n_components": n} for n in (1, 2, 3, 5, 8))
        case "svr_linear":
            return SVR(kernel="linear", epsilon=SVR_TUBE), tuple(
                {"C": c} for c in (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
            )
        case "svr_rbf":
            # "scale" is one over the number of columns times their variance: a length of about the typical distance.
            return SVR(kernel="rbf", gamma="scale", epsilon=SVR_TUBE), tuple(
                {"C": c} for c in (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
            )
        case "gaussian_process":
            return SmoothFunction(), ({},)
        case "random_forest":
            forest = RandomForestRegressor(N_TREES, max_features=1 / 3, random_state=random_state)
            return forest, ({"min_samples_leaf": TREE_LEAF},)
        case "hist_gradient_boosting":
            boosting = HistGradientBoostingRegressor(
                learning_rate=0.1,
                max_leaf_nodes=6,
                l2_regularization=1.0,
                early_stopping=False,
                random_state=random_state,
            )
            return boosting, tuple({"max_iter": n, "min_samples_leaf": leaf} for n in (15, 50) for leaf in (5, 15))
        case "cpm":
            return ConnectomePredictiveModel(n_covariates=n_covariates), tuple({"p_value": p} for p in (0.01, 0.05))
    raise ValueError(f"no candidate model is called {name!r}")
