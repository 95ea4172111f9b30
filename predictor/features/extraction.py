"""One visit in, one feature vector out: the same path for training and serving."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from time import perf_counter
from typing import Final, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from predictor.argument_kind import check_kind
from predictor.circuit.circuit import Circuit, Region
from predictor.errors import CircuitMismatchError, FeatureError
from predictor.features.estimates import Estimates, all_missing, combine_runs, finite_only, merged
from predictor.features.feature_catalogue import (
    family_feature_names,
    feature_definitions,
    kind_feature_names,
    run_kinds,
)
from predictor.features.feature_vector import FeatureVector
from predictor.features.quality_family import quality
from predictor.features.rdcm_family import rdcm_faces, rdcm_rest
from predictor.features.recipe import Recipe, default_recipe
from predictor.features.rest_families import rest_fisher_z, rest_partial
from predictor.features.run_halves import rest_halves, run_halves
from predictor.features.run_preparation import RestRun, TaskRun, prepare_rest_run, prepare_task_run, session_confounds
from predictor.features.task_families import (
    activation_conflict,
    activation_conflict_regulation,
    activation_faces,
    gppi_faces,
)
from predictor.scan.confounds import Confounds
from predictor.scan.quality import QualityReport, judged_quality, run_quality
from predictor.scan.session import BaselineSession, Run
from predictor.scan.task_description import RunKind

__all__ = ["extract_features", "feature_definitions", "session_quality"]

logger = logging.getLogger(__name__)

# To add a family: one line here, its definition in feature_catalogue.py, its name in FAMILIES of recipe.py.
REST_FAMILIES: Mapping[str, Callable[[RestRun, Recipe], Estimates]] = {
    "rest_fisher_z": rest_fisher_z,
    "rest_partial": rest_partial,
    "rdcm_rest": rdcm_rest,
}
TASK_FAMILIES: Mapping[RunKind, Mapping[str, Callable[[TaskRun, Recipe], Estimates]]] = {
    "faces": {"activation_faces": activation_faces, "gppi_faces": gppi_faces, "rdcm_faces": rdcm_faces},
    "conflict": {
        "activation_conflict": activation_conflict,
        "activation_conflict_regulation": activation_conflict_regulation,
    },
}
PreparedRun = TypeVar("PreparedRun", RestRun, TaskRun)
# A run and what is regressed out of it.
MeasuredRun = tuple[Run, Confounds]
# Which half of a run; None is the whole.
Half = Literal[0, 1] | None
_FIRST_THE_VISIT: Final = "Give what read_session returned first, then a recipe, such as bundle.recipe."


def extract_features(
    session: BaselineSession,
    recipe: Recipe | None = None,
    *,
    halves: bool = False,
    confounds: Mapping[str, Confounds] | None = None,
) -> FeatureVector:
    """All features of a recipe for one visit.

    Parameters
    ----------
    session
        The visit's runs; any of them may be absent, and there may be several of a kind.
    recipe
        What is measured and how; None: `default_recipe()`.
    halves
        Compute every feature once more from the first and from the second half of the runs. Values and standard errors
        are the same either way.
    confounds
        `session_confounds(session, recipe)`, if the caller has it already.

    Returns
    -------
    FeatureVector
        Every feature of `feature_definitions(recipe)`; one that cannot be computed is missing with its reason.

    Raises
    ------
    UsageError
        If the arguments were mixed up.
    CircuitMismatchError
        If the visit's scans were read for other regions than the recipe's.
    """
    started = perf_counter()
    recipe = recipe or default_recipe()
    _check_kinds(session, recipe)
    _check_regions(session, recipe.circuit)
    # Matrix products differ in their last digits with the number of threads; the same visit must give the same numbers.
    with threadpool_limits(limits=1):
        known = session_confounds(session, recipe) if confounds is None else confounds
        measured = [(run, known[run.name]) for run in session.runs if run.kind in run_kinds(recipe)]
        whole = _visit_estimates(measured, recipe)
        parts = _half_estimates(measured, recipe) if halves else (Estimates({}), Estimates({}))
    definitions = feature_definitions(recipe)
    names = [definition.name for definition in definitions]
    vector = FeatureVector(
        definitions=definitions,
        values=_in_order(whole.values, names),
        missing_reasons=tuple(whole.missing.get(name) for name in names),
        recipe_hash=recipe.recipe_hash,
        input_digest=session.input_digest,
        standard_errors=_in_order(whole.standard_errors, names),
        first_half=_in_order(parts[0].values, names),
        second_half=_in_order(parts[1].values, names),
    )
    logger.debug("extracted %d of %d features in %.3f s", len(whole.values), len(definitions), perf_counter() - started)
    return vector


def session_quality(
    session: BaselineSession, recipe: Recipe, *, confounds: Mapping[str, Confounds] | None = None
) -> QualityReport:
    """Quality of every run of a visit, judged with the recipe's confounds and censoring.

    Parameters
    ----------
    session, recipe
        The visit, and how it is measured.
    confounds
        `session_confounds(session, recipe)`, if the caller has it already.

    Raises
    ------
    UsageError
        If the arguments were mixed up.
    """
    _check_kinds(session, recipe)
    known = session_confounds(session, recipe) if confounds is None else confounds
    return judged_quality(run_quality(run, known[run.name]) for run in session.runs)


def _check_kinds(session: object, recipe: object) -> None:
    check_kind(session, BaselineSession, what="a visit as first argument", remedy=_FIRST_THE_VISIT)
    check_kind(recipe, Recipe, what="a recipe as second argument", remedy=_FIRST_THE_VISIT)


def _check_regions(session: BaselineSession, circuit: Circuit) -> None:
    """Refuse signals of other places that bear the same names: their numbers would look right."""
    for run in session.runs:
        recorded = run.recording.circuit
        if recorded is None:
            continue
        known = {_place(region) for region in recorded.regions}
        others = [region.name for region in circuit.regions if _place(region) not in known]
        if others or recorded.space != circuit.space:
            differing = others[0] if others else circuit.space
            raise CircuitMismatchError(
                f"the visit was read for circuit {recorded.name}, the recipe measures {circuit.name}; "
                f"{differing} is not the same in both.",
                where=run.name,
            )


def _place(region: Region) -> tuple[str, tuple[float, float, float] | None, float | None]:
    return region.name, region.centre_mni_mm, region.radius_mm


def _visit_estimates(measured: Sequence[MeasuredRun], recipe: Recipe, *, half: Half = None) -> Estimates:
    """Return every feature of the recipe from all runs or their halves, the runs of a kind put together."""
    kinds = []
    for kind in run_kinds(recipe):
        runs = [(run, confounds) for run, confounds in measured if run.kind == kind]
        if not runs:
            kinds.append(all_missing(kind_feature_names(recipe, kind), f"no {kind} run"))
            continue
        # A run of which nothing is kept has no features but quality; it must still weigh something there.
        weights = [max(1.0, float(np.sum(~confounds.is_censored))) for _, confounds in runs]
        kinds.append(combine_runs([_run_estimates(*run, recipe, half) for run in runs], weights))
    return merged(kinds)


def _half_estimates(measured: Sequence[MeasuredRun], recipe: Recipe) -> tuple[Estimates, Estimates]:
    """Return the features of the first and of the second halves; without standard errors, which nobody asks for."""
    plain = replace(recipe, bootstrap_samples=0)
    return _visit_estimates(measured, plain, half=0), _visit_estimates(measured, plain, half=1)


def _run_estimates(run: Run, confounds: Confounds, recipe: Recipe, half: Half) -> Estimates:
    """Return every feature that comes from one run or from half of it."""
    measured = (run, confounds) if half is None else run_halves(run, confounds)[half]
    if run.kind == "rest":
        prepare = partial(_prepare_rest, half=half)
        families = _families_of_run(REST_FAMILIES, prepare, run, confounds, recipe)
    else:
        families = _families_of_run(TASK_FAMILIES[run.kind], prepare_task_run, *measured, recipe)
    own = [quality(*measured)] if "quality" in recipe.families else []
    return finite_only(merged([*families, *own]))


def _prepare_rest(run: Run, confounds: Confounds, recipe: Recipe, *, half: Half) -> RestRun:
    rest = prepare_rest_run(run, confounds, recipe)
    if half is None:
        return rest
    return rest_halves(rest, confounds.is_censored, minimum_volumes=recipe.minimum_volumes)[half]


def _families_of_run(
    compute: Mapping[str, Callable[[PreparedRun, Recipe], Estimates]],
    prepare: Callable[[Run, Confounds, Recipe], PreparedRun],
    run: Run,
    confounds: Confounds,
    recipe: Recipe,
) -> list[Estimates]:
    wanted = [family for family in compute if family in recipe.families]
    if not wanted:
        return []
    try:
        prepared = prepare(run, confounds, recipe)
    except FeatureError as error:
        return [all_missing(family_feature_names(recipe, family), str(error)) for family in wanted]
    return [_family(compute[family], prepared, recipe, family) for family in wanted]


def _family(
    compute: Callable[[PreparedRun, Recipe], Estimates], prepared: PreparedRun, recipe: Recipe, family: str
) -> Estimates:
    try:
        return compute(prepared, recipe)
    except FeatureError as error:
        return all_missing(family_feature_names(recipe, family), str(error))


def _in_order(numbers: Mapping[str, float], names: Sequence[str]) -> NDArray[np.float64]:
    return np.array([numbers.get(name, np.nan) for name in names], dtype=np.float64)
