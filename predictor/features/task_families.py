"""Feature families of task runs: one prepared run in, named numbers with standard errors or reasons out."""

from __future__ import annotations

from dataclasses import dataclass

from predictor.errors import FeatureError
from predictor.features.conflict_trials import ConflictConditions, conflict_conditions, congruency_conditions
from predictor.features.design_diagnostics import DesignDiagnostics, design_diagnostics
from predictor.features.estimates import Estimates, all_missing, region_reason
from predictor.features.feature_catalogue import edge_feature_name, region_feature_name
from predictor.features.gppi import INTERACTION_PREFIX, SeedSignals, gppi_design, gppi_estimates, seed_signals
from predictor.features.hrf import ResponseModel
from predictor.features.recipe import Recipe
from predictor.features.run_preparation import TaskRun
from predictor.features.task_activation import activation_design, activation_estimates
from predictor.features.task_design import Condition, DesignMatrix, check_trials

FACES_CONTRAST = {"faces": 1.0, "control": -1.0}
CONFLICT_CONTRAST = {"incongruent": 1.0, "congruent": -1.0}
# Negative in a region that works less on conflict when conflict went before: what regulation is expected to look like.
REGULATION_CONTRAST = {"iI": 1.0, "cI": -1.0}


@dataclass(frozen=True, slots=True, eq=False)
class TaskModel:
    """Design of one activation family for one run, and the contrast that its features are."""

    design: DesignMatrix  # conditions (and their derivatives), constant, confounds; drift is kept apart
    condition_names: tuple[str, ...]
    contrast: dict[str, float]  # weight by condition
    notes: tuple[str, ...] = ()  # what was decided, in plain words


def activation_faces(task: TaskRun, recipe: Recipe) -> Estimates:
    """Response to faces beyond control, by region, in percent signal change."""
    return _activation(task, recipe, "activation_faces")


def activation_conflict(task: TaskRun, recipe: Recipe) -> Estimates:
    """Response to incongruent beyond congruent trials, by region; errors and post-error trials left out."""
    return _activation(task, recipe, "activation_conflict")


def activation_conflict_regulation(task: TaskRun, recipe: Recipe) -> Estimates:
    """Response to incongruent trials after incongruent ones, beyond those after congruent ones, by region."""
    return _activation(task, recipe, "activation_conflict_regulation")


def gppi_faces(task: TaskRun, recipe: Recipe) -> Estimates:
    """Change of slope with faces beyond control, in both directions of every pair, and the mean of the two.

    Both directions come from the same two signals, so their errors go together (r of about .7 over simulated people):
    the standard error of a mean is the mean of the two, which it cannot exceed.
    """
    pairs = [(edge.source, edge.target) for edge in recipe.circuit.edges]
    try:
        check_trials(task.conditions, FACES_CONTRAST, recipe.minimum_trials_faces)
        found = gppi_estimates(
            task.timeseries.bold,
            _faces_seeds(task, recipe),
            FACES_CONTRAST,
            drift=task.drift,
            confounds=task.confounds,
        )
    except FeatureError as error:
        return all_missing((name for pair in pairs for name in _gppi_names(*pair)), str(error))
    index = {name: position for position, name in enumerate(task.timeseries.region_names)}
    estimates = Estimates({}, {}, {})
    for first, second in pairs:
        names = _gppi_names(first, second)
        reason = region_reason((first, second), task.missing_regions)
        if reason is not None:
            estimates.missing.update(dict.fromkeys(names, reason))
            continue
        there, back = (index[first], index[second]), (index[second], index[first])
        effects = (float(found.effect[there]), float(found.effect[back]))
        errors = (float(found.standard_error[there]), float(found.standard_error[back]))
        estimates.values.update(zip(names, (*effects, sum(effects) / 2), strict=True))
        estimates.standard_errors.update(zip(names, (*errors, sum(errors) / 2), strict=True))
    return estimates


def task_models(task: TaskRun, recipe: Recipe) -> dict[str, TaskModel]:
    """Designs of the activation families of a run's kind, by family; also where trials are too few for features."""
    return {family: _model(task, recipe, family) for family in _ACTIVATION_FAMILIES[task.kind]}


def task_diagnostics(task: TaskRun, recipe: Recipe) -> dict[str, DesignDiagnostics]:
    """Variance inflation and efficiency per condition.

    Returns
    -------
    dict
        By family of activation; for faces also `gppi_faces__<seed>` for every usable region, about the interactions.

    Raises
    ------
    FeatureError
        If no degrees of freedom are left.
    """
    diagnostics = {
        family: design_diagnostics(
            model.design, model.condition_names, model.contrast, drift=task.drift, notes=model.notes
        )
        for family, model in task_models(task, recipe).items()
    }
    if task.kind != "faces":
        return diagnostics
    seeds = _faces_seeds(task, recipe)
    contrast = {INTERACTION_PREFIX + name: weight for name, weight in FACES_CONTRAST.items()}
    for position, region in enumerate(task.timeseries.region_names):
        design = gppi_design(seeds, position, confounds=task.confounds)
        diagnostics[f"gppi_faces__{region}"] = design_diagnostics(design, contrast, contrast, drift=task.drift)
    return diagnostics


_ACTIVATION_FAMILIES = {
    "rest": (),
    "faces": ("activation_faces",),
    "conflict": ("activation_conflict", "activation_conflict_regulation"),
}


def _activation(task: TaskRun, recipe: Recipe, family: str) -> Estimates:
    regions = recipe.circuit.region_names
    minimum = recipe.minimum_trials_faces if task.kind == "faces" else recipe.minimum_trials_conflict
    try:
        conditions, contrast, _ = _conditions(task, family)
        check_trials(conditions, contrast, minimum)
        model = _model(task, recipe, family)
        found = activation_estimates(task.timeseries.bold, model.design, model.contrast, drift=task.drift)
    except FeatureError as error:
        return all_missing((region_feature_name(family, region) for region in regions), str(error))
    index = {name: position for position, name in enumerate(task.timeseries.region_names)}
    estimates = Estimates({}, {}, {})
    for region in regions:
        name, reason = region_feature_name(family, region), region_reason((region,), task.missing_regions)
        if reason is not None:
            estimates.missing[name] = reason
            continue
        estimates.values[name] = float(found.effect[index[region]])
        estimates.standard_errors[name] = float(found.standard_error[index[region]])
    return estimates


def _model(task: TaskRun, recipe: Recipe, family: str) -> TaskModel:
    conditions, contrast, notes = _conditions(task, family)
    occurring = tuple(condition for condition in conditions if condition.onsets_s.size)
    design = activation_design(occurring, task.grid, confounds=task.confounds, response=_response(recipe))
    return TaskModel(design, tuple(condition.name for condition in occurring), contrast, notes)


def _conditions(task: TaskRun, family: str) -> tuple[tuple[Condition, ...], dict[str, float], tuple[str, ...]]:
    """Conditions that a family models, its contrast, and what was decided."""
    if family == "activation_faces":
        return task.conditions, FACES_CONTRAST, ()
    if family == "activation_conflict":
        return _with_notes(congruency_conditions(task.events), CONFLICT_CONTRAST)
    return _with_notes(conflict_conditions(task.events), REGULATION_CONTRAST)


def _with_notes(
    sorted_trials: ConflictConditions, contrast: dict[str, float]
) -> tuple[tuple[Condition, ...], dict[str, float], tuple[str, ...]]:
    n_left_out = sorted_trials.n_left_out
    notes = [f"{n_left_out} trials are modelled but stand in no contrast"] if n_left_out else []
    if sorted_trials.note is not None:
        notes.append(sorted_trials.note)
    return sorted_trials.conditions, contrast, tuple(notes)


def _faces_seeds(task: TaskRun, recipe: Recipe) -> SeedSignals:
    return seed_signals(
        task.timeseries.bold,
        task.conditions,
        task.grid,
        drift=task.drift,
        confounds=task.confounds.columns,
        deconvolve_seed=recipe.deconvolve_seed,
        center_psychological=recipe.center_psychological,
        response=_response(recipe),
    )


def _response(recipe: Recipe) -> ResponseModel:
    return ResponseModel(recipe.hrf, recipe.hrf_derivatives)


def _gppi_names(first: str, second: str) -> tuple[str, str, str]:
    return (
        edge_feature_name("gppi_faces", first, second),
        edge_feature_name("gppi_faces", second, first),
        edge_feature_name("gppi_faces_mean", first, second),
    )
