"""Candidate models by name; every one is a scikit-learn regressor that tunes itself inside the fold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.pipeline import Pipeline

from predictor.errors import ConfigError
from predictor.model.deviation import ReferenceDeviation
from predictor.model.outcome_definition import Covariate
from predictor.model.response_design import ResponseDesign, covariate_column_names
from training.config import InnerFolds, ModelConfig, ValidationConfig
from training.evaluation.splits import check_fold_count, leave_one_out, stratified_folds, train_and_test
from training.penalised_regression import FINAL_TOLERANCE, PathProblem, PenalisedRegression

# A ridge path starts far above any useful penalty and must reach far down.
RIDGE_N_ALPHAS = 30
RIDGE_SMALLEST_FRACTION = 1e-5


class TunedElasticNet(RegressorMixin, BaseEstimator):
    """Elastic net whose penalties are chosen by inner cross-validation; the design is refitted in every inner fold.

    The penalty grid comes from the training data (glmnet's: from the penalty that empties the model downwards); the
    choice is the smallest mean squared error over the inner folds. The one-standard-error rule was not taken: with
    the small samples of this field its error bars are wide and it would return the covariates-only model most times.

    Parameters
    ----------
    design
        Transformer from the input table to standardised columns; cloned, never fitted itself.
    deviation
        Transformer that appends learned features to the input table before the design; None for none.
    unpenalised
        Names of design columns that are not shrunk (arm and clinical covariates): features must add to them.
    l1_ratios
        Candidates for the mixture; 0 is ridge.
    n_alphas, smallest_alpha_fraction
        Length of the grid and its lower end as a fraction of the upper one.
    inner_folds
        Number of inner folds, or "leave_one_out".
    arm
        Input column on which inner folds are stratified; None for cohorts without arms.
    random_state
        Seed of the inner folds.

    Attributes
    ----------
    pipeline_
        Fitted Pipeline of steps "deviation" (where there is one), "design" and "model", trained on all rows with the
        chosen penalties.
    choice_
        {"alpha", "l1_ratio", "inner_mse", "n_nonzero"}; alpha in the outcome's unit; with a floor of reliability also
        "n_unreliable", the number of features below it.
    """

    def __init__(
        self,
        design: Any,
        *,
        deviation: Any = None,
        unpenalised: tuple[str, ...] = (),
        l1_ratios: tuple[float, ...] = (0.2, 0.8),
        n_alphas: int = 20,
        smallest_alpha_fraction: float = 0.05,
        inner_folds: InnerFolds = 5,
        arm: str | None = None,
        random_state: int = 0,
    ) -> None:
        self.design = design
        self.deviation = deviation
        self.unpenalised = unpenalised
        self.l1_ratios = l1_ratios
        self.n_alphas = n_alphas
        self.smallest_alpha_fraction = smallest_alpha_fraction
        self.inner_folds = inner_folds
        self.arm = arm
        self.random_state = random_state

    def fit(self, X: pd.DataFrame, y: ArrayLike) -> Self:
        """Choose the penalties by inner cross-validation, then fit on all rows."""
        outcome = np.asarray(y, dtype=np.float64)
        steps = self._steps()
        columns = np.asarray(steps.fit_transform(X, outcome), dtype=np.float64)
        free = self._free_columns(steps)
        grids = self._alpha_grids(PathProblem(columns, outcome, unpenalised=free))
        errors = self._inner_errors(X, outcome, grids)
        best_ratio, best_alpha = np.unravel_index(np.argmin(errors), errors.shape)
        model = PenalisedRegression(
            alpha=float(grids[best_ratio, best_alpha]),
            l1_ratio=self.l1_ratios[best_ratio],
            unpenalised=free,
            tolerance=FINAL_TOLERANCE,
        ).fit(columns, outcome)
        self.pipeline_ = Pipeline([*steps.steps, ("model", model)])
        self.inner_mse_ = errors
        self.choice_ = {
            "alpha": model.alpha,
            "l1_ratio": model.l1_ratio,
            "inner_mse": float(errors[best_ratio, best_alpha]),
            "n_nonzero": float(np.count_nonzero(model.coef_)),
        }
        floor = getattr(self.design, "minimum_reliability", 0.0)
        if floor > 0:
            self.choice_["n_unreliable"] = float((steps.named_steps["design"].reliability_ < floor).sum())
        return self

    def predict(self, X: pd.DataFrame) -> NDArray[np.float64]:
        """Predicted outcome, shape (n_rows,)."""
        return np.asarray(self.pipeline_.predict(X), dtype=np.float64)

    def with_penalties_fixed(self) -> Pipeline:
        """Unfitted pipeline at the penalties chosen by `fit`, for refits on resamples."""
        model = self.pipeline_.named_steps["model"]
        return Pipeline([*self._steps().steps, ("model", clone(model))])

    def _steps(self) -> Pipeline:
        """Everything before the model, unfitted."""
        deviation = [] if self.deviation is None else [("deviation", clone(self.deviation))]
        return Pipeline([*deviation, ("design", clone(self.design))])

    def _alpha_grids(self, problem: PathProblem) -> NDArray[np.float64]:
        """Penalties to try, shape (n_l1_ratios, n_alphas), decreasing along each row."""
        fractions = np.geomspace(1.0, self.smallest_alpha_fraction, self.n_alphas)
        return np.array([problem.largest_alpha(ratio) * fractions for ratio in self.l1_ratios])

    def _inner_errors(
        self, X: pd.DataFrame, outcome: NDArray[np.float64], grids: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Mean squared error of every candidate over the inner folds, shape of `grids`."""
        squared = np.zeros(grids.shape)
        for train, test in train_and_test(self._inner_partition(X, outcome)):
            steps = self._steps()
            columns = np.asarray(steps.fit_transform(X.iloc[train], outcome[train]), dtype=np.float64)
            held_out = np.asarray(steps.transform(X.iloc[test]), dtype=np.float64)
            problem = PathProblem(columns, outcome[train], unpenalised=self._free_columns(steps))
            for row, (ratio, alphas) in enumerate(zip(self.l1_ratios, grids, strict=True)):
                coefficients, intercepts = problem.solve(alphas, l1_ratio=ratio)
                residual = outcome[test, np.newaxis] - held_out @ coefficients - intercepts
                squared[row] += (residual**2).sum(axis=0)
        return squared / len(outcome)

    def _inner_partition(self, X: pd.DataFrame, outcome: NDArray[np.float64]) -> NDArray[np.intp]:
        if self.inner_folds == "leave_one_out":
            return leave_one_out(len(outcome))
        arms = None if self.arm is None else list(X[self.arm])
        rng = np.random.default_rng(self.random_state)
        check_fold_count(len(outcome), self.inner_folds, where="[validation] inner_folds")
        return stratified_folds(outcome, arms, n_folds=self.inner_folds, rng=rng)

    def _free_columns(self, steps: Pipeline) -> tuple[int, ...]:
        """Positions of the unpenalised columns among what the design puts out."""
        if not self.unpenalised:
            return ()
        wanted, names = set(self.unpenalised), steps.named_steps["design"].get_feature_names_out()
        return tuple(number for number, name in enumerate(names) if name in wanted)


def make_estimator(
    name: str,
    *,
    covariates: Sequence[Covariate],
    arm_interactions: bool,
    model: ModelConfig,
    validation: ValidationConfig,
    features: Sequence[str] | None = None,
    unweighted: Sequence[str] = (),
    deviation: ReferenceDeviation | None = None,
    minimum_reliability: float = 0.0,
) -> TunedElasticNet:
    """Unfitted model by the name that experiment files use.

    Parameters
    ----------
    name
        One of `ESTIMATORS`.
    covariates, arm_interactions, unweighted, minimum_reliability
        See `ResponseDesign`.
    model, validation
        Sections of the experiment.
    features
        Columns that are features, learned ones among them; None takes every column that is no covariate.
    deviation
        Step that makes the learned ones.

    Raises
    ------
    ConfigError
        If there is no such model.
    """
    if name not in ESTIMATORS:
        raise ConfigError(f"there is no model {name!r}; known are {', '.join(sorted(ESTIMATORS))}.", where="[model]")
    arms = [covariate.name for covariate in covariates if covariate.role == "arm"]
    design = ResponseDesign(
        covariates=tuple(covariates),
        features=None if features is None else tuple(features),
        arm_interactions=arm_interactions and bool(arms),
        unweighted=tuple(unweighted),
        minimum_reliability=minimum_reliability,
    )
    return TunedElasticNet(
        design,
        deviation=deviation,
        unpenalised=covariate_column_names(covariates),
        inner_folds=validation.inner_folds,
        arm=arms[0] if arms else None,
        random_state=validation.seed,
        **ESTIMATORS[name](model),
    )


def _elastic_net(model: ModelConfig) -> dict[str, Any]:
    return {
        "l1_ratios": model.l1_ratios,
        "n_alphas": model.n_alphas,
        "smallest_alpha_fraction": model.smallest_alpha_fraction,
    }


def _ridge(model: ModelConfig) -> dict[str, Any]:
    return {
        "l1_ratios": (0.0,),
        "n_alphas": RIDGE_N_ALPHAS,
        "smallest_alpha_fraction": RIDGE_SMALLEST_FRACTION,
    }


ESTIMATORS: dict[str, Callable[[ModelConfig], dict[str, Any]]] = {"elastic_net": _elastic_net, "ridge": _ridge}
