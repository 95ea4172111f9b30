"""Proof that held-out people do not reach the fit: poison them, fit again, compare.

Every fold is fitted twice: with the cohort as it is, and with the held-out people's inputs and outcomes replaced by
absurd values *before* anything else happens. If a step fitted the second time differs from the first, it has seen the
held-out people, and it is named.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from numpy.typing import NDArray

from training.evaluation.learned_state import StepState, is_same, learned_steps
from training.evaluation.nested_cv import fit_fold
from training.evaluation.permutation import Progress
from training.evaluation.poison import Poison, poisoned
from training.evaluation.splits import Partition, train_and_test

__all__ = [
    "FitSteps", "FoldIsolation", "StepState", "estimator_steps", "learned_steps", "poisoned", "prove_fold_isolation",
]  # fmt: skip

Rows = NDArray[np.intp]
# (inputs, outcome, training rows) -> learned state of every step, in the order of the steps
FitSteps = Callable[[pd.DataFrame, NDArray[np.float64], Rows], Mapping[str, StepState]]

PREDICTIONS, FITTING = "predictions", "fitting"


@dataclass(frozen=True, slots=True)
class FoldIsolation:
    """Outcome of the proof. `leaking_step` is the first step, in order, whose learned state changed."""

    n_folds: int
    n_values_compared: int
    leaking_step: str | None = None
    leaking_attribute: str | None = None
    fold: int | None = None
    is_reproducible: bool = True  # False: fitting the same people twice differs, so that nothing can be proven

    @property
    def passed(self) -> bool:
        """Whether nothing changed in any fold, and something was compared."""
        return self.leaking_step is None and self.n_values_compared > 0


@dataclass(frozen=True, slots=True)
class _Leak:
    step: str
    attribute: str
    is_reproducible: bool = True


def prove_fold_isolation(
    fit_steps: FitSteps,
    inputs: pd.DataFrame,
    outcome: NDArray[np.float64],
    folds: Partition,
    *,
    categories: Collection[str] = (),
    n_jobs: int = 1,
    show: Progress | None = None,
) -> FoldIsolation:
    """Fit every fold with sound and with poisoned held-out people and compare what was learned, bit for bit.

    Every fold gets absurd numbers; the first one also numbers that others have, and gaps, which what ranks, clips or
    counts gaps may take differently.

    Parameters
    ----------
    fit_steps
        The whole way from the cohort's table to the fitted model; see `estimator_steps` for scikit-learn estimators.
    inputs, outcome
        The cohort as it enters.
    folds
        Fold of every participant, shape (n_participants,); or one row per repeat, all of whose folds are tried.
    categories
        Columns with numbers that are names of categories, such as arms 1 and 2.
    n_jobs
        Processes.
    show
        Passes the folds' findings through, to show how far the proof is.
    """
    pairs = [pair for partition in np.atleast_2d(folds) for pair in train_and_test(partition)]
    tasks = [(pair, tuple(Poison) if number == 0 else (Poison.ABSURD,)) for number, pair in enumerate(pairs)]
    checked = Parallel(n_jobs=n_jobs, return_as="generator")(
        delayed(_check_fold)(fit_steps, inputs, outcome, pair, tuple(categories), kinds) for pair, kinds in tasks
    )
    findings = list(checked if show is None else show(checked, len(tasks)))
    n_compared = 0
    for fold, (n_values, leak) in enumerate(findings):
        n_compared += n_values
        if leak is not None:
            return FoldIsolation(len(findings), n_compared, leak.step, leak.attribute, fold, leak.is_reproducible)
    return FoldIsolation(len(findings), n_compared)


def estimator_steps(estimator: Any) -> FitSteps:
    """Way of fitting for a scikit-learn estimator that gets the training rows and nothing else."""

    def fit_steps(inputs: pd.DataFrame, outcome: NDArray[np.float64], train: Rows) -> Mapping[str, StepState]:
        return fitted_steps(estimator, inputs, outcome, train)

    return fit_steps


def fitted_steps(
    estimator: Any, inputs: pd.DataFrame, outcome: NDArray[np.float64], train: Rows
) -> dict[str, StepState]:
    """Fit on the training rows; return what was learned, and what is predicted for those very rows."""
    fitted = fit_fold(estimator, inputs, outcome, train)
    steps = learned_steps(fitted)
    if hasattr(fitted, "predict"):  # whatever hides from the attributes
        steps[PREDICTIONS] = {"of training people": np.asarray(fitted.predict(inputs.iloc[train]))}
    return steps


def _check_fold(
    fit_steps: FitSteps,
    inputs: pd.DataFrame,
    outcome: NDArray[np.float64],
    pair: tuple[Rows, Rows],
    categories: tuple[str, ...],
    kinds: tuple[Poison, ...],
) -> tuple[int, _Leak | None]:
    """Return the number of values compared, and the step and attribute that differ, if any."""
    train, test = pair
    nobody: Rows = np.zeros(0, dtype=np.intp)
    # Through the same hands as the poisoned table: another order in memory may change the last digit of a product.
    untouched = poisoned(inputs, outcome, nobody, categories=categories)
    sound = fit_steps(*untouched, train)
    n_values = sum(int(np.asarray(value).size) for _, _, value in _values(sound))
    for kind in kinds:
        bad = poisoned(inputs, outcome, test, kind=kind, categories=categories)
        try:
            suspect = fit_steps(*bad, train)
        except Exception as error:  # the sound cohort was fitted: it is the held-out people who stopped this one
            return n_values, _Leak(FITTING, f"stopped by {type(error).__name__}")
        leak = _first_difference(sound, suspect)
        if leak is not None:
            again = _first_difference(sound, fit_steps(*untouched, train))
            return n_values, leak if again is None else _Leak(again.step, again.attribute, is_reproducible=False)
    return n_values, None


def _first_difference(sound: Mapping[str, StepState], suspect: Mapping[str, StepState]) -> _Leak | None:
    for step, attribute, value in _values(sound):
        other = suspect.get(step, {})
        if attribute not in other or not is_same(value, other[attribute]):
            return _Leak(step, attribute)
    for step, attribute, _ in _values(suspect):  # more was learned than before
        if attribute not in sound.get(step, {}):
            return _Leak(step, attribute)
    return None


def _values(steps: Mapping[str, StepState]) -> Iterator[tuple[str, str, object]]:
    for step, state in steps.items():
        for attribute, value in state.items():
            yield step, attribute, value
