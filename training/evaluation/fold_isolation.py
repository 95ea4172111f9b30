"""Proof that held-out people do not reach the fit: poison them, fit again, compare.

Every fold is fitted twice: with the cohort as it is, and with the held-out people's inputs and outcomes replaced by
absurd values *before* anything else happens. If a step fitted the second time differs from the first, it has seen the
held-out people, and it is named.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline

from training.evaluation.nested_cv import fit_fold
from training.evaluation.splits import Partition, train_and_test

POISON = 1e6  # finite, so that no check for missing values stops it on the way
StepState = Mapping[str, object]
# (inputs, outcome, training rows) -> learned state of every step, in the order of the steps
FitSteps = Callable[[pd.DataFrame, NDArray[np.float64], NDArray[np.intp]], Mapping[str, StepState]]


@dataclass(frozen=True, slots=True)
class FoldIsolation:
    """Outcome of the proof. `leaking_step` is the first step, in order, whose learned state changed."""

    n_folds: int
    n_values_compared: int
    leaking_step: str | None = None
    leaking_attribute: str | None = None
    fold: int | None = None

    @property
    def passed(self) -> bool:
        """Whether nothing changed in any fold, and something was compared."""
        return self.leaking_step is None and self.n_values_compared > 0


def prove_fold_isolation(
    fit_steps: FitSteps,
    inputs: pd.DataFrame,
    outcome: NDArray[np.float64],
    folds: Partition,
    *,
    n_jobs: int = 1,
) -> FoldIsolation:
    """Fit every fold with sound and with poisoned held-out people and compare what was learned, bit for bit.

    Parameters
    ----------
    fit_steps
        The whole way from the cohort's table to the fitted model; see `estimator_steps` for scikit-learn estimators.
    inputs, outcome
        The cohort as it enters.
    folds
        Fold of every participant, shape (n_participants,).
    """
    findings = Parallel(n_jobs=n_jobs)(
        delayed(_check_fold)(fit_steps, inputs, outcome, train, test) for train, test in train_and_test(folds)
    )
    n_compared = 0
    for fold, (n_values, leak) in enumerate(findings):
        n_compared += n_values
        if leak is not None:
            return FoldIsolation(len(findings), n_compared, leak[0], leak[1], fold)
    return FoldIsolation(len(findings), n_compared)


def estimator_steps(estimator: Any) -> FitSteps:
    """Way of fitting for a scikit-learn estimator that gets the training rows and nothing else."""

    def fit_steps(
        inputs: pd.DataFrame, outcome: NDArray[np.float64], train: NDArray[np.intp]
    ) -> Mapping[str, StepState]:
        return learned_steps(fit_fold(estimator, inputs, outcome, train))

    return fit_steps


def learned_steps(fitted: Any) -> dict[str, StepState]:
    """Learned state of a fitted estimator, step by step: pipeline steps in order, then the tuning choice."""
    steps: dict[str, StepState] = {}
    pipeline = getattr(fitted, "pipeline_", fitted)
    if isinstance(pipeline, Pipeline):
        steps.update({name: _learned(step) for name, step in pipeline.steps})
    if pipeline is not fitted or not isinstance(pipeline, Pipeline):
        steps["tuning" if pipeline is not fitted else "model"] = _learned(fitted)
    return steps


def poisoned(
    inputs: pd.DataFrame, outcome: NDArray[np.float64], rows: NDArray[np.intp]
) -> tuple[pd.DataFrame, NDArray[np.float64]]:
    """Return copies in which the given rows carry absurd numbers and other people's categories."""
    signs = np.where(np.arange(len(rows)) % 2, -1.0, 1.0)
    is_numeric = np.array([pd.api.types.is_numeric_dtype(kind) for kind in inputs.dtypes], dtype=bool)
    numbers = inputs.loc[:, is_numeric].to_numpy(dtype=np.float64, copy=True)
    numbers[rows] = (signs * POISON * (1.0 + np.arange(len(rows))))[:, np.newaxis]
    words = inputs.loc[:, ~is_numeric].to_numpy(dtype=object, copy=True)
    for column in range(words.shape[1]):
        words[rows, column] = pd.unique(words[:, column])[-1]
    # Two whole blocks rather than column by column: thousands of columns would make a fragmented, slow table.
    parts = [
        pd.DataFrame(numbers, index=inputs.index, columns=inputs.columns[is_numeric]),
        pd.DataFrame(words, index=inputs.index, columns=inputs.columns[~is_numeric], dtype=object),
    ]
    order = np.argsort(np.concatenate([np.flatnonzero(is_numeric), np.flatnonzero(~is_numeric)]))
    bad_outcome = outcome.copy()
    bad_outcome[rows] = signs * POISON
    return pd.concat(parts, axis=1).iloc[:, order], bad_outcome


def _check_fold(
    fit_steps: FitSteps,
    inputs: pd.DataFrame,
    outcome: NDArray[np.float64],
    train: NDArray[np.intp],
    test: NDArray[np.intp],
) -> tuple[int, tuple[str, str] | None]:
    """Return the number of values compared, and the step and attribute that differ, if any."""
    sound = fit_steps(inputs, outcome, train)
    suspect = fit_steps(*poisoned(inputs, outcome, test), train)
    n_values = 0
    for step, state in sound.items():
        for attribute, value in state.items():
            n_values += int(np.size(value))  # type: ignore[arg-type]
            if not _is_same(value, suspect.get(step, {}).get(attribute)):
                return n_values, (step, attribute)
    return n_values, None


def _learned(step: Any) -> dict[str, object]:
    """Attributes that fitting left behind (their names end in one underscore), as far as they are plain values."""
    found: dict[str, object] = {}
    for name, value in sorted(vars(step).items()):
        if name.endswith("_") and not name.endswith("__") and not isinstance(value, BaseEstimator):
            found.update(_flattened(name, value))
    return found


def _flattened(name: str, value: object) -> dict[str, object]:
    if isinstance(value, Mapping):
        parts: dict[str, object] = {}
        for key, inner in value.items():
            parts.update(_flattened(f"{name}[{key}]", inner))
        return parts
    return {name: value}


def _is_same(first: object, second: object) -> bool:
    """Equal bit for bit; NaN equals NaN."""
    left, right = np.asarray(first), np.asarray(second)
    if left.shape != right.shape or left.dtype != right.dtype:
        return False
    if left.dtype == object:
        return repr(first) == repr(second)
    return bool(np.array_equal(left, right, equal_nan=left.dtype.kind in "fc"))
