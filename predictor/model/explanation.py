"""Why the model expects what it expects: contributions of the named inputs that add up to the output."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from predictor.errors import ExplanationError
from predictor.model.bundle import ModelBundle
from predictor.model.contributions import Contributions
from predictor.model.learned_features import summary_parts
from predictor.model.linear_model import LinearEnsemble, LinearResponseModel
from predictor.model.outcome_definition import Covariate
from predictor.model.person_inputs import PersonDeviations, PersonInputs

logger = logging.getLogger(__name__)

Array = NDArray[np.float64]

MAX_ADDITIVITY_ERROR = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class Explanation:
    """Contributions in one arm, largest first; with the base value they add up to the output."""

    arm: str
    base_value: float  # expected outcome of the average training person in this arm
    output: float
    additivity_error: float
    contributions: Contributions  # those that are not zero


def explain(bundle: ModelBundle, person: PersonInputs, *, arm: str, output: float | None = None) -> Explanation:
    """Shapley values of the named inputs in one arm, as the model gives them.

    Indicators of one category are summed.

    What learned features contribute goes to the measured features that they are made from: a deviation to its
    connection, counts and mean to every connection by its own part in them, less that part's mean over the training
    people. The game has one player per connection, who brings its value together with the covariates by which it is
    judged; the learned features are sums of functions of one player each, and of such a game these are the exact
    Shapley values. Age, sex, motion and site get no share for what they change in the comparison with controls.

    Parameters
    ----------
    bundle, person
        The model and the visit.
    arm
        Whose expected outcome is explained.
    output
        That expected outcome where it has been predicted already, so that what is shown is what is explained.

    Raises
    ------
    ExplanationError
        If base value and contributions miss the output by more than 1e-6.
    """
    arm_index = bundle.arms.index(arm)
    model, mean = bundle.model, bundle.training_range.background_mean
    base_value, own_and_learned = model.contributions(person.values, arm_index, background_mean=mean)
    imputed = model.impute(person.values)
    by_fold = bundle.fold_models.contributions(imputed, arm_index, background_mean=mean)
    of_input, is_by_deviation = own_and_learned, None
    if bundle.deviations and person.deviations:
        of_input, by_fold = _of_what_was_brought(bundle, person.deviations, imputed - mean, arm_index)
        is_by_deviation = np.abs(of_input - own_and_learned) > np.abs(own_and_learned)
    if output is None:
        output = float(model.predict(person.values[np.newaxis])[0, arm_index])
    error = abs(base_value + float(of_input.sum()) - output)
    if not error <= MAX_ADDITIVITY_ERROR:
        raise ExplanationError(f"base value and contributions miss the output by {error:.3g}.")
    return Explanation(
        arm=arm,
        base_value=base_value,
        output=output,
        additivity_error=error,
        contributions=_contributions(bundle, person, of_input, by_fold, is_by_deviation),
    )


def explain_or_withhold(
    bundle: ModelBundle, person: PersonInputs, *, arm: str, output: float | None = None
) -> Explanation | None:
    """Explain, or log the fault and return None: a wrong reason is worse than none."""
    try:
        return explain(bundle, person, arm=arm, output=output)
    except ExplanationError as error:
        logger.error("explanation withheld, %s: %s", error.code, error)
        return None


def _of_what_was_brought(
    bundle: ModelBundle, found: PersonDeviations, from_mean: Array, arm_index: int
) -> tuple[Array, Array]:
    """Return contributions of all inputs, those of learned features handed to the measured ones they are made from.

    Parameters
    ----------
    found
        How far the person is from what is expected of controls.
    from_mean
        Imputed inputs less their training means, shape (n_inputs,).

    Returns
    -------
    of_model
        Shape (n_inputs,), 0 for learned features.
    of_folds
        The same of every fold model, shape (n_folds, n_inputs).
    """
    step, numbers, model, folds = bundle.deviations, bundle.source_numbers, bundle.model, bundle.fold_models
    assert step is not None, "asked only where there is a reference"
    assert isinstance(model, LinearResponseModel), "a bundle lets no other model take learned features"
    assert isinstance(folds, LinearEnsemble), "a bundle lets no other model take learned features"
    learned = slice(len(bundle.definitions), bundle.n_features)
    weights = np.concatenate([model.weights[[arm_index]], folds.weights_of(arm_index)])
    whole, n_sources = step.expand(weights[:, learned]), len(numbers)
    parts = summary_parts(found.z[np.newaxis], threshold=step.threshold)[0] - step.background
    moved = weights * from_mean
    moved[:, numbers] += whole[:, :n_sources] * step.expand(from_mean[learned])[:n_sources]
    moved[:, numbers] += whole[:, n_sources:] @ parts
    moved[:, learned] = 0.0
    return moved[0], moved[1:]


def _contributions(
    bundle: ModelBundle,
    person: PersonInputs,
    of_input: Array,
    by_fold: Array | None,
    is_by_deviation: NDArray[np.bool_] | None,
) -> Contributions:
    """Put what is not zero in order, largest first and by name where equal."""
    named, n_measured = bundle.plan.named, len(bundle.definitions)
    totals = _of_names(bundle, of_input)
    in_order = named.alphabetical[np.argsort(-np.abs(totals[named.alphabetical]), kind="stable")]
    shown = in_order[: np.count_nonzero(totals)]
    covariates = {
        place: _covariate_value(named.covariates[shown[place] - n_measured], person)
        for place in np.flatnonzero(shown >= n_measured).tolist()
    }
    return Contributions(
        named=named,
        shown=shown,
        amounts=totals[shown],
        numbers=person.values.take(shown, mode="clip"),
        covariate_values=covariates,
        fold_sign_agreement=_sign_agreement(bundle, totals, by_fold, shown),
        deviation=_told_deviations(bundle, person, is_by_deviation, shown),
    )


def _of_names(bundle: ModelBundle, of_inputs: Array) -> Array:
    """Sum contributions of inputs (last axis) by name: measured features, then covariates."""
    starts, of_features = bundle.plan.named.covariate_starts, of_inputs[..., : len(bundle.definitions)]
    if not len(starts):
        return of_features
    return np.concatenate([of_features, np.add.reduceat(of_inputs, starts, axis=-1)], axis=-1)


def _covariate_value(covariate: Covariate, person: PersonInputs) -> float | str | None:
    value = person.covariates.get(covariate.name)
    return None if value is None else float(value) if covariate.kind == "number" else str(value)


def _sign_agreement(bundle: ModelBundle, totals: Array, by_fold: Array | None, shown: NDArray[np.intp]) -> Array | None:
    if by_fold is None:
        return None
    in_folds = _of_names(bundle, by_fold)[:, shown]
    is_same = in_folds * np.sign(totals[shown]) > 0
    return np.asarray(np.add.reduce(is_same, axis=0, dtype=np.float64) / len(in_folds))


def _told_deviations(
    bundle: ModelBundle, person: PersonInputs, is_by_deviation: NDArray[np.bool_] | None, shown: NDArray[np.intp]
) -> Array | None:
    """Return z against the controls where it is this that moves the output most, NaN elsewhere."""
    if person.deviations is None or is_by_deviation is None:
        return None
    z = np.full(len(bundle.plan.named.names), np.nan)
    z[bundle.source_numbers] = person.deviations.z
    z[: len(bundle.definitions)][~is_by_deviation[: len(bundle.definitions)]] = np.nan
    return np.asarray(z[shown])
