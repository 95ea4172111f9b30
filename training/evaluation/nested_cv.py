"""Out-of-fold predictions: every learned step, tuning included, sees the training people only."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from numpy.typing import NDArray
from sklearn.base import clone

from training.evaluation.splits import train_and_test


@dataclass(frozen=True, slots=True, eq=False)
class OutOfFold:
    """Predictions for everyone by models that never saw them; one row per repeat, one column per participant."""

    outcome: NDArray[np.float64]  # (n_participants,)
    prediction: NDArray[np.float64]  # (n_repeats, n_participants)
    training_mean: NDArray[np.float64]  # (n_repeats, n_participants): what the constant model says
    fold_index: NDArray[np.intp]  # (n_repeats, n_participants)
    choices: tuple[dict[str, float], ...]  # tuning choice of every fold, in order; empty for models without one
    groups: NDArray[np.intp] | None = None  # (n_participants,): family, or person of several visits; None: all alone

    def __post_init__(self) -> None:
        shape = (self.prediction.shape[0], len(self.outcome))
        if not self.prediction.shape == self.training_mean.shape == self.fold_index.shape == shape:
            raise ValueError(f"expected arrays of shape {shape}, got {self.prediction.shape}")

    def repeat(self, number: int) -> OutOfFold:
        """One repeat on its own."""
        rows = slice(number, number + 1)
        return OutOfFold(
            self.outcome, self.prediction[rows], self.training_mean[rows], self.fold_index[rows], (), self.groups
        )


def fit_fold(estimator: Any, inputs: pd.DataFrame, outcome: NDArray[np.float64], train: NDArray[np.intp]) -> Any:
    """Return a fresh copy of the estimator, fitted on the training rows and nothing else."""
    return clone(estimator).fit(inputs.iloc[train], outcome[train])


def cross_validate(
    estimator: Any,
    inputs: pd.DataFrame,
    outcome: NDArray[np.float64],
    partitions: NDArray[np.intp],
    *,
    n_jobs: int = 1,
) -> OutOfFold:
    """Out-of-fold predictions of an estimator that tunes itself inside each fold.

    Parameters
    ----------
    estimator
        scikit-learn regressor; cloned for every fold.
    inputs
        Features and covariates, one row per participant.
    outcome
        Shape (n_participants,).
    partitions
        Fold of every participant, one row per repeat, shape (n_repeats, n_participants).
    n_jobs
        Processes; 1 stays in this one.
    """
    tasks = [(repeat, train, test) for repeat, folds in enumerate(partitions) for train, test in train_and_test(folds)]
    results: Iterable[tuple[NDArray[np.float64], dict[str, float]]] = Parallel(n_jobs=n_jobs)(
        delayed(_predict_fold)(estimator, inputs, outcome, train, test) for _, train, test in tasks
    )
    prediction = np.full(partitions.shape, np.nan)
    training_mean = np.full(partitions.shape, np.nan)
    choices = []
    for (repeat, train, test), (values, choice) in zip(tasks, results, strict=True):
        prediction[repeat, test] = values
        training_mean[repeat, test] = outcome[train].mean()
        choices.append(choice)
    return OutOfFold(outcome, prediction, training_mean, partitions, tuple(choice for choice in choices if choice))


def _predict_fold(
    estimator: Any,
    inputs: pd.DataFrame,
    outcome: NDArray[np.float64],
    train: NDArray[np.intp],
    test: NDArray[np.intp],
) -> tuple[NDArray[np.float64], dict[str, float]]:
    fitted = fit_fold(estimator, inputs, outcome, train)
    values = np.asarray(fitted.predict(inputs.iloc[test]), dtype=np.float64)
    return values, dict(getattr(fitted, "choice_", {}))
