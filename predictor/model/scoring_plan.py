"""What every answer of a bundle needs and no person changes, prepared once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import orjson
from numpy.typing import NDArray

from predictor.features.feature_catalogue import feature_definitions
from predictor.features.feature_vector import FeatureDefinition
from predictor.features.recipe import Recipe
from predictor.model.learned_features import LearnedDeviations
from predictor.model.out_of_fold import INTERVAL_LEVEL, OutOfFoldResiduals
from predictor.model.outcome_definition import Covariate
from predictor.model.possible_values import ANY_NUMBER, PossibleRange, range_of_covariate, range_of_unit
from predictor.model.response_model import ResponseModel
from predictor.model.site_correction import SiteCorrection
from predictor.model.training_range import TrainingRange

# Circuit and kind of everything that is not measured in the brain.
CLINICAL = "clinical"


@dataclass(frozen=True, slots=True, eq=False)
class NamedInputs:
    """What explanations speak of: the measured features, then every covariate that is an input, as one.

    One entry per name in every tuple and array; the tuples are arrays of objects, so that one index picks many.
    """

    names: NDArray[np.object_]
    units: NDArray[np.object_]
    circuits: NDArray[np.object_]
    kinds: NDArray[np.object_]
    descriptions: NDArray[np.object_]
    training_means: NDArray[np.object_]  # float, None for categories
    covariates: tuple[Covariate, ...]  # the last names
    covariate_starts: NDArray[np.intp]  # where their inputs begin
    alphabetical: NDArray[np.intp]  # positions of the names in alphabetical order
    circuit_labels: tuple[str, ...]
    circuit_numbers: NDArray[np.intp]  # into circuit_labels
    kind_labels: tuple[str, ...]
    kind_numbers: NDArray[np.intp]  # into kind_labels
    # What an answer has before contribution, agreement and value of a name, as bytes.
    json_between: tuple[NDArray[np.object_], NDArray[np.object_], NDArray[np.object_]]


@dataclass(frozen=True, slots=True, eq=False)
class ScoringPlan:
    """Names, numbers and arrays in the form in which scoring uses them."""

    feature_names: tuple[str, ...]
    feature_number: Mapping[str, int]
    known_features: frozenset[str]  # the model's, and everything else that its recipe makes
    ranges: Mapping[str, PossibleRange]  # of known features that cannot be any number
    lowest: NDArray[np.float64]  # (n_definitions,), the smallest that the model's features can be
    highest: NDArray[np.float64]  # (n_definitions,)
    known_covariates: frozenset[str]
    covariate_ranges: Mapping[str, PossibleRange]  # of numbers known without a scan that cannot be any number
    inputs_of: tuple[tuple[Covariate, slice], ...]  # where the inputs of each covariate stand, empty for the arm
    n_features: int  # inputs that are features, learned ones included
    source_numbers: list[int]  # measured features that the reference judges, in its order
    harmonised_numbers: list[int]  # measured features that are harmonised, in the correction's order
    is_used: NDArray[np.bool_]  # (n_inputs,)
    uses_features: bool
    n_used_features: int
    is_needed: NDArray[np.bool_]  # (n_definitions,), has influence itself or through learned features
    n_needed: int
    residuals: tuple[OutOfFoldResiduals, ...]  # those that each arm's interval is made of
    usual_error: float  # standard deviation of all residuals, the outcome's unit
    named: NamedInputs


def prepare_scoring(
    *,
    definitions: tuple[FeatureDefinition, ...],
    covariates: tuple[Covariate, ...],
    recipe: Recipe | None,
    model: ResponseModel,
    out_of_fold: OutOfFoldResiduals,
    training_range: TrainingRange,
    deviations: LearnedDeviations | None,
    harmonization: SiteCorrection | None,
) -> ScoringPlan:
    """Prepare the parts of a bundle that fit together.

    Parameters
    ----------
    definitions, covariates, recipe, model, out_of_fold, training_range, deviations, harmonization
        As `ModelBundle` has them.
    """
    names = tuple(definition.name for definition in definitions)
    number = {name: position for position, name in enumerate(names)}
    sources = [number[source] for source in deviations.reference.sources] if deviations else []
    n_features = len(definitions) + (len(deviations.definitions) if deviations else 0)
    is_used = np.asarray(model.is_used)
    is_needed = _is_needed(is_used, len(definitions), n_features, deviations, sources)
    ranges = _feature_ranges(definitions, recipe, training_range)
    return ScoringPlan(
        feature_names=names,
        feature_number=number,
        known_features=frozenset(ranges),
        ranges=_limited(ranges),
        lowest=np.array([ranges[name].lower for name in names], dtype=np.float64),
        highest=np.array([ranges[name].upper for name in names], dtype=np.float64),
        known_covariates=frozenset(covariate.name for covariate in covariates),
        covariate_ranges=_covariate_ranges(covariates, n_features, training_range),
        inputs_of=tuple(_inputs_of(covariates, n_features)),
        n_features=n_features,
        source_numbers=sources,
        harmonised_numbers=[number[name] for name in harmonization.features] if harmonization else [],
        is_used=is_used,
        uses_features=bool(is_used[:n_features].any()),
        n_used_features=int(is_used[:n_features].sum()),
        is_needed=is_needed,
        n_needed=int(is_needed.sum()),
        residuals=tuple(out_of_fold.of_arm(arm, level=INTERVAL_LEVEL) for arm in range(len(model.arms))),
        usual_error=float(out_of_fold.residual.std()),
        named=_named_inputs(definitions, covariates, n_features, training_range),
    )


def _feature_ranges(
    definitions: Sequence[FeatureDefinition], recipe: Recipe | None, training: TrainingRange
) -> dict[str, PossibleRange]:
    """Return what each feature can be that the model takes or its recipe makes."""
    found = {definition.name: range_of_unit(definition.unit) for definition in definitions}
    seen = zip(found.items(), training.minimum, training.maximum, strict=False)
    own = {name: possible.widened(float(low), float(high)) for (name, possible), low, high in seen}
    made = feature_definitions(recipe) if recipe else ()
    return {definition.name: range_of_unit(definition.unit) for definition in made} | own


def _covariate_ranges(
    covariates: Sequence[Covariate], n_features: int, training: TrainingRange
) -> dict[str, PossibleRange]:
    """Return what each number can be that is known without a scan, where that is limited."""
    found = {}
    for covariate, inputs in _inputs_of(covariates, n_features):
        if covariate.kind == "number":
            possible = range_of_covariate(covariate.name)
            for low, high in zip(training.minimum[inputs], training.maximum[inputs], strict=True):
                possible = possible.widened(float(low), float(high))
            found[covariate.name] = possible
    return _limited(found)


def _limited(ranges: Mapping[str, PossibleRange]) -> dict[str, PossibleRange]:
    return {name: possible for name, possible in ranges.items() if possible != ANY_NUMBER}


def _is_needed(
    is_used: NDArray[np.bool_],
    n_measured: int,
    n_features: int,
    deviations: LearnedDeviations | None,
    sources: Sequence[int],
) -> NDArray[np.bool_]:
    is_needed = is_used[:n_measured].copy()
    if deviations:
        whole = deviations.expand(is_used[n_measured:n_features].astype(np.float64))
        is_needed[sources] |= (whole[: len(sources)] != 0) | (whole[len(sources) :] != 0).any()
    is_needed.setflags(write=False)
    return np.asarray(is_needed)


def _inputs_of(covariates: Sequence[Covariate], start: int) -> list[tuple[Covariate, slice]]:
    found = []
    for covariate in covariates:
        inputs = slice(start, start + len(covariate.input_names))
        start = inputs.stop
        found.append((covariate, inputs))
    return found


def _named_inputs(
    definitions: Sequence[FeatureDefinition],
    covariates: Sequence[Covariate],
    n_features: int,
    training_range: TrainingRange,
) -> NamedInputs:
    own = [(covariate, inputs) for covariate, inputs in _inputs_of(covariates, n_features) if covariate.input_names]
    asked = [covariate for covariate, _ in own]
    of_features = [float(mean) for mean in training_range.mean[: len(definitions)]]
    of_covariates = [float(training_range.mean[i.start]) if c.kind == "number" else None for c, i in own]
    names = [*(d.name for d in definitions), *(c.name for c in asked)]
    units = [*(d.unit for d in definitions), *(c.unit for c in asked)]
    clinical = [CLINICAL] * len(asked)
    circuits = [*(d.circuit or d.kind for d in definitions), *clinical]
    kinds = [*(d.kind for d in definitions), *clinical]
    circuit_labels, circuit_numbers = np.unique(circuits, return_inverse=True)
    kind_labels, kind_numbers = np.unique(kinds, return_inverse=True)
    return NamedInputs(
        names=_objects(names),
        units=_objects(units),
        circuits=_objects(circuits),
        kinds=_objects(kinds),
        descriptions=_objects(
            [*(d.description or d.name for d in definitions), *(c.name.replace("_", " ") for c in asked)]
        ),
        training_means=_objects([*of_features, *of_covariates]),
        covariates=tuple(asked),
        covariate_starts=np.array([inputs.start for _, inputs in own], dtype=np.intp),
        alphabetical=np.array(sorted(range(len(names)), key=names.__getitem__), dtype=np.intp),
        circuit_labels=tuple(circuit_labels.tolist()),
        circuit_numbers=circuit_numbers.astype(np.intp),
        kind_labels=tuple(kind_labels.tolist()),
        kind_numbers=kind_numbers.astype(np.intp),
        json_between=_json_between(names, units, circuits, kinds),
    )


def _json_between(
    names: Sequence[str], units: Sequence[str], circuits: Sequence[str], kinds: Sequence[str]
) -> tuple[NDArray[np.object_], NDArray[np.object_], NDArray[np.object_]]:
    """Write the texts of every contribution in the order of their keys; the first one also ends the one before."""
    written = [list(map(orjson.dumps, texts)) for texts in (names, units, circuits, kinds)]
    rows = list(zip(*written, strict=True))
    return (
        _objects([b'},{"circuit":%b,"contribution":' % circuit for _, _, circuit, _ in rows]),
        _objects([b',"feature":%b,"fold_sign_agreement":' % name for name, _, _, _ in rows]),
        _objects([b',"kind":%b,"unit":%b,"value":' % (kind, unit) for _, unit, _, kind in rows]),
    )


def _objects(values: Sequence[object]) -> NDArray[np.object_]:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array
