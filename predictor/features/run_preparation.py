"""One run and a recipe in, the arrays that features are computed from out; or the reason why there are none."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from predictor.errors import FeatureError
from predictor.features.recipe import Recipe
from predictor.features.task_design import Condition, DesignMatrix, MicrotimeGrid, cosine_drift
from predictor.scan.cleaning import RegionTimeseries, clean, percent_signal_change
from predictor.scan.confounds import Confounds, select_confounds
from predictor.scan.region_signals import RegionRecording
from predictor.scan.session import Run
from predictor.scan.task_description import CONDITIONS

SPIKE_PREFIX = "spike_"


@dataclass(frozen=True, slots=True, eq=False)
class RestRun:
    """Cleaned signals of the usable regions."""

    timeseries: RegionTimeseries  # censored volumes dropped
    missing_regions: dict[str, str]  # region -> reason


@dataclass(frozen=True, slots=True, eq=False)
class TaskRun:
    """Uncleaned signals of the usable regions, and what else stands in a task model."""

    timeseries: RegionTimeseries  # every volume
    missing_regions: dict[str, str]  # region -> reason
    conditions: tuple[Condition, ...]
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
        return RestRun(RegionTimeseries(kept, signals.region_names, signals.repetition_time_s), missing_regions)
    cleaned = clean(signals, confounds, high_pass_hz=recipe.high_pass_hz, low_pass_hz=recipe.low_pass_hz)
    return RestRun(cleaned, missing_regions)


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
    n_volumes = signals.bold.shape[0]
    grid = MicrotimeGrid(n_volumes, run.repetition_time_s, recipe.microtime_bins, recipe.microtime_onset)
    return TaskRun(
        timeseries=signals,
        missing_regions=missing_regions,
        conditions=task_conditions(run),
        grid=grid,
        drift=cosine_drift(n_volumes, run.repetition_time_s, recipe.drift_period_s),
        confounds=nuisance_design(confounds),
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


def task_conditions(run: Run) -> tuple[Condition, ...]:
    """Events of every condition that the kind of run has.

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
    return tuple(Condition(name, *run.events.of(name)) for name in CONDITIONS[run.kind])


def nuisance_design(confounds: Confounds) -> DesignMatrix:
    """Nuisance regressors scaled to standard deviation 1, then one spike per censored volume."""
    centred = confounds.regressors - confounds.regressors.mean(axis=0)
    spread = centred.std(axis=0)
    varies = spread > 0
    spikes = np.eye(len(confounds.is_censored))[:, confounds.is_censored]
    names = [name for name, is_kept in zip(confounds.names, varies, strict=True) if is_kept]
    names += [f"{SPIKE_PREFIX}{volume}" for volume in np.flatnonzero(confounds.is_censored)]
    return DesignMatrix(np.column_stack([centred[:, varies] / spread[varies], spikes]), tuple(names))


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
