"""What is known about one person, checked and put into the model's order."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from predictor.errors import TableError, UnknownFeatureError
from predictor.features.feature_catalogue import feature_definitions
from predictor.model.bundle import ModelBundle
from predictor.model.learned_features import LearnedDeviations
from predictor.model.outcome_definition import CovariateValue, finite_number, is_missing

SHOWN_NAMES = 5


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
        If a value is not a finite number.
    TableError
        If a covariate or a level of one is unknown.
    """
    own = bundle.feature_names
    if not features.keys() <= set(own):
        recipe_names = {d.name for d in feature_definitions(bundle.recipe)} if bundle.recipe else set()
        _refuse_unknown(features.keys() - set(own) - recipe_names)
    numbers = {
        name: None if value is None else finite_number(value, where=f"feature {name[:120]}")
        for name, value in features.items()
    }
    measured = np.array([_or_nan(numbers.get(name)) for name in own], dtype=np.float64)
    _check_covariates(covariates, bundle)
    of_covariates = []
    for covariate in bundle.covariates:
        value = covariates.get(covariate.name)
        if value is not None and is_missing(value):
            finite_number(value, where=f"covariate {covariate.name}")  # NaN is no way to say missing
        of_covariates.append(covariate.encode([value])[0] if covariate.role != "arm" else np.empty(0))
    harmonised, gain = _harmonise(measured, covariates, bundle)
    blocks, deviations = [harmonised], None
    if bundle.deviations:
        deviations = _judge(measured[bundle.source_numbers], {**covariates, **numbers}, bundle.deviations)
        blocks.append(bundle.deviations.features(deviations.z[np.newaxis])[0])
    return PersonInputs(
        values=np.concatenate([*blocks, *of_covariates]),
        features=numbers,
        covariates=dict(covariates),
        deviations=deviations,
        gain=gain,
    )


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


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value


def _refuse_unknown(names: Collection[str]) -> None:
    if names:
        shown = ", ".join(name[:120] for name in sorted(names)[:SHOWN_NAMES])
        raise UnknownFeatureError(f"{len(names)} names are no features of the model: {shown}.", where=shown)


def _check_covariates(covariates: Mapping[str, CovariateValue], bundle: ModelBundle) -> None:
    known = [covariate.name for covariate in bundle.covariates]
    unknown = sorted(set(covariates) - set(known))
    if unknown:
        expected = ", ".join(known) if known else "none"
        raise TableError(
            f"expected the covariates {expected}; found {unknown[0][:120]} too.",
            where=f"covariate {unknown[0][:120]}",
            remedy="Leave out covariates that the model does not know.",
        )
