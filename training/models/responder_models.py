"""Probability of a response: classifiers that tune and calibrate themselves inside the fold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.special import expit, log_expit
from sklearn.base import BaseEstimator, clone
from sklearn.pipeline import Pipeline
from sklearn.svm import SVC

from predictor.errors import ConfigError, OutcomeConstantError, TrainingError
from predictor.model.outcome_definition import OutcomeDefinition
from training.evaluation.splits import train_and_test
from training.models.in_fold_steps import TunedSettings
from training.models.model_names import CLASSIFIERS

Floats = NDArray[np.float64]

# Covariates that separate the classes would get infinite weights; this much of a ridge bounds them.
COVARIATE_RIDGE = 1e-3
SOLVER_TOLERANCE, MAX_STEPS = 1e-5, 2000


class PenalisedLogistic(BaseEstimator):
    """Logistic elastic net; columns named unpenalised get (nearly) no penalty.

    Minimises mean log loss + penalty * (l1_ratio * |b|_1 + (1 - l1_ratio) / 2 * |b|^2), penalty being `strength` times
    the smallest that empties the model. Solved by accelerated proximal gradients.

    Parameters
    ----------
    strength
        In (0, 1].
    l1_ratio
        In (0, 1].
    unpenalised
        Numbers of the columns that are covariates.
    """

    def __init__(self, *, strength: float = 0.3, l1_ratio: float = 0.5, unpenalised: tuple[int, ...] = ()) -> None:
        self.strength = strength
        self.l1_ratio = l1_ratio
        self.unpenalised = unpenalised

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Fit to labels 0 and 1."""
        columns, labels = np.asarray(X, dtype=np.float64), np.asarray(y, dtype=np.float64)
        table = np.column_stack([np.ones(len(columns)), columns])
        is_free = np.zeros(table.shape[1], dtype=bool)
        is_free[[0, *(number + 1 for number in self.unpenalised)]] = True
        ridge = np.where(is_free, COVARIATE_RIDGE, 0.0)
        ridge[0] = 0.0
        start = _proximal(table, labels, ridge, lasso=np.where(is_free, 0.0, np.inf))
        gradient = table.T @ (expit(table @ start) - labels) / len(labels)
        largest = float(np.abs(gradient[~is_free]).max(initial=0.0)) / self.l1_ratio
        penalty = self.strength * largest
        ridge = np.where(is_free, ridge, penalty * (1 - self.l1_ratio))
        weights = _proximal(table, labels, ridge, lasso=np.where(is_free, 0.0, penalty * self.l1_ratio), start=start)
        self.intercept_, self.coef_ = float(weights[0]), weights[1:]
        return self

    def decision_function(self, X: ArrayLike) -> Floats:
        """Log odds, shape (n_rows,)."""
        return np.asarray(np.asarray(X, dtype=np.float64) @ self.coef_ + self.intercept_)


class LinearMargin(BaseEstimator):
    """Linear support vector machine on columns divided by the root of their number.

    Parameters
    ----------
    cost
        Of an error, above 0.
    """

    def __init__(self, *, cost: float = 1.0) -> None:
        self.cost = cost

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Fit to labels 0 and 1."""
        columns = np.asarray(X, dtype=np.float64)
        root = np.sqrt(max(columns.shape[1], 1))
        if not columns.any():  # nothing to see: no margin
            self.coef_, self.intercept_ = np.zeros(columns.shape[1]), 0.0
            return self
        fitted = SVC(kernel="linear", C=self.cost).fit(columns / root, np.asarray(y) > 0)
        self.coef_, self.intercept_ = np.ravel(fitted.coef_) / root, float(fitted.intercept_[0])
        return self

    def decision_function(self, X: ArrayLike) -> Floats:
        """Distance from the margin's middle, shape (n_rows,); above 0 is a response."""
        return np.asarray(np.asarray(X, dtype=np.float64) @ self.coef_ + self.intercept_)


class CalibratedModel(BaseEstimator):
    """A classifier whose decision values become probabilities by a logistic curve.

    Parameters
    ----------
    model
        Unfitted, with `decision_function`.
    slope, offset
        Of the curve, learned from decision values of people whom the model had not seen.
    """

    def __init__(self, model: Any, *, slope: float = 1.0, offset: float = 0.0) -> None:
        self.model = model
        self.slope = slope
        self.offset = offset

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Fit the model; the curve is given."""
        self.model_ = clone(self.model).fit(X, y)
        self.coef_, self.intercept_ = self.model_.coef_ * self.slope, self.model_.intercept_ * self.slope + self.offset
        return self

    def predict(self, X: ArrayLike) -> Floats:
        """Probability of a response, shape (n_rows,)."""
        return np.asarray(expit(self.slope * self.model_.decision_function(X) + self.offset))


class TunedClassifier(TunedSettings):
    """Classifier tuned and calibrated on inner folds; `predict` gives the probability of a response.

    It stands where a regressor stands: the outcome is 1 for a response and 0 for none (`model_outcome`), and R2 against
    the training mean is then the share of the Brier score of the training rate of response that is saved.

    For every setting, decision values of people held out by inner folds are put through a logistic curve fitted to them
    (with Platt's softened labels, and a slope of at least 0); the smallest log loss wins, and its curve calibrates the
    model that is fitted on all rows.

    Parameters
    ----------
    design, harmonization, deviation, unpenalised, inner_folds, arm, random_state
        See `InFoldSteps`.
    model
        Unfitted, with `fit` and `decision_function`; gets `unpenalised` as column numbers if it has such a parameter.
    settings
        Parameters of the model to choose from.

    Attributes
    ----------
    pipeline_, choice_
        As of `TunedRegressor`; the choice also holds "inner_log_loss" and "slope".

    References
    ----------
    Platt J (1999). Probabilistic outputs for support vector machines. Advances in Large Margin Classifiers, 61-74.
    """

    def fit(self, X: pd.DataFrame, y: ArrayLike) -> Self:
        """Choose setting and curve by inner cross-validation, then fit on all rows.

        Raises
        ------
        TrainingError
            If the outcome holds other values than 0 and 1.
        OutcomeConstantError
            If it holds only one of them.
        """
        labels = _checked_labels(y)
        decisions = self._inner_decisions(X, labels)
        curves = [calibration_curve(values, labels) for values in decisions]
        losses = [_log_loss(slope * d + offset, labels) for (slope, offset), d in zip(curves, decisions, strict=True)]
        best = int(np.argmin(losses))
        steps = self._steps()
        columns = np.asarray(steps.fit_transform(X, labels), dtype=np.float64)
        slope, offset = curves[best]
        model = CalibratedModel(self._model(self.settings[best], steps), slope=slope, offset=offset)
        self.pipeline_ = Pipeline([*steps.steps, ("model", model.fit(columns, labels))])
        chosen = {name: float(value) for name, value in self.settings[best].items()}
        self.choice_ = chosen | {"inner_log_loss": losses[best], "slope": slope} | self._unreliable(steps)
        return self

    def _model(self, setting: Mapping[str, Any], steps: Pipeline) -> Any:
        model = clone(self.model).set_params(**setting)
        if "unpenalised" in model.get_params():
            model.set_params(unpenalised=self._free_columns(steps))
        return model

    def _inner_decisions(self, X: pd.DataFrame, labels: Floats) -> Floats:
        """Decision values of people held out by inner folds, shape (n_settings, n_people)."""
        decisions = np.zeros((len(self.settings), len(labels)))
        for train, test in train_and_test(self._inner_partition(X, labels)):
            if np.ptp(labels[train]) == 0:  # one class only: nothing can be decided
                continue
            steps = self._steps()
            columns = np.asarray(steps.fit_transform(X.iloc[train], labels[train]), dtype=np.float64)
            held_out = np.asarray(steps.transform(X.iloc[test]), dtype=np.float64)
            for number, setting in enumerate(self.settings):
                fitted = self._model(setting, steps).fit(columns, labels[train])
                decisions[number, test] = fitted.decision_function(held_out)
        return decisions


def classifier_model(name: str) -> tuple[Any, tuple[dict[str, Any], ...]]:
    """Unfitted classifier of one of `CLASSIFIERS`, and the settings among which inner folds choose."""
    if name == "logistic_elastic_net":
        strengths = (1.0, 0.7, 0.5, 0.35, 0.2, 0.1, 0.05)
        return PenalisedLogistic(), tuple({"strength": s, "l1_ratio": r} for r in (0.2, 0.8) for s in strengths)
    if name == "svm_linear":
        return LinearMargin(), tuple({"cost": c} for c in (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0))
    raise ValueError(f"no classifier is called {name!r}")


def model_outcome(name: str, definition: OutcomeDefinition, outcome: Floats) -> Floats:
    """Return what a model of this name is fitted to: the outcome, or for classifiers 1 for a response and 0 for none.

    Raises
    ------
    ConfigError
        If the model is a classifier, and the outcome neither is a response nor has a rule for one.
    """
    if name not in CLASSIFIERS or set(np.unique(outcome)) <= {0.0, 1.0}:
        return outcome
    if definition.response_threshold is None:
        raise ConfigError(
            f"{name} predicts a response, but the outcome {definition.name} has no rule for one.",
            where="[outcome] response_threshold",
            remedy="Add a response_threshold, choose an outcome that has one, or leave the model out.",
        )
    return np.asarray(definition.is_response(outcome), dtype=np.float64)


def calibration_curve(decisions: Floats, labels: Floats) -> tuple[float, float]:
    """Slope (at least 0) and offset of the logistic curve from decision values to probabilities.

    Held-out decision values of a model that knows nothing go *against* the labels, for a fold that lacks responders
    trains on more of them. A negative slope would use this artefact; instead everyone gets the rate of response.
    """
    n_yes, n_no = float((labels > 0).sum()), float((labels <= 0).sum())
    soft = np.where(labels > 0, (n_yes + 1) / (n_yes + 2), 1 / (n_no + 2))
    spread = float(decisions.std())
    rate = float(np.log(n_yes / n_no))
    if not spread > 0:
        return 0.0, rate
    scaled = decisions / spread

    def loss(parameters: Floats) -> tuple[float, Floats]:
        """Negative log likelihood of the softened labels, and its gradient."""
        values = parameters[0] * scaled + parameters[1]
        error = expit(values) - soft
        value = -float((soft * log_expit(values) + (1 - soft) * log_expit(-values)).sum())
        return value, np.array([error @ scaled, error.sum()])

    found = minimize(loss, np.array([1.0, rate]), jac=True, method="L-BFGS-B", bounds=[(0.0, None), (None, None)])
    slope, offset = (float(value) for value in found.x)
    return (slope / spread, offset) if slope > 0 else (0.0, rate)


def _checked_labels(y: ArrayLike) -> Floats:
    labels = np.asarray(y, dtype=np.float64)
    if not np.isin(labels, (0.0, 1.0)).all():
        raise TrainingError("expected 1 for a response and 0 for none, found other values.", where="[outcome]")
    if np.ptp(labels) == 0:
        which = "everyone" if labels[0] else "nobody"
        raise OutcomeConstantError(f"among {len(labels)} training people {which} responded.", where="[outcome]")
    return labels


def _log_loss(log_odds: Floats, labels: Floats) -> float:
    return -float(np.mean(labels * log_expit(log_odds) + (1 - labels) * log_expit(-log_odds)))


def _proximal(table: Floats, labels: Floats, ridge: Floats, *, lasso: Floats, start: Floats | None = None) -> Floats:
    """Weights that minimise the penalised mean log loss (accelerated proximal gradients with restarts)."""
    weights = np.zeros(table.shape[1]) if start is None else start
    is_out = np.isinf(lasso)
    used = table[:, ~is_out]
    step = 1.0 / (np.linalg.norm(used, 2) ** 2 / (4 * len(labels)) + float(ridge.max(initial=0.0)))
    bound, shrink = step * lasso[~is_out], ridge[~is_out]
    now = ahead = weights[~is_out]
    momentum = 1.0
    for _ in range(MAX_STEPS):
        gradient = used.T @ (expit(used @ ahead) - labels) / len(labels) + shrink * ahead
        moved = ahead - step * gradient
        after = np.sign(moved) * np.maximum(np.abs(moved) - bound, 0.0)
        change = after - now
        if float((ahead - after) @ change) > 0:  # it overshot: begin to accelerate anew
            momentum = 1.0
        following = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        ahead, now = after + (momentum - 1) / following * change, after
        momentum = following
        if np.abs(change).max() <= SOLVER_TOLERANCE * max(1.0, float(np.abs(now).max())):
            break
    found = np.zeros(table.shape[1])
    found[~is_out] = now
    return found
