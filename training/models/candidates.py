"""Any regressor as a candidate: it tunes itself inside the fold, with every step before it refitted there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from training.evaluation.splits import train_and_test
from training.models.candidate_models import AddedToCovariates
from training.models.in_fold_steps import TunedSettings

Floats = NDArray[np.float64]


class TunedRegressor(TunedSettings):
    """Model whose settings are chosen by the smallest mean squared error over inner folds.

    Parameters
    ----------
    design, harmonization, deviation, unpenalised, inner_folds, arm, random_state
        See `InFoldSteps`.
    model
        Unfitted `AddedToCovariates`; it is told which columns are covariates.
    settings
        Parameters of the regressor in it to choose from; a single one is taken without inner folds.

    Attributes
    ----------
    pipeline_
        Fitted Pipeline; see `TunedElasticNet`.
    choice_
        The chosen setting as numbers, and "inner_mse" where there was a choice.
    """

    def fit(self, X: pd.DataFrame, y: ArrayLike) -> Self:
        """Choose the setting by inner cross-validation, then fit on all rows."""
        outcome = np.asarray(y, dtype=np.float64)
        errors = self._inner_errors(X, outcome) if len(self.settings) > 1 else np.full(1, np.nan)
        best = int(np.argmin(errors)) if len(errors) > 1 else 0
        steps = self._steps()
        columns = np.asarray(steps.fit_transform(X, outcome), dtype=np.float64)
        model = self._model(self.settings[best], self._free_columns(steps)).fit(columns, outcome)
        self.pipeline_ = Pipeline([*steps.steps, ("model", model)])
        self.inner_mse_ = errors
        self.choice_ = {name: float(value) for name, value in self.settings[best].items()} | self._unreliable(steps)
        if len(errors) > 1:
            self.choice_["inner_mse"] = float(errors[best])
        return self

    def _model(self, setting: Mapping[str, Any], free: tuple[int, ...]) -> AddedToCovariates:
        chosen = {f"model__{name}": value for name, value in setting.items()}
        model: AddedToCovariates = clone(self.model).set_params(unpenalised=free, **chosen)
        return model

    def _inner_errors(self, X: pd.DataFrame, outcome: Floats) -> Floats:
        """Mean squared error of every setting over the inner folds, shape (n_settings,)."""
        squared = np.zeros(len(self.settings))
        for train, test in train_and_test(self._inner_partition(X, outcome)):
            steps = self._steps()
            columns = np.asarray(steps.fit_transform(X.iloc[train], outcome[train]), dtype=np.float64)
            held_out = np.asarray(steps.transform(X.iloc[test]), dtype=np.float64)
            free = self._free_columns(steps)
            for number, setting in enumerate(self.settings):
                fitted = self._model(setting, free).fit(columns, outcome[train])
                squared[number] += ((outcome[test] - fitted.predict(held_out)) ** 2).sum()
        return squared / len(outcome)
