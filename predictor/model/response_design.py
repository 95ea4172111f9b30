"""From a table of people to the columns of a linear model; learned anew in every fold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.pipeline import Pipeline

from predictor.errors import MissingColumnError, TableError, TrainingError
from predictor.model.linear_model import LinearResponseModel
from predictor.model.outcome_definition import MAX_ABS_VALUE, Covariate, is_missing
from predictor.model.reliability import reliability, standard_error_column

# The arm of a model that was trained without arms.
ALL = "all"
SHOWN_NAMES = 5


class ResponseDesign(TransformerMixin, BaseEstimator):
    """Impute, standardise, and let the treatment arm shift and tilt the response.

    Columns that come out: every input standardised by the training rows; the arm, +0.5 for the first and -0.5 for
    the second level (for three and more arms one centred indicator each), so that main effects are averages over the
    arms; and, if asked for, the product of every feature with the arm. Missing values take the training median (the
    training share for indicators of a category); inputs that are set aside are 0 for everyone.

    Parameters
    ----------
    covariates
        What else is known about people; at most one with role "arm".
    features
        Columns that are features; None takes every column that is no covariate, in order.
    arm_interactions
        Whether features may matter differently in the arms.
    unweighted
        Features that other steps need and the model must not weigh.
    minimum_reliability
        Features whose `reliability` in the training rows is lower are set aside; needs their standard errors as columns
        `standard_error_column`. A feature without known standard errors is kept.

    Attributes
    ----------
    feature_names_, input_names_
        Features; features and inputs made from covariates.
    impute_values_, centre_, scale_, is_set_aside_
        Per input, shape (n_inputs,). Set aside is what is unweighted, unreliable, or constant in the training rows.
    reliability_
        Per feature, shape (n_features,), NaN where unknown or not asked for.
    """

    def __init__(
        self,
        *,
        covariates: tuple[Covariate, ...] = (),
        features: tuple[str, ...] | None = None,
        arm_interactions: bool = True,
        unweighted: tuple[str, ...] = (),
        minimum_reliability: float = 0.0,
    ) -> None:
        self.covariates = covariates
        self.features = features
        self.arm_interactions = arm_interactions
        self.unweighted = unweighted
        self.minimum_reliability = minimum_reliability

    def fit(self, X: pd.DataFrame, y: Any = None) -> Self:
        """Learn imputation, centre and scale from the training rows.

        Raises
        ------
        TrainingError
            If an input has no value in any training row.
        """
        of_covariates = {covariate.name for covariate in self.covariates}
        chosen = self.features if self.features is not None else [c for c in X.columns if c not in of_covariates]
        self.feature_names_ = tuple(chosen)
        self._header: pd.Index | None = None
        self.input_names_ = self.feature_names_ + tuple(n for c in self.covariates for n in c.input_names)
        raw = self.raw_inputs(X)
        is_empty = np.asarray(np.isnan(raw).all(axis=0))
        empty = [self.input_names_[number] for number in np.flatnonzero(is_empty)]
        if empty:
            shown = ", ".join(empty[:SHOWN_NAMES])
            raise TrainingError(
                f"{len(empty)} inputs have no value in any of {len(raw)} training rows: {shown}.",
                remedy="Leave these inputs out, or use larger folds.",
            )
        self._learn(raw)
        self._set_aside(raw, X)
        return self

    def transform(self, X: pd.DataFrame) -> NDArray[np.float64]:
        """Design matrix, shape (n_people, n_columns).

        Raises
        ------
        TableError
            If a column is missing, a level is unknown, or someone's arm is not given.
        """
        standardised = self.standardise(self.raw_inputs(X))
        arm = self.arm_columns(X)
        blocks = [standardised, arm]
        if self.arm_interactions:
            features = standardised[:, : len(self.feature_names_)]
            blocks += [features * arm[:, [number]] for number in range(arm.shape[1])]
        return np.concatenate(blocks, axis=1)

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Names of the design's columns: inputs, arm, products ("feature x arm")."""
        arms = arm_column_names(self.covariates)
        names = [*self.input_names_, *arms]
        if self.arm_interactions:
            names += [f"{feature} x {arm}" for arm in arms for feature in self.feature_names_]
        return np.array(names, dtype=object)

    def raw_inputs(self, X: pd.DataFrame) -> NDArray[np.float64]:
        """Return the inputs as they are, NaN where missing, shape (n_people, n_inputs).

        Raises
        ------
        TableError
            If a column is missing, a feature is no finite number, or a level is unknown.
        """
        try:
            features = self._features(X)
        except (TypeError, ValueError) as error:
            raise TableError("expected numbers in all feature columns, found other values.") from error
        if np.isinf(features).any():
            raise TableError("expected finite numbers in all feature columns, found infinity.")
        covariates = [encoded_column(covariate, X[covariate.name]) for covariate in self.covariates]
        return np.concatenate([features, *covariates], axis=1)

    def standardise(self, raw: NDArray[np.float64]) -> NDArray[np.float64]:
        """Imputed inputs in training standard deviations from the training mean, shape as given."""
        filled = np.where(np.isnan(raw), self.impute_values_, raw)
        return np.where(self.is_set_aside_, 0.0, (filled - self.centre_) / self.scale_)

    def arm_columns(self, X: pd.DataFrame) -> NDArray[np.float64]:
        """Contrast of the arms for each person, shape (n_people, n_arm_columns).

        Raises
        ------
        TableError
            If someone's arm is not given or unknown.
        """
        contrasts = arm_contrasts(self.covariates)
        covariate = _arm_of(self.covariates)
        if covariate is None:
            return np.zeros((len(X), 0))
        values = X[covariate.name].tolist()
        if any(map(_once(is_missing), values)):
            raise TableError("expected an arm for everyone, found empty cells.", where=covariate.name)
        return contrasts[list(map(_once(lambda value: covariate.levels.index(str(covariate.level_of(value)))), values))]

    def _features(self, X: pd.DataFrame) -> NDArray[np.float64]:
        """Return the feature columns as numbers, found by position once the table's header is known.

        Folds of one cohort share one header and ask thousands of times; looking names up would take half of each fit.
        """
        known = getattr(self, "_header", None)
        if known is None or not X.columns.is_(known):
            _check_columns(X, [*self.feature_names_, *(c.name for c in self.covariates)])
            if not X.columns.is_unique:
                return X.loc[:, list(self.feature_names_)].to_numpy(dtype=np.float64, na_value=np.nan)
            positions = X.columns.get_indexer(pd.Index(self.feature_names_, dtype=object))
            first, n_features = (int(positions[0]), len(positions)) if len(positions) else (0, 0)
            is_run = np.array_equal(positions, np.arange(first, first + n_features))
            self._header, self._positions = X.columns, slice(first, first + n_features) if is_run else positions
        chosen = X.iloc[:, self._positions]
        numbers = chosen.to_numpy()
        return numbers if numbers.dtype == np.float64 else chosen.to_numpy(dtype=np.float64, na_value=np.nan)

    def _learn(self, raw: NDArray[np.float64]) -> None:
        is_indicator = np.array(
            [False] * len(self.feature_names_) + [c.kind == "category" for c in self.covariates for _ in c.input_names],
            dtype=bool,
        )
        middle = np.median if not np.isnan(raw).any() else np.nanmedian
        self.impute_values_ = np.where(is_indicator, np.nanmean(raw, axis=0), middle(raw, axis=0))
        filled = np.where(np.isnan(raw), self.impute_values_, raw)
        self.centre_ = filled.mean(axis=0)
        # Compared exactly: the standard deviation of a constant column is rounding error, not 0.
        self.is_set_aside_ = np.asarray(filled.max(axis=0, initial=-np.inf) == filled.min(axis=0, initial=np.inf))
        self.scale_ = np.where(self.is_set_aside_, 1.0, filled.std(axis=0))

    def _set_aside(self, raw: NDArray[np.float64], X: pd.DataFrame) -> None:
        """Add what must not or cannot be relied on to what is constant."""
        names, n_features = self.feature_names_, len(self.feature_names_)
        self.reliability_ = np.full(n_features, np.nan)
        if self.unweighted:
            self.is_set_aside_[:n_features] |= np.isin(names, self.unweighted)
        if self.minimum_reliability > 0:
            errors = X.reindex(columns=[standard_error_column(name) for name in names])
            self.reliability_ = reliability(raw[:, :n_features], errors.to_numpy(dtype=np.float64, na_value=np.nan))
            self.is_set_aside_[:n_features] |= self.reliability_ < self.minimum_reliability


def linear_model_of(pipeline: Pipeline) -> LinearResponseModel:
    """Write a fitted pipeline as plain arrays that predict the same.

    Parameters
    ----------
    pipeline
        Fitted steps "design" (`ResponseDesign`) and "model" (a linear regressor with `coef_` and `intercept_`, or a
        constant one such as DummyRegressor).

    Returns
    -------
    LinearResponseModel
        One set of coefficients per arm: main effect plus the arm's share of the interactions.
    """
    design: ResponseDesign = pipeline.named_steps["design"]
    return weighted_sum(design, *_coefficients_of(pipeline.named_steps["model"], len(design.get_feature_names_out())))


def weighted_sum(design: ResponseDesign, coefficients: NDArray[np.float64], intercept: float) -> LinearResponseModel:
    """Write a weighted sum of the columns of a fitted design as plain arrays; `coefficients` one per column."""
    n_inputs, n_features = len(design.input_names_), len(design.feature_names_)
    contrasts = arm_contrasts(design.covariates)
    n_columns = contrasts.shape[1]
    of_arm = coefficients[n_inputs : n_inputs + n_columns]
    per_arm = np.tile(coefficients[:n_inputs], (len(contrasts), 1))
    if design.arm_interactions and n_columns:
        per_arm[:, :n_features] += contrasts @ coefficients[n_inputs + n_columns :].reshape(n_columns, n_features)
    return LinearResponseModel(
        input_names=design.input_names_,
        impute_values=design.impute_values_,
        centre=design.centre_,
        scale=design.scale_,
        arms=arm_names(design.covariates),
        intercept=intercept + contrasts @ of_arm,
        coefficients=np.where(design.is_set_aside_, 0.0, per_arm),
    )


def arm_names(covariates: Sequence[Covariate]) -> tuple[str, ...]:
    """Arms that a model of these covariates answers for."""
    covariate = _arm_of(covariates)
    return covariate.levels if covariate else (ALL,)


def arm_contrasts(covariates: Sequence[Covariate]) -> NDArray[np.float64]:
    """Values of the arm columns in each arm, shape (n_arms, n_arm_columns); every column sums to 0."""
    n_arms = len(arm_names(covariates))
    if n_arms == 1:
        return np.zeros((1, 0))
    if n_arms == 2:
        return np.array([[0.5], [-0.5]])
    return np.eye(n_arms) - 1 / n_arms


def arm_column_names(covariates: Sequence[Covariate]) -> tuple[str, ...]:
    """Names of the design's arm columns, "arm=ketamine"; none when there is one arm or none."""
    covariate = _arm_of(covariates)
    if covariate is None or len(covariate.levels) == 1:
        return ()
    return tuple(f"{covariate.name}={level}" for level in covariate.indicated_levels)


def covariate_column_names(covariates: Sequence[Covariate]) -> tuple[str, ...]:
    """Names of all design columns that are not made from features: covariates, then the arm."""
    return tuple(name for c in covariates for name in c.input_names) + arm_column_names(covariates)


def encoded_column(covariate: Covariate, column: pd.Series) -> NDArray[np.float64]:
    """Model inputs of a column, shape (n_people, n_inputs): `Covariate.encode`, asking once for every value."""
    if not covariate.input_names:
        return np.empty((len(column), 0))
    if covariate.kind == "number" and column.dtype == np.float64:
        numbers = column.to_numpy()
        if not (np.abs(numbers) > MAX_ABS_VALUE).any():
            return numbers[:, np.newaxis]
    rows = list(map(_once(lambda value: covariate.encode([value])[0]), column.tolist()))
    return np.array(rows, dtype=np.float64).reshape(len(rows), len(covariate.input_names))


def _arm_of(covariates: Sequence[Covariate]) -> Covariate | None:
    arms = [covariate for covariate in covariates if covariate.role == "arm"]
    if len(arms) > 1:
        raise TrainingError("expected at most one covariate with role arm.")
    return arms[0] if arms else None


def _once(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return the function with a memory; 1, 1.0 and True are different values to it."""
    known: dict[tuple[type, Any], Any] = {}

    def remember(value: Any) -> Any:
        """Ask the function once per value."""
        key = (type(value), value)
        if key not in known:
            known[key] = function(value)
        return known[key]

    return remember


def _check_columns(table: pd.DataFrame, needed: Sequence[str]) -> None:
    absent = [name for name in needed if name not in table.columns]
    if absent:
        shown = ", ".join(absent[:SHOWN_NAMES])
        raise MissingColumnError(f"the table lacks {len(absent)} of {len(needed)} columns: {shown}.")


def _coefficients_of(model: Any, n_columns: int) -> tuple[NDArray[np.float64], float]:
    if not hasattr(model, "coef_") and hasattr(model, "constant_"):
        return np.zeros(n_columns), float(np.ravel(model.constant_)[0])
    coefficients = np.ravel(np.asarray(model.coef_, dtype=np.float64))
    if len(coefficients) != n_columns:
        raise TrainingError(f"the model has {len(coefficients)} coefficients, its design {n_columns} columns.")
    return coefficients, float(np.ravel(model.intercept_)[0])
