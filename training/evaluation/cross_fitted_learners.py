"""What each arm would do for people, by models that never saw them: S- and T-learner, cross-fitted.

The S-learner is one model of everybody in which the arm shifts and tilts the response; the T-learner is two models, one
per arm. Both are the experiment's own model, tuning included, refitted in every fold.

The mean benefit of a fold's training people moves against that of the people held out (whoever benefits most is missing
from it), so differences between fold models would look like wrong predictions. Each prediction therefore also comes as
the *deviation* from the mean benefit that its model gives its own training people: 0 for everyone, exactly, where a
model sees no difference between people.

References
----------
Künzel SR et al. (2019). Metalearners for estimating heterogeneous treatment effects using machine learning. PNAS
116:4156-4165.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from numpy.typing import NDArray
from sklearn.base import clone

from predictor.errors import TrainingError
from training.evaluation.permutation import Progress
from training.evaluation.splits import train_and_test

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]
Learner = Literal["s", "t"]
LEARNERS: dict[Learner, str] = {"s": "S-learner", "t": "T-learner"}

# A model of an arm learned from fewer people is none.
MIN_TRAINING_PER_ARM = 5
INTERACTIONS = "design__arm_interactions"


@dataclass(frozen=True, slots=True)
class ArmPair:
    """The two arms that are compared, and the input column that says who was in which."""

    column: str
    treated: str
    control: str


@dataclass(frozen=True, slots=True, eq=False)
class CrossFitted:
    """Predictions for everyone under both arms; one row per repeat, one column per person, in the outcome's unit."""

    treated: Floats  # (n_repeats, n_people)
    control: Floats  # (n_repeats, n_people)
    deviation: Floats  # (n_repeats, n_people): treated - control, less its mean over the model's training people
    prognosis: Floats  # (n_repeats, n_people): mean of both arms, less its mean over the model's training people
    arm_mean: Floats  # (n_repeats, n_people): mean outcome of the training people of the person's own arm
    n_training: float  # people that a fold's model learned from, on average


def cross_fit(
    learner: Learner,
    estimator: Any,
    inputs: pd.DataFrame,
    outcome: Floats,
    arms: ArmPair,
    partitions: NDArray[np.intp],
    *,
    n_jobs: int = 1,
    show: Progress | None = None,
) -> CrossFitted:
    """Predict everyone under both arms, out of fold.

    Parameters
    ----------
    learner
        "s" or "t".
    estimator
        Unfitted regressor that knows the arm column. Where it has an option `design__arm_interactions`, the S-learner
        turns it on, for without interactions it gives everyone the same benefit, and the T-learner turns it off.
    inputs, outcome
        One row per person, all of them in one of the two arms.
    partitions
        Fold of every person, one row per repeat.
    n_jobs
        Processes.
    show
        Passes the folds' predictions through, to show how far the learner is.

    Raises
    ------
    TrainingError
        If the training people of a fold hold too few of an arm.
    """
    is_treated = (inputs[arms.column].astype(str) == arms.treated).to_numpy()
    tasks = [(repeat, train, test) for repeat, folds in enumerate(partitions) for train, test in train_and_test(folds)]
    for _, train, _ in tasks:
        _check_arms(is_treated[train], arms)
    model = _prepared(estimator, has_interactions=learner == "s")
    fit_and_predict = _predict_together if learner == "s" else _predict_apart
    predicted: Iterable[Floats] = Parallel(n_jobs=n_jobs, return_as="generator")(
        delayed(fit_and_predict)(model, inputs, outcome, is_treated, arms, train) for _, train, _ in tasks
    )
    results = list(predicted if show is None else show(predicted, len(tasks)))
    shape = partitions.shape
    treated, control, deviation, prognosis, arm_mean = (np.full(shape, np.nan) for _ in range(5))
    for (repeat, train, test), by_arm in zip(tasks, results, strict=True):
        benefit, middle = by_arm[:, 0] - by_arm[:, 1], by_arm.mean(axis=1)
        treated[repeat, test], control[repeat, test] = by_arm[test].T
        deviation[repeat, test] = _without_rounding(benefit[test] - benefit[train].mean(), outcome)
        prognosis[repeat, test] = _without_rounding(middle[test] - middle[train].mean(), outcome)
        means = [outcome[train][is_treated[train] == one].mean() for one in (False, True)]
        arm_mean[repeat, test] = np.where(is_treated[test], means[1], means[0])
    n_training = float(np.mean([len(train) for _, train, _ in tasks]))
    return CrossFitted(treated, control, deviation, prognosis, arm_mean, n_training)


def _check_arms(is_treated: NDArray[np.bool_], arms: ArmPair) -> None:
    for name, n_people in ((arms.treated, int(is_treated.sum())), (arms.control, int((~is_treated).sum()))):
        if n_people < MIN_TRAINING_PER_ARM:
            raise TrainingError(
                f"expected at least {MIN_TRAINING_PER_ARM} people of every arm in every fold's training set, "
                f"found {n_people} of {name}.",
                where=arms.column,
                remedy="Take folds that hold both arms.",
            )


def _prepared(estimator: Any, *, has_interactions: bool) -> Any:
    model = clone(estimator)
    if INTERACTIONS in model.get_params():
        model.set_params(**{INTERACTIONS: has_interactions})
    return model


def _predict_together(
    model: Any, inputs: pd.DataFrame, outcome: Floats, is_treated: NDArray[np.bool_], arms: ArmPair, train: Rows
) -> Floats:
    """Return everyone's prediction under both arms by one model of the training people, shape (n_people, 2)."""
    fitted = clone(model).fit(inputs.iloc[train], outcome[train])
    return np.column_stack([fitted.predict(_in_arm(inputs, arms, name)) for name in (arms.treated, arms.control)])


def _predict_apart(
    model: Any, inputs: pd.DataFrame, outcome: Floats, is_treated: NDArray[np.bool_], arms: ArmPair, train: Rows
) -> Floats:
    """Return everyone's prediction by one model per arm, shape (n_people, 2)."""
    columns = []
    for name, is_member in ((arms.treated, is_treated), (arms.control, ~is_treated)):
        members = train[is_member[train]]
        fitted = clone(model).fit(inputs.iloc[members], outcome[members])
        columns.append(fitted.predict(_in_arm(inputs, arms, name)))
    return np.column_stack(columns)


def _in_arm(inputs: pd.DataFrame, arms: ArmPair, name: str) -> pd.DataFrame:
    """Return the same people as if all had been in one arm."""
    moved = inputs.copy()
    moved[arms.column] = np.full(len(inputs), name, dtype=object)
    return moved


def _without_rounding(values: Floats, outcome: Floats) -> Floats:
    """Differences below the precision of the outcome are 0: ranks must not be made of rounding errors."""
    return np.where(np.abs(values) <= 1e-10 * max(float(np.abs(outcome).max()), 1e-300), 0.0, values)
