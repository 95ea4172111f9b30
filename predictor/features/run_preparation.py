"""One run and a recipe in, the arrays that features are computed from out; or the reason why there are none."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from predictor.errors import FeatureError
from predictor.features.recipe import Recipe
from predictor.features.region_glm import RANK_TOLERANCE
from predictor.features.task_design import Condition, DesignMatrix, MicrotimeGrid, cosine_drift
from predictor.scan.cleaning import (
    MINIMUM_DEGREES_OF_FREEDOM,
    RegionTimeseries,
    clean,
    freedom_left,
    percent_signal_change,
)
from predictor.scan.confounds import Confounds, select_confounds
from predictor.scan.events import EventsTable
from predictor.scan.region_signals import RegionRecording
from predictor.scan.session import BaselineSession, Run
from predictor.scan.task_description import CONDITIONS, RunKind

SPIKE_PREFIX = "spike_"


@dataclass(frozen=True, slots=True, eq=False)
class RestRun:
    """Cleaned signals of the usable regions."""

    timeseries: RegionTimeseries  # cleaned and filtered, censored volumes dropped
    unbroken: RegionTimeseries  # every volume; regressors, spikes and slow drift removed, nothing else filtered
    missing_regions: dict[str, str]  # region -> reason
    freedom_left: float  # share of the degrees of freedom that regressing out the confounds has left


@dataclass(frozen=True, slots=True, eq=False)
class TaskRun:
    """Uncleaned signals of the usable regions, and what else stands in a task model."""

    kind: RunKind
    timeseries: RegionTimeseries  # every volume
    unbroken: RegionTimeseries  # every volume: regressors, spikes and slow drift removed
    missing_regions: dict[str, str]  # region -> reason
    conditions: tuple[Condition, ...]  # of the task description, in its order
    events: EventsTable
    grid: MicrotimeGrid
    drift: NDArray[np.float64]  # (n_volumes, n_cosines), orthonormal
    confounds: DesignMatrix  # nuisance regressors with standard deviation 1, then spikes


def run_confounds(run: Run, recipe: Recipe) -> Confounds:
    """Return the nuisance regressors and censored volumes of a run, as the recipe says."""
    return select_confounds(
        run.confounds,
        recipe.confound_strategy,
        censor_framewise_displacement_mm=recipe.censor_framewise_displacement_mm,
        n_volumes=run.n_volumes,
    )


def session_confounds(session: BaselineSession, recipe: Recipe) -> dict[str, Confounds]:
    """Return `run_confounds` of every run by run name; it takes longer than most features, so do it once per visit."""
    return {run.name: run_confounds(run, recipe) for run in session.runs}


def prepare_rest_run(run: Run, confounds: Confounds, recipe: Recipe) -> RestRun:
    """Clean a resting run as the recipe says.

    Raises
    ------
    FeatureError
        If too few volumes are left, or the filter needs a repetition time that is unknown.
    """
    _check_volumes_left(run, confounds, recipe)
    has_filter = recipe.high_pass_hz is not None or recipe.low_pass_hz is not None
    if has_filter and run.repetition_time_s is None:
        raise FeatureError("the repetition time is unknown, and the filter needs it.")
    signals, missing_regions = usable_signals(run, confounds, recipe)
    if not has_filter and confounds.regressors.shape[1] == 0:
        # Nothing is to be removed, so nothing is: `clean` would still take away a linear trend.
        kept = signals.bold[~confounds.is_censored]
        cleaned = RegionTimeseries(kept, signals.region_names, signals.repetition_time_s)
    else:
        cleaned = clean(signals, confounds, high_pass_hz=recipe.high_pass_hz, low_pass_hz=recipe.low_pass_hz)
    period_s = None if recipe.high_pass_hz is None else 1 / recipe.high_pass_hz
    return RestRun(
        timeseries=cleaned,
        unbroken=unbroken_signals(signals, nuisance_design(confounds), _drift(signals, period_s)),
        missing_regions=missing_regions,
        freedom_left=freedom_left(
            run.repetition_time_s, confounds, high_pass_hz=recipe.high_pass_hz, low_pass_hz=recipe.low_pass_hz
        ),
    )


def prepare_task_run(run: Run, confounds: Confounds, recipe: Recipe) -> TaskRun:
    """Lay out a task run on its microtime grid.

    Censored volumes stay and get one regressor each: dropping them would break the grid that deconvolution needs.
    Events that stand for no condition of the task description are not modelled.

    Raises
    ------
    FeatureError
        If too few volumes are left, or repetition time, events or a condition are absent.
    """
    if run.repetition_time_s is None:
        raise FeatureError("the repetition time is unknown, and a task model needs it.")
    _check_volumes_left(run, confounds, recipe)
    signals, missing_regions = usable_signals(run, confounds, recipe)
    events, conditions = task_conditions(run)
    drift, nuisance = _drift(signals, recipe.drift_period_s), nuisance_design(confounds)
    return TaskRun(
        kind=run.kind,
        timeseries=signals,
        unbroken=unbroken_signals(signals, nuisance, drift),
        missing_regions=missing_regions,
        conditions=conditions,
        events=events,
        grid=MicrotimeGrid(run.n_volumes, run.repetition_time_s, recipe.microtime_bins, recipe.microtime_onset),
        drift=drift,
        confounds=nuisance,
    )


def usable_signals(run: Run, confounds: Confounds, recipe: Recipe) -> tuple[RegionTimeseries, dict[str, str]]:
    """Signals of the circuit's regions that can be used, and why the others cannot.

    Returns
    -------
    RegionTimeseries
        Circuit order, scaled as the recipe says.
    dict
        Reason by name of each region left out.
    """
    recording = run.recording
    scaled = recording.bold if recipe.bold_scale == "none" else percent_signal_change(recording).bold
    reasons = _missing_regions(recording, scaled, ~confounds.is_censored, recipe)
    names = tuple(name for name in recipe.circuit.region_names if name not in reasons)
    columns = [recording.region_names.index(name) for name in names]
    return RegionTimeseries(scaled[:, columns], names, run.repetition_time_s), reasons


def unbroken_signals(signals: RegionTimeseries, nuisance: DesignMatrix, drift: NDArray[np.float64]) -> RegionTimeseries:
    """Signals without mean, drift and nuisance, for models that need every volume.

    Parameters
    ----------
    signals
        Shape (n_volumes, n_regions), without gaps.
    nuisance
        Confounds and one spike per censored volume; those volumes become zero.
    drift
        Orthonormal cosines, shape (n_volumes, n_cosines).

    Returns
    -------
    RegionTimeseries
        Same shape and unit, mean zero.

    Raises
    ------
    FeatureError
        If too few degrees of freedom are left.
    """
    n_volumes = len(signals.bold)
    removed = np.column_stack([np.ones(n_volumes), drift, nuisance.columns])
    left, singular, _ = np.linalg.svd(removed / np.linalg.norm(removed, axis=0), full_matrices=False)
    basis = left[:, singular > RANK_TOLERANCE * singular[0]]
    n_left = n_volumes - basis.shape[1]
    if n_left < MINIMUM_DEGREES_OF_FREEDOM:
        raise FeatureError(
            f"{n_volumes} volumes and {basis.shape[1]} regressors leave {n_left} degrees of freedom; "
            f"at least {MINIMUM_DEGREES_OF_FREEDOM} are needed.",
            remedy="Use a longer run, a simpler confound strategy, or a higher censoring threshold.",
        )
    cleaned = signals.bold - basis @ (basis.T @ signals.bold)
    return RegionTimeseries(cleaned, signals.region_names, signals.repetition_time_s)


def task_conditions(run: Run) -> tuple[EventsTable, tuple[Condition, ...]]:
    """Events of a run, and those of every condition that its kind has.

    Raises
    ------
    FeatureError
        If there are no events, or a condition has none: a contrast with rest is never put in its place.
    """
    if run.events is None:
        raise FeatureError(f"the {run.kind} run has no events table.")
    absent = [name for name in CONDITIONS[run.kind] if name not in run.events.conditions]
    if absent:
        raise FeatureError(f"the {run.kind} run has no events of the condition {' and '.join(absent)}.")
    return run.events, tuple(Condition(name, *run.events.of(name)) for name in CONDITIONS[run.kind])


def nuisance_design(confounds: Confounds) -> DesignMatrix:
    """Nuisance regressors scaled to standard deviation 1, then one spike per censored volume."""
    centred = confounds.regressors - confounds.regressors.mean(axis=0)
    spread = centred.std(axis=0)
    varies = spread > 0
    spikes = np.eye(len(confounds.is_censored))[:, confounds.is_censored]
    names = [name for name, is_kept in zip(confounds.names, varies, strict=True) if is_kept]
    names += [f"{SPIKE_PREFIX}{volume}" for volume in np.flatnonzero(confounds.is_censored)]
    return DesignMatrix(np.column_stack([centred[:, varies] / spread[varies], spikes]), tuple(names))


def _drift(signals: RegionTimeseries, period_s: float | None) -> NDArray[np.float64]:
    """Return cosines slower than a period; none where there is no limit."""
    n_volumes = len(signals.bold)
    if period_s is None or signals.repetition_time_s is None:
        return np.empty((n_volumes, 0))
    return cosine_drift(n_volumes, signals.repetition_time_s, period_s)


def _check_volumes_left(run: Run, confounds: Confounds, recipe: Recipe) -> None:
    n_kept = int(np.count_nonzero(~confounds.is_censored))
    if n_kept < recipe.minimum_volumes:
        raise FeatureError(
            f"only {n_kept} volumes of the {run.kind} run are usable; {recipe.minimum_volumes} are needed."
        )


def _missing_regions(
    recording: RegionRecording, scaled: NDArray[np.float64], is_kept: NDArray[np.bool_], recipe: Recipe
) -> dict[str, str]:
    column_of = {name: column for column, name in enumerate(recording.region_names)}
    reasons = {}
    for name in recipe.circuit.region_names:
        if name not in column_of:
            reasons[name] = f"region not recorded: {name}"
            continue
        column = column_of[name]
        fault = _fault(recording.bold[:, column], scaled[:, column], is_kept)
        share = float(recording.coverage[column])
        if share < recipe.minimum_coverage:  # tables do not know their coverage: NaN
            fault = f"not covered ({100 * share:.0f}%)"
        if fault is not None:
            reasons[name] = f"region {fault}: {name}"
    return reasons


def _fault(signal: NDArray[np.float64], scaled: NDArray[np.float64], is_kept: NDArray[np.bool_]) -> str | None:
    """Why a signal of shape (n_volumes,) cannot be used; None if it can."""
    if not np.isfinite(signal).all():
        return "without signal in some volumes"
    if np.ptp(signal[is_kept]) == 0:
        return "without any change of signal"
    if not np.isfinite(scaled).all():
        return "without a positive mean, so that percent signal change has no meaning"
    return None
