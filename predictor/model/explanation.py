"""Why the model expects what it expects: contributions of the named inputs that add up to the output."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from predictor.errors import ExplanationError
from predictor.model.bundle import ModelBundle
from predictor.model.learned_features import summary_parts
from predictor.model.person_inputs import PersonInputs

logger = logging.getLogger(__name__)

Array = NDArray[np.float64]

MAX_ADDITIVITY_ERROR = 1e-6
# Circuit and kind of everything that is not measured in the brain.
CLINICAL = "clinical"


@dataclass(frozen=True, slots=True)
class Contribution:
    """What one named input moves the output by, in the outcome's unit."""

    feature: str
    value: float | str | None  # None: missing, so its imputed value speaks
    unit: str
    contribution: float
    circuit: str
    kind: str
    fold_sign_agreement: float  # share of the fold models in which it points the same way
    description: str
    training_mean: float | None  # what the value is compared with; None for categories
    deviation: float | None = None  # z against the controls, where this is what moves the output most


@dataclass(frozen=True, slots=True)
class Explanation:
    """Contributions in one arm, largest first; with the base value they add up to the output."""

    arm: str
    base_value: float  # expected outcome of the average training person in this arm
    output: float
    additivity_error: float
    contributions: tuple[Contribution, ...]  # those that are not zero

    @property
    def by_circuit(self) -> dict[str, float]:
        """Summed contributions by circuit."""
        return self._summed(lambda contribution: contribution.circuit)

    @property
    def by_kind(self) -> dict[str, float]:
        """Summed contributions by kind of measure."""
        return self._summed(lambda contribution: contribution.kind)

    def _summed(self, key: Callable[[Contribution], str]) -> dict[str, float]:
        sums: dict[str, float] = {}
        for contribution in self.contributions:
            sums[key(contribution)] = sums.get(key(contribution), 0.0) + contribution.contribution
        return sums


def explain(bundle: ModelBundle, person: PersonInputs, *, arm: str) -> Explanation:
    """Linear SHAP values in closed form, against all training people.

    For a linear model the SHAP value of an input is its weight times the distance from the training mean
    (interventional expectation; no input is taken to stand for another). Indicators of one category are summed.

    What learned features contribute goes to the measured features that they are made from: a deviation to its
    connection, counts and mean to every connection by its own part in them, less that part's mean over the training
    people. The game has one player per connection, who brings its value together with the covariates by which it is
    judged; the learned features are sums of functions of one player each, and of such a game these are the exact
    Shapley values. Age, sex, motion and site get no share for what they change in the comparison with controls.

    Raises
    ------
    ExplanationError
        If base value and contributions miss the output by more than 1e-6.

    References
    ----------
    Lundberg and Lee 2017, NeurIPS 30, corollary 1; Strumbelj and Kononenko 2014, Knowl Inf Syst 41:647-665.
    """
    arm_index = bundle.arms.index(arm)
    model, mean = bundle.model, bundle.training_range.background_mean
    deviation = model.impute(person.values) - mean
    own_and_learned = model.weights[arm_index] * deviation
    of_input = _of_what_was_brought(bundle, person, model.weights[arm_index], deviation)
    by_fold = _of_what_was_brought(bundle, person, bundle.fold_models.weights_of(arm_index), deviation)
    base_value = float(model.predict(mean[np.newaxis])[0, arm_index])
    output = float(model.predict(person.values[np.newaxis])[0, arm_index])
    error = abs(base_value + float(of_input.sum()) - output)
    if not error <= MAX_ADDITIVITY_ERROR:
        raise ExplanationError(f"base value and contributions miss the output by {error:.3g}.")
    is_by_deviation = np.abs(of_input - own_and_learned) > np.abs(own_and_learned)
    contributions = _of_features(bundle, person, of_input, by_fold, is_by_deviation)
    contributions += _of_covariates(bundle, person, of_input, by_fold)
    return Explanation(
        arm=arm,
        base_value=base_value,
        output=output,
        additivity_error=error,
        contributions=tuple(sorted(contributions, key=lambda c: (-abs(c.contribution), c.feature))),
    )


def explain_or_withhold(bundle: ModelBundle, person: PersonInputs, *, arm: str) -> Explanation | None:
    """Explain, or log the fault and return None: a wrong reason is worse than none."""
    try:
        return explain(bundle, person, arm=arm)
    except ExplanationError as error:
        logger.error("explanation withheld, %s: %s", error.code, error)
        return None


def _of_what_was_brought(bundle: ModelBundle, person: PersonInputs, weights: Array, from_mean: Array) -> Array:
    """Return contributions of all inputs, those of learned features handed to the measured ones they are made from.

    Parameters
    ----------
    weights
        On the raw inputs, shape (..., n_inputs).
    from_mean
        Imputed inputs less their training means, shape (n_inputs,).

    Returns
    -------
    ndarray of shape (..., n_inputs)
        0 for learned features.
    """
    found = weights * from_mean
    if bundle.deviations and person.deviations:
        step, numbers = bundle.deviations, bundle.source_numbers
        learned = slice(len(bundle.definitions), bundle.n_features)
        whole, n_sources = step.expand(weights[..., learned]), len(numbers)
        parts = summary_parts(person.deviations.z[np.newaxis], threshold=step.threshold)[0] - step.background
        found[..., numbers] += whole[..., :n_sources] * step.expand(from_mean[learned])[:n_sources]
        found[..., numbers] += whole[..., n_sources:] @ parts
        found[..., learned] = 0.0
    return np.asarray(found)


def _of_features(
    bundle: ModelBundle,
    person: PersonInputs,
    of_input: Array,
    by_fold: Array,
    is_by_deviation: NDArray[np.bool_],
) -> list[Contribution]:
    z = np.full(len(bundle.definitions), np.nan)
    if person.deviations:
        z[bundle.source_numbers] = person.deviations.z
    found = []
    for number in np.flatnonzero(of_input[: len(bundle.definitions)]):
        definition, value = bundle.definitions[number], person.values[number]
        found.append(
            Contribution(
                feature=definition.name,
                value=float(value) if np.isfinite(value) else None,
                unit=definition.unit,
                contribution=float(of_input[number]),
                circuit=definition.circuit or definition.kind,
                kind=definition.kind,
                fold_sign_agreement=_agreement(of_input[number], by_fold[:, number]),
                description=definition.description or definition.name,
                training_mean=float(bundle.training_range.mean[number]),
                deviation=float(z[number]) if is_by_deviation[number] and np.isfinite(z[number]) else None,
            )
        )
    return found


def _of_covariates(bundle: ModelBundle, person: PersonInputs, of_input: Array, by_fold: Array) -> list[Contribution]:
    found = []
    start = bundle.n_features
    for covariate in bundle.covariates:
        inputs = slice(start, start + len(covariate.input_names))
        start = inputs.stop
        total = float(of_input[inputs].sum())
        if total == 0.0:
            continue
        is_number = covariate.kind == "number"
        found.append(
            Contribution(
                feature=covariate.name,
                value=_covariate_value(covariate.name, person.covariates, is_number=is_number),
                unit=covariate.unit,
                contribution=total,
                circuit=CLINICAL,
                kind=CLINICAL,
                fold_sign_agreement=_agreement(total, by_fold[:, inputs].sum(axis=1)),
                description=covariate.name.replace("_", " "),
                training_mean=float(bundle.training_range.mean[inputs.start]) if is_number else None,
            )
        )
    return found


def _covariate_value(name: str, covariates: Mapping[str, str | float | None], *, is_number: bool) -> float | str | None:
    value = covariates.get(name)
    return None if value is None else float(value) if is_number else str(value)


def _agreement(contribution: float, by_fold: Array) -> float:
    return float((np.sign(by_fold) == np.sign(contribution)).mean())
