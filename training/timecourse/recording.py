"""One person's resting runs in, Fisher z per window and pair out; or the reason why a cell is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray

from predictor import console
from predictor.errors import ConfigError, FeatureError, PredictorError
from predictor.features.dynamic_connectivity import (
    MINIMUM_VOLUMES,
    TimeWindow,
    WindowedConnectivity,
    sliding_windows,
    windowed_fisher_z,
)
from predictor.features.recipe import Recipe
from predictor.features.run_preparation import RestRun, prepare_rest_run, run_confounds
from predictor.scan.session import BaselineSession, Run
from training.cohort.visit import CohortVisit
from training.extraction.feature_table import FailedVisit
from training.timecourse.window_plan import SECONDS_PER_MINUTE, SlidingPlan, WindowPlan
from training.workers import worthwhile_jobs

SIDECAR_REMEDY = "Write a side-car (same name, .json) with RepetitionTime in seconds, or use scans."


@dataclass(frozen=True, slots=True, eq=False)
class PersonWindows:
    """Connectivity of one person, window by window."""

    participant_id: str
    fisher_z: NDArray[np.float64]  # (n_windows, n_edges); NaN where missing
    n_volumes: NDArray[np.int64]  # (n_windows,), kept volumes
    missing: Mapping[tuple[int, int], str]  # (window, edge) -> reason, exactly where fisher_z is NaN
    input_digest: str
    sliding: WindowedConnectivity | None = None  # over the infusion's run, where the plan asks for it


def measure_people(
    visits: Sequence[CohortVisit], recipe: Recipe, plan: WindowPlan, *, n_jobs: int = -1
) -> tuple[tuple[PersonWindows, ...], tuple[FailedVisit, ...]]:
    """Measure everyone; a visit that cannot be read is named and stops nobody else.

    Raises
    ------
    ConfigError
        If the plan names regions that the recipe does not have.
    """
    unknown = [name for name in plan.region_names if name not in recipe.circuit.region_names]
    if unknown:
        known = ", ".join(recipe.circuit.region_names[:20])
        raise ConfigError(f"the signals have no region {', '.join(unknown)}; they have {known}.", where="[edges]")
    tasks = (delayed(measure_visit)(visit, recipe, plan) for visit in visits)
    parallel = Parallel(n_jobs=worthwhile_jobs(len(visits), n_jobs), return_as="generator")
    results = list(console.progress(parallel(tasks), total=len(visits), label="Measure windows"))
    measured = tuple(result for result in results if isinstance(result, PersonWindows))
    return measured, tuple(result for result in results if isinstance(result, FailedVisit))


def measure_visit(visit: CohortVisit, recipe: Recipe, plan: WindowPlan) -> PersonWindows | FailedVisit:
    """Read and measure one visit; runs in a process of its own."""
    try:
        return measure_session(visit.read(recipe), recipe, plan, participant_id=visit.participant_id)
    except PredictorError as error:
        return FailedVisit(visit.participant_id, error.code, str(error), error.where, error.remedy)


def measure_session(
    session: BaselineSession, recipe: Recipe, plan: WindowPlan, *, participant_id: str
) -> PersonWindows:
    """Return Fisher z in every window of the plan.

    A run is cleaned once, as the recipe says, and then cut into windows.

    Raises
    ------
    FeatureError
        If a run's repetition time is unknown: no window can be found in it.
    """
    fisher_z = np.full((len(plan.windows), len(plan.edges)), np.nan)
    n_volumes = np.zeros(len(plan.windows), dtype=np.int64)
    missing: dict[tuple[int, int], str] = {}
    sliding = None
    runs = {run.number: run for run in session.of_kind("rest")}
    for number in sorted({window.run for window in plan.windows}):
        rows = [row for row, window in enumerate(plan.windows) if window.run == number]
        if number not in runs:
            missing |= _everywhere(rows, plan, f"the visit has no resting run {number}")
            continue
        try:
            measured = _MeasuredRun.of(runs[number], recipe)
        except _NothingLeftError as error:
            missing |= _everywhere(rows, plan, str(error))
            continue
        found = measured.windows([plan.time_window(plan.windows[row]) for row in rows], plan)
        fisher_z[rows], n_volumes[rows] = found.fisher_z, found.n_volumes
        missing |= {(rows[window], edge): reason for (window, edge), reason in found.missing.items()}
        if plan.sliding is not None and number == plan.infusion_run:
            sliding = measured.windows(measured.moving(plan.sliding), plan)
    return PersonWindows(participant_id, fisher_z, n_volumes, missing, session.input_digest, sliding)


class _NothingLeftError(Exception):
    """The run cannot be cleaned; the message is the reason of all its cells."""


@dataclass(frozen=True, slots=True, eq=False)
class _MeasuredRun:
    """A run cleaned whole, ready to be cut into windows."""

    prepared: RestRun
    is_censored: NDArray[np.bool_]
    repetition_time_s: float

    @classmethod
    def of(cls, run: Run, recipe: Recipe) -> _MeasuredRun:
        """Clean a run; raises _NothingLeftError if too little of it is left."""
        if run.repetition_time_s is None:
            raise FeatureError(
                "the repetition time is unknown, and windows in minutes need it.",
                where=run.name,
                remedy=SIDECAR_REMEDY,
            )
        confounds = run_confounds(run, recipe)
        try:
            prepared = prepare_rest_run(run, confounds, recipe)
        except FeatureError as error:
            raise _NothingLeftError(str(error)) from error
        return cls(prepared, confounds.is_censored, run.repetition_time_s)

    def windows(self, windows: Sequence[TimeWindow], plan: WindowPlan) -> WindowedConnectivity:
        """Fisher z of the plan's pairs; a lost region is the reason in every window."""
        fewest = ceil(plan.minimum_minutes * SECONDS_PER_MINUTE / self.repetition_time_s - 1e-6)
        found = windowed_fisher_z(
            self.prepared.timeseries,
            self.is_censored,
            windows,
            edges=plan.edges,
            minimum_volumes=max(MINIMUM_VOLUMES, fewest),
        )
        reasons = {
            (window, edge): _region_reason(plan.edges[edge], self.prepared) or reason
            for (window, edge), reason in found.missing.items()
        }
        return replace(found, missing=reasons)

    def moving(self, plan: SlidingPlan) -> tuple[TimeWindow, ...]:
        """Windows that move over the run; none if it is shorter than one."""
        duration_s = len(self.is_censored) * self.repetition_time_s
        length_s, step_s = plan.length_min * SECONDS_PER_MINUTE, plan.step_min * SECONDS_PER_MINUTE
        return sliding_windows(duration_s, length_s, step_s) if duration_s >= length_s else ()


def _region_reason(edge: tuple[str, str], prepared: RestRun) -> str | None:
    """Why a region of the pair was left out; it holds in every window."""
    return next((prepared.missing_regions[name] for name in edge if name in prepared.missing_regions), None)


def _everywhere(rows: Sequence[int], plan: WindowPlan, reason: str) -> dict[tuple[int, int], str]:
    return {(row, edge): reason for row in rows for edge in range(len(plan.edges))}
