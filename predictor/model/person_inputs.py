"""What is known about one person, checked and put into the model's order."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from predictor.errors import TableError, UnknownFeatureError
from predictor.model.bundle import ModelBundle
from predictor.model.learned_features import LearnedDeviations
from predictor.model.outcome_definition import MAX_ABS_VALUE, CovariateValue, finite_number, is_missing
from predictor.model.possible_values import PossibleRange

SHOWN_NAMES = 5
# Exactly these, since a boolean is an integer to Python; an integer may be too long for a float.
_PLAIN_TYPES = frozenset({float, np.float64, type(None)})


@dataclass(frozen=True, slots=True, eq=False)
class PersonDeviations:
    """How far a person is from what is expected of controls, by feature that the reference judges."""

    z: NDArray[np.float64]  # (n_sources,), NaN where the feature is missing or controls do not say what to expect
    slope: NDArray[np.float64]  # (n_sources,), change of z per unit of the feature
    pooled: tuple[str, ...]  # covariates that are unknown, or of which no control has this level
    extrapolated: tuple[str, ...] = ()  # covariates far outside the range of the controls


@dataclass(frozen=True, slots=True, eq=False)
class PersonInputs:
    """One person as the model sees them."""

    values: NDArray[np.float64]  # (n_inputs,), NaN where missing
    features: Mapping[str, float | None]  # everything that was measured, also what this model does not use
    covariates: Mapping[str, CovariateValue]
    deviations: PersonDeviations | None = None  # None: the model compares no one with controls
    # (n_definitions,): change of the model's value per unit of the measured feature; None: nothing is harmonised
    gain: NDArray[np.float64] | None = None


def person_inputs(
    features: Mapping[str, float | None], covariates: Mapping[str, CovariateValue], bundle: ModelBundle
) -> PersonInputs:
    """Check names and values, and put them into the model's order.

    Features that the bundle's recipe makes but the model does not take are accepted. The arm may be given or not:
    the model answers for every arm.

    Raises
    ------
    UnknownFeatureError
        If a feature is neither the model's nor the recipe's.
    ValueOutOfRangeError
        If a value is not a finite number, or none that such a measure can have.
    TableError
        If a covariate or a level of one is unknown.
    """
    if not features.keys() <= bundle.plan.known_features:
        _refuse_unknown(features.keys() - bundle.plan.known_features)
    measured, numbers = _measured(features, bundle)
    of_covariates = _covariate_columns(covariates, bundle)
    harmonised, gain = _harmonise(measured, covariates, bundle)
    blocks, deviations = [harmonised], None
    if bundle.deviations:
        deviations = _judge(measured[bundle.source_numbers], {**covariates, **numbers}, bundle.deviations)
        blocks.append(bundle.deviations.features(deviations.z[np.newaxis])[0])
    return PersonInputs(
        values=np.concatenate([*blocks, of_covariates]),
        features=numbers,
        covariates=dict(covariates),
        deviations=deviations,
        gain=gain,
    )


def _measured(
    features: Mapping[str, float | None], bundle: ModelBundle
) -> tuple[NDArray[np.float64], Mapping[str, float | None]]:
    """Return the model's features in its order, NaN where missing, and everything that was measured as numbers."""
    numbers: Mapping[str, float | None] = dict(features)
    values = list(numbers.values())
    found = _plain_numbers(values)
    if found is None:
        numbers = {
            name: None if value is None else finite_number(value, where=f"feature {name[:120]}")
            for name, value in features.items()
        }
        found = np.array(list(numbers.values()), dtype=np.float64)
    plan, measured, has_others = bundle.plan, found, False
    if tuple(numbers) != plan.feature_names:
        number_of, n_names = plan.feature_number, len(plan.feature_names)
        placed = np.full(n_names + 1, np.nan)
        # What the model does not take goes to a place behind the last.
        placed[[number_of.get(name, n_names) for name in numbers]] = found
        measured, has_others = placed[:-1], not numbers.keys() <= number_of.keys()
    if has_others or (measured < plan.lowest).any() or (measured > plan.highest).any():
        _check_ranges(numbers, plan.ranges, what="feature")
    return measured, numbers


def _plain_numbers(values: list[float | None]) -> NDArray[np.float64] | None:
    """Check ordinary numbers all at once, NaN where None; None if `finite_number` must look at them one by one."""
    if not _PLAIN_TYPES.issuperset(map(type, values)):
        return None
    found = np.array(values, dtype=np.float64)
    n_fine = np.count_nonzero(np.abs(found) <= MAX_ABS_VALUE)
    return found if n_fine + values.count(None) == len(values) else None


def _covariate_columns(covariates: Mapping[str, CovariateValue], bundle: ModelBundle) -> NDArray[np.float64]:
    """Check the covariates and return their inputs one after another, NaN where missing."""
    if not covariates.keys() <= bundle.plan.known_covariates:
        _refuse_unknown_covariate(covariates, bundle)
    columns: list[float] = []
    for covariate in bundle.covariates:
        value = covariates.get(covariate.name)
        if value is not None and is_missing(value):
            finite_number(value, where=f"covariate {covariate.name}")  # NaN is no way to say missing
        columns += covariate.encode_one(value)
    _check_ranges(covariates, bundle.plan.covariate_ranges, what="covariate")
    return np.array(columns, dtype=np.float64)


def _check_ranges(
    values: Mapping[str, CovariateValue], ranges: Mapping[str, PossibleRange], *, what: Literal["feature", "covariate"]
) -> None:
    """Refuse numbers that such a measure cannot have."""
    for name, possible in ranges.items():
        value = values.get(name)
        if isinstance(value, Real) and not possible.lower <= value <= possible.upper:
            raise possible.refuse(where=f"{what} {name[:120]}")


def _harmonise(
    measured: NDArray[np.float64], covariates: Mapping[str, CovariateValue], bundle: ModelBundle
) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    """Take the effect of the person's site out of the features; someone from another site keeps them."""
    correction = bundle.harmonization
    if correction is None:
        return measured, None
    site = next(one for one in bundle.covariates if one.name == correction.site)
    columns = [one.encode([covariates.get(one.name)])[0] for one in correction.preserved]
    found = correction.apply(
        measured[np.newaxis, bundle.harmonised_numbers],
        np.concatenate([*columns, np.empty(0)])[np.newaxis],
        [site.level_of(covariates.get(site.name))],
    )
    values, gain = measured.copy(), np.ones(len(measured))
    values[bundle.harmonised_numbers], gain[bundle.harmonised_numbers] = found.values[0], found.gain[0]
    return values, gain


def _judge(
    sources: NDArray[np.float64], known: Mapping[str, CovariateValue], learned: LearnedDeviations
) -> PersonDeviations:
    """Compare the person with what is expected of controls like them."""
    reference = learned.reference
    columns = [covariate.encode([known.get(covariate.name)])[0] for covariate in reference.covariates]
    of_person = np.concatenate([*columns, np.empty(0)])
    found = reference.judge(sources[np.newaxis], of_person[np.newaxis])
    return PersonDeviations(
        z=found.z[0],
        slope=found.slope[0],
        pooled=tuple(
            covariate.name
            for covariate, column in zip(reference.covariates, columns, strict=True)
            if np.isnan(column).any()
        ),
        extrapolated=reference.extrapolated(of_person),
    )


def _refuse_unknown(names: Collection[str]) -> None:
    shown = ", ".join(name[:120] for name in sorted(names)[:SHOWN_NAMES])
    counted = "1 name is no feature" if len(names) == 1 else f"{len(names)} names are no features"
    raise UnknownFeatureError(f"{counted} of the model: {shown}.", where=shown)


def _refuse_unknown_covariate(covariates: Mapping[str, CovariateValue], bundle: ModelBundle) -> None:
    known = [covariate.name for covariate in bundle.covariates]
    unknown = sorted(str(name) for name in set(covariates) - set(known))
    expected = ", ".join(known) if known else "none"
    raise TableError(
        f"expected the covariates {expected}; found {unknown[0][:120]} too.",
        where=f"covariate {unknown[0][:120]}",
        remedy="Leave out covariates that the model does not know.",
    )
