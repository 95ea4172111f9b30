"""What the first model does, in numbers about many people at once: bins, weights, contributions, subgroups."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from predictor.errors import ExplanationError
from predictor.model.bundle import ModelBundle
from predictor.model.explanation import Explanation, explain
from predictor.model.linear_model import LinearEnsemble, LinearResponseModel
from predictor.model.outcome_definition import is_missing
from predictor.model.person_inputs import person_inputs
from training.evaluation.calibration import means_by_prediction
from training.evaluation.metrics import INTERVAL_LEVEL
from training.evaluation.nested_cv import OutOfFold
from training.evaluation.small_cells import FEWEST_SHOWN
from training.evaluation.treatment_effect import BenefitAnalysis
from training.training_table import TrainingTable

Floats = NDArray[np.float64]
Row = dict[str, Any]

SAME = 1e-9  # predictions that differ by less than rounding
# Numbers about fewer people than this say more about chance than about the subgroup.
MIN_PER_SUBGROUP = 20
# A level with fewer people than this could be worked out from the others and the whole; so could those without one.
MIN_PER_LEVEL = FEWEST_SHOWN
MAX_ROWS = 200
N_BENEFIT_GROUPS = 4
TOO_SMALL_LEVEL = "a level, or those of no known level, are so few that the others would give them away"


def calibration_bins(predicted: OutOfFold) -> list[Row]:
    """Predicted and observed means of people in the order of their prediction, at least five people a bin.

    Returns
    -------
    list of dict
        predicted_mean (see `counted_from_training_mean`), observed_mean and observed_sd in the outcome's unit, n; empty
        with fewer than five people, or where the same is predicted for everyone.
    """
    prediction = counted_from_training_mean(predicted.prediction, predicted.training_mean, predicted.outcome)
    if np.ptp(prediction) <= SAME * max(1.0, float(np.abs(prediction).max())):
        return []
    return means_by_prediction(prediction, predicted.outcome)


def counted_from_training_mean(prediction: Floats, training_mean: Floats, outcome: Floats) -> Floats:
    """Return everyone's prediction less the mean of the training people, mean over repeats, from the cohort's mean.

    As they are, leave-one-out predictions of a model without any knowledge fall as the outcome rises (r = -1), because
    the mean of the others is lower for those who did well; in a figure that would look like a finding.

    Parameters
    ----------
    prediction, training_mean
        Shape (n_repeats, n_people).
    outcome
        Shape (n_people,).

    Returns
    -------
    ndarray of shape (n_people,)
        In the outcome's unit.
    """
    return np.asarray((prediction - training_mean).mean(axis=0) + outcome.mean())


def coefficient_rows(bundle: ModelBundle) -> tuple[list[Row] | None, int]:
    """Weights of the final model with bootstrap percentiles, largest first, and how many inputs are not shown.

    Per standard deviation of the input, in the outcome's unit; "all" is the mean over the arms, "a > b" their
    difference. Percentiles are over bootstrap models that keep the penalties; the selection frequency is the share of
    the bundle's fold models, tuned anew each, in which the input has a weight.

    Returns
    -------
    rows
        feature, arm, value, lower, upper, sign_share, selection_frequency; at most 200. None for a model with trees,
        which has no weights.
    n_rest
        Inputs with a weight that are left out for want of room.
    """
    model, folds, resampled = bundle.model, bundle.fold_models, bundle.bootstrap_models
    if not isinstance(model, LinearResponseModel):
        return None, 0
    assert isinstance(folds, LinearEnsemble), "a bundle holds models of one kind"
    assert isinstance(resampled, LinearEnsemble), "a bundle holds models of one kind"
    contrasts = _contrasts(bundle.arms)
    drawn = np.stack([resampled.weights_of(arm) for arm in range(len(model.arms))]) * model.scale
    in_folds = np.stack([folds.weights_of(arm) for arm in range(len(model.arms))])
    size = np.abs(model.coefficients).max(axis=0)
    used = [int(column) for column in np.argsort(-size, kind="stable") if size[column] > 0]
    shown = used[: MAX_ROWS // len(contrasts)]
    rows = [
        _coefficient(model.input_names[column], name, weights, model.coefficients, drawn, in_folds, column)
        for column in shown
        for name, weights in contrasts.items()
    ]
    return rows, len(used) - len(shown)


def contribution_document(bundle: ModelBundle, table: TrainingTable) -> Row:
    """Mean size of what each named input moves the output by, over the training people in their own arms.

    Contributions are in the outcome's unit; "method" says of which kind of model they are.
    """
    try:
        explained = list(_explanations(bundle, table))
    except ExplanationError as error:
        return {"not_reported": str(error)}
    n_people = len(explained)
    features = _mean_sizes([{c.feature: c.contribution for c in one.contributions} for one in explained])
    rows = [
        {"feature": name, "mean_abs_contribution": size, "unit": bundle.outcome.unit} for name, size in features.items()
    ]
    return {
        "n_people": n_people,
        "method": "linear" if isinstance(bundle.model, LinearResponseModel) else "trees",
        "features": rows[:MAX_ROWS],
        "n_rest": max(0, len(rows) - MAX_ROWS),
        "by_circuit": _mean_sizes([one.contributions.by_circuit for one in explained]),
        "by_kind": _mean_sizes([one.contributions.by_kind for one in explained]),
    }


def subgroups(predicted: OutOfFold, table: TrainingTable, columns: Mapping[str, Sequence[str]]) -> list[Row]:
    """Errors of the first model within levels of what is known about people.

    Parameters
    ----------
    predicted
        Out-of-fold predictions.
    table
        The cohort; its arms, sites and categories are always looked at.
    columns
        Further labels of everyone by name, such as sex or age band; "" where unknown.

    Returns
    -------
    list of dict
        column, level, n, too_few, r2 (against the training means), mae, bias (observed minus predicted, outcome's
        unit); numbers are None below 20 people, and in a whole column where a level, or the people whose level is not
        known, are fewer than five.
    """
    labelled = {name: list(labels) for name, labels in columns.items()}
    labelled |= {"arm": table.arms} if table.arms else {}
    labelled |= {"site": table.sites} if table.sites else {}
    return [row for name, labels in labelled.items() for row in _levels(predicted, name, np.asarray(labels))]


def age_and_sex_labels(table: TrainingTable, people: pd.DataFrame) -> dict[str, list[str]]:
    """Return sex, and age below or above 40, of everyone as far as known."""
    labels = {}
    known = people.reindex(table.inputs.index)
    if "sex" in known:
        labels["sex"] = ["" if is_missing(value) else str(value) for value in known["sex"]]
    if "age" in known:
        ages = pd.to_numeric(known["age"], errors="coerce")
        labels["age"] = ["" if np.isnan(age) else "below 40" if age < 40 else "40 and above" for age in ages]
    return labels


def benefit_groups(benefit: BenefitAnalysis, table: TrainingTable) -> list[Row]:
    """Observed difference between the arms in people with similar predicted benefit, by learner.

    Returns
    -------
    list of dict
        learner, predicted_mean, observed, lower, upper (95 %, unequal variances), n_treated, n_control; above 0 is
        benefit. Groups with fewer than five people in an arm are left out; empty without two arms.
    """
    if benefit.arms is None or benefit.people.empty or benefit.unit != benefit.learner_unit:
        return []
    sign = 1.0 if table.outcome_definition.better == "higher" else -1.0
    outcome = pd.Series(sign * table.outcome, index=table.inputs.index.astype(str))
    rows = []
    for learner, people in benefit.people.groupby("learner", sort=False):
        order = np.argsort(people["predicted_benefit"].to_numpy(), kind="stable")
        n_groups = min(N_BENEFIT_GROUPS, len(order) // (4 * FEWEST_SHOWN)) or 1
        for members in np.array_split(order, n_groups):
            rows.append(_benefit_group(str(learner), people.iloc[members], outcome, treated=benefit.arms.treated))
    return [row for row in rows if min(row["n_treated"], row["n_control"]) >= FEWEST_SHOWN]


def _contrasts(arms: Sequence[str]) -> dict[str, Floats]:
    found = {"all": np.full(len(arms), 1 / len(arms))}
    if len(arms) == 2:  # the treatment of interest stands first
        found[f"{arms[0]} > {arms[1]}"] = np.array([1.0, -1.0])
    return found


def _coefficient(
    feature: str, arm: str, weights: Floats, coefficients: Floats, drawn: Floats, in_folds: Floats, column: int
) -> Row:
    value = float(weights @ coefficients[:, column])
    resampled = weights @ drawn[:, :, column]
    lower, upper = np.quantile(resampled, [(1 - INTERVAL_LEVEL) / 2, (1 + INTERVAL_LEVEL) / 2])
    return {
        "feature": feature,
        "arm": arm,
        "value": value,
        "lower": float(lower),
        "upper": float(upper),
        "sign_share": float(np.mean(np.sign(resampled) == np.sign(value))) if value else 0.0,
        "selection_frequency": float(np.mean(weights @ in_folds[:, :, column] != 0)),
    }


def _explanations(bundle: ModelBundle, table: TrainingTable) -> Iterator[Explanation]:
    measured = table.features.values.reindex(table.inputs.index)[list(bundle.feature_names)]
    arms = table.arms or [bundle.arms[0]] * len(table.outcome)
    for row, arm in enumerate(arms):
        values = measured.iloc[row]
        features = {str(name): None if np.isnan(value) else float(value) for name, value in values.items()}
        told = {one.name: table.inputs[one.name].iloc[row] for one in bundle.covariates}
        known = {name: None if is_missing(value) else value for name, value in told.items()}
        yield explain(bundle, person_inputs(features, known, bundle), arm=arm)


def _mean_sizes(of_people: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Mean absolute value by name, largest first; a name that a person lacks counts as 0."""
    sums: dict[str, float] = {}
    for person in of_people:
        for name, value in person.items():
            sums[name] = sums.get(name, 0.0) + abs(value)
    return {name: total / len(of_people) for name, total in sorted(sums.items(), key=lambda item: -item[1])}


def _levels(predicted: OutOfFold, column: str, labels: NDArray[np.str_]) -> Iterator[Row]:
    levels, counts = np.unique(labels[labels != ""], return_counts=True)
    if len(levels) < 2:
        return
    n_unknown = len(labels) - int(counts.sum())
    gives_away = bool(counts.min() < MIN_PER_LEVEL) or 0 < n_unknown < MIN_PER_LEVEL
    for level, n_people in zip(levels, counts, strict=True):
        too_few = bool(n_people < MIN_PER_SUBGROUP)
        found = (
            {"r2": None, "mae": None, "bias": None} if too_few or gives_away else _errors(predicted, labels == level)
        )
        withheld = {"withheld": TOO_SMALL_LEVEL} if gives_away else {}
        yield {"column": column, "level": str(level), "n": int(n_people), "too_few": too_few, **found, **withheld}


def _errors(predicted: OutOfFold, is_member: NDArray[np.bool_]) -> Row:
    error = (predicted.outcome - predicted.prediction)[:, is_member]
    total = ((predicted.outcome - predicted.training_mean)[:, is_member] ** 2).sum()
    return {
        "r2": float(1 - (error**2).sum() / total) if total > 0 else None,
        "mae": float(np.abs(error).mean()),
        "bias": float(error.mean()),
    }


def _benefit_group(learner: str, people: pd.DataFrame, outcome: pd.Series, *, treated: str) -> Row:
    is_treated = (people["arm"] == treated).to_numpy()
    found = outcome.loc[people["participant_id"]].to_numpy()
    sides = [found[is_treated], found[~is_treated]]
    row = {
        "learner": learner,
        "predicted_mean": float(people["predicted_benefit"].mean()),
        "n_treated": len(sides[0]),
        "n_control": len(sides[1]),
    }
    if min(len(side) for side in sides) < FEWEST_SHOWN:
        return row
    difference = float(sides[0].mean() - sides[1].mean())
    half = 1.96 * float(np.sqrt(sum(side.var(ddof=1) / len(side) for side in sides)))
    return {**row, "observed": difference, "lower": difference - half, "upper": difference + half}
