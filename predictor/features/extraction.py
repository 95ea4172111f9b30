"""One visit in, one feature vector out: the same path for training and serving."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations
from time import perf_counter
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from predictor.errors import FeatureError
from predictor.features.feature_catalogue import (
    QUALITY_MEASURES,
    edge_feature_name,
    feature_definitions,
    quality_feature_name,
    region_feature_name,
    run_kinds,
)
from predictor.features.feature_vector import FeatureVector
from predictor.features.gppi import gppi_matrix, seed_signals
from predictor.features.recipe import Recipe
from predictor.features.rest_connectivity import fisher_z_edges, partial_fisher_z_edges
from predictor.features.run_preparation import RestRun, TaskRun, prepare_rest_run, prepare_task_run, run_confounds
from predictor.features.task_activation import activation_contrast, activation_design
from predictor.scan.cleaning import RegionTimeseries
from predictor.scan.confounds import Confounds
from predictor.scan.quality import QualityReport, RunQuality, assess_quality, run_quality
from predictor.scan.session import BaselineSession, Run
from predictor.scan.task_description import RunKind

__all__ = ["extract_features", "feature_definitions", "session_quality"]

logger = logging.getLogger(__name__)

FACES_CONTRAST = {"faces": 1.0, "control": -1.0}

PreparedRun = TypeVar("PreparedRun", RestRun, TaskRun)
# A feature's number, or the reason why there is none.
Outcome = float | str


@dataclass(frozen=True, slots=True, eq=False)
class _PreparedVisit:
    """Runs ready for the features, or why not; prepared once for all families."""

    recipe: Recipe
    rest: RestRun | str
    faces: TaskRun | str
    quality: Mapping[RunKind, RunQuality]


def extract_features(session: BaselineSession, recipe: Recipe) -> FeatureVector:
    """All features of a recipe for one visit.

    Parameters
    ----------
    session
        The visit's runs; any of them may be absent.
    recipe
        What is measured and how.

    Returns
    -------
    FeatureVector
        Every feature of `feature_definitions(recipe)`; one that cannot be computed is missing with its reason.
    """
    started = perf_counter()
    outcomes: dict[str, Outcome] = {}
    # Matrix products differ in their last digits with the number of threads; the same visit must give the same numbers.
    with threadpool_limits(limits=1):
        visit = _prepared(session, recipe)
        for family in recipe.families:
            outcomes.update(_COMPUTE[family](visit))
    vector = _feature_vector(outcomes, recipe, session.input_digest)
    logger.debug(
        "extracted %d of %d features in %.3f s",
        np.count_nonzero(np.isfinite(vector.values)),
        vector.values.size,
        perf_counter() - started,
    )
    return vector


def session_quality(session: BaselineSession, recipe: Recipe) -> QualityReport:
    """Quality of every run of a visit, judged with the recipe's confounds and censoring."""
    return assess_quality(
        session,
        confound_strategy=recipe.confound_strategy,
        censor_framewise_displacement_mm=recipe.censor_framewise_displacement_mm,
    )


def _prepared(session: BaselineSession, recipe: Recipe) -> _PreparedVisit:
    # Loading confounds takes longer than most features, so it happens once per run.
    runs = {run.kind: (run, run_confounds(run, recipe)) for run in session.runs if run.kind in run_kinds(recipe)}
    return _PreparedVisit(
        recipe=recipe,
        rest=_prepared_run("rest", runs, recipe, prepare_rest_run),
        faces=_prepared_run("faces", runs, recipe, prepare_task_run),
        quality={kind: run_quality(run, confounds) for kind, (run, confounds) in runs.items()},
    )


def _prepared_run(
    kind: RunKind,
    runs: Mapping[RunKind, tuple[Run, Confounds]],
    recipe: Recipe,
    prepare: Callable[[Run, Confounds, Recipe], PreparedRun],
) -> PreparedRun | str:
    if kind not in runs:
        return f"no {kind} run"
    try:
        return prepare(*runs[kind], recipe)
    except FeatureError as error:
        return str(error)


def _rest_fisher_z(visit: _PreparedVisit) -> dict[str, Outcome]:
    return _rest_edges(visit, "rest_fisher_z", fisher_z_edges)


def _rest_partial(visit: _PreparedVisit) -> dict[str, Outcome]:
    return _rest_edges(visit, "rest_partial", partial_fisher_z_edges)


def _rest_edges(
    visit: _PreparedVisit, prefix: str, measure: Callable[[RegionTimeseries], NDArray[np.float64]]
) -> dict[str, Outcome]:
    pairs = [(edge.source, edge.target) for edge in visit.recipe.circuit.edges]
    names = [edge_feature_name(prefix, *pair) for pair in pairs]
    if isinstance(visit.rest, str):
        return _all_missing(names, visit.rest)
    missing = visit.rest.missing_regions
    values: dict[frozenset[str], float] = {}
    region_names = visit.rest.timeseries.region_names
    if len(region_names) > 1:
        try:
            edges = measure(visit.rest.timeseries).tolist()
        except FeatureError as error:
            return _all_missing(names, str(error))
        values = dict(zip(map(frozenset, combinations(region_names, 2)), edges, strict=True))
    return {
        name: _region_reason(pair, missing) or values[frozenset(pair)] for name, pair in zip(names, pairs, strict=True)
    }


def _activation_faces(visit: _PreparedVisit) -> dict[str, Outcome]:
    regions = visit.recipe.circuit.region_names
    names = [region_feature_name("activation_faces", region) for region in regions]
    if isinstance(visit.faces, str):
        return _all_missing(names, visit.faces)
    task = visit.faces
    try:
        design = activation_design(task.conditions, task.grid, confounds=task.confounds)
        contrast = activation_contrast(task.timeseries.bold, design, FACES_CONTRAST, drift=task.drift)
    except FeatureError as error:
        return _all_missing(names, str(error))
    effects = dict(zip(task.timeseries.region_names, contrast.effect.tolist(), strict=True))
    return {
        name: _region_reason((region,), task.missing_regions) or effects[region]
        for name, region in zip(names, regions, strict=True)
    }


def _gppi_faces(visit: _PreparedVisit) -> dict[str, Outcome]:
    pairs = [(edge.source, edge.target) for edge in visit.recipe.circuit.edges]
    if isinstance(visit.faces, str):
        return _all_missing((name for pair in pairs for name in _gppi_names(*pair)), visit.faces)
    task = visit.faces
    try:
        matrix = _gppi_of_task(task, visit.recipe)
    except FeatureError as error:
        return _all_missing((name for pair in pairs for name in _gppi_names(*pair)), str(error))
    index = {name: position for position, name in enumerate(task.timeseries.region_names)}
    outcomes: dict[str, Outcome] = {}
    for first, second in pairs:
        reason = _region_reason((first, second), task.missing_regions)
        if reason:
            outcomes.update(_all_missing(_gppi_names(first, second), reason))
            continue
        forward, backward = matrix[index[first], index[second]], matrix[index[second], index[first]]
        both = (float(forward), float(backward), float(forward + backward) / 2)
        outcomes.update(zip(_gppi_names(first, second), both, strict=True))
    return outcomes


def _gppi_of_task(task: TaskRun, recipe: Recipe) -> NDArray[np.float64]:
    """Interaction with faces beyond control, row = seed, column = target, for the usable regions."""
    seeds = seed_signals(
        task.timeseries.bold,
        task.conditions,
        task.grid,
        drift=task.drift,
        confounds=task.confounds.columns,
        deconvolve_seed=recipe.deconvolve_seed,
        center_psychological=recipe.center_psychological,
    )
    return gppi_matrix(task.timeseries.bold, seeds, FACES_CONTRAST, drift=task.drift, confounds=task.confounds)


def _gppi_names(first: str, second: str) -> tuple[str, str, str]:
    return (
        edge_feature_name("gppi_faces", first, second),
        edge_feature_name("gppi_faces", second, first),
        edge_feature_name("gppi_faces_mean", first, second),
    )


def _quality(visit: _PreparedVisit) -> dict[str, Outcome]:
    outcomes: dict[str, Outcome] = {}
    for kind in run_kinds(visit.recipe):
        for measure in QUALITY_MEASURES:
            name = quality_feature_name(measure, kind)
            if kind not in visit.quality:
                outcomes[name] = f"no {kind} run"
                continue
            value = getattr(visit.quality[kind], measure)
            is_known = value is not None and np.isfinite(value)
            outcomes[name] = float(value) if is_known else f"not known for the {kind} run"
    return outcomes


_COMPUTE: Mapping[str, Callable[[_PreparedVisit], dict[str, Outcome]]] = {
    "rest_fisher_z": _rest_fisher_z,
    "rest_partial": _rest_partial,
    "activation_faces": _activation_faces,
    "gppi_faces": _gppi_faces,
    "quality": _quality,
}


def _all_missing(names: Iterable[str], reason: str) -> dict[str, Outcome]:
    return dict.fromkeys(names, reason)


def _region_reason(regions: tuple[str, ...], missing_regions: Mapping[str, str]) -> str | None:
    return next((missing_regions[region] for region in regions if region in missing_regions), None)


def _feature_vector(outcomes: Mapping[str, Outcome], recipe: Recipe, input_digest: str) -> FeatureVector:
    definitions = feature_definitions(recipe)
    values = np.full(len(definitions), np.nan)
    reasons: list[str | None] = []
    for position, definition in enumerate(definitions):
        outcome = outcomes[definition.name]
        if isinstance(outcome, str):
            reasons.append(outcome)
        elif not np.isfinite(outcome):  # signals of absurd size overflow somewhere on the way
            reasons.append("the result is not a finite number")
        else:
            values[position] = outcome
            reasons.append(None)
    return FeatureVector(definitions, values, tuple(reasons), recipe.recipe_hash, input_digest)
