"""A run cut in two, so that one can see how far its halves agree."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from predictor.errors import FeatureError
from predictor.features.run_preparation import RestRun
from predictor.scan.cleaning import RegionTimeseries
from predictor.scan.confounds import Confounds
from predictor.scan.events import EventsTable
from predictor.scan.session import Run


def run_halves(run: Run, confounds: Confounds) -> tuple[tuple[Run, Confounds], tuple[Run, Confounds]]:
    """First and second half of a run with their confounds, cut at volume n_volumes // 2.

    The confounds table stays out: what it says about the halves stands in their confounds. Temporal signal-to-noise
    becomes unknown, because it was taken over the whole run.

    Parameters
    ----------
    run
        A whole run.
    confounds
        Regressors and censoring of that run.

    Returns
    -------
    tuple of two pairs
        Events belong to the half in which they begin; one that lasts beyond the cut is shortened.
    """
    middle, end = run.n_volumes // 2, run.n_volumes
    return _part(run, confounds, 0, middle), _part(run, confounds, middle, end)


def rest_halves(rest: RestRun, is_censored: NDArray[np.bool_], *, minimum_volumes: int) -> tuple[RestRun, RestRun]:
    """First and second half of a cleaned resting run, cut at volume n_volumes // 2.

    Resting runs are cleaned whole and cut afterwards: cleaned apart, each half would lose as many degrees of freedom to
    the confounds as the whole run does, and the halves would agree less than the run deserves.

    Parameters
    ----------
    rest
        A whole run, cleaned.
    is_censored
        Shape (n_volumes,); those volumes are not in `rest.timeseries`.
    minimum_volumes
        Volumes that each half must have kept.

    Raises
    ------
    FeatureError
        If a half has kept fewer.
    """
    middle = len(is_censored) // 2
    n_first = int(np.count_nonzero(~is_censored[:middle]))
    n_kept = len(rest.timeseries.bold)
    fewest = min(n_first, n_kept - n_first)
    if fewest < minimum_volumes:
        raise FeatureError(f"only {fewest} volumes of one half of the run are usable; {minimum_volumes} are needed.")
    first, second = (
        replace(rest, timeseries=_rows(rest.timeseries, kept), unbroken=_rows(rest.unbroken, volumes))
        for kept, volumes in (
            (slice(None, n_first), slice(None, middle)),
            (slice(n_first, None), slice(middle, None)),
        )
    )
    return first, second


def _rows(timeseries: RegionTimeseries, rows: slice) -> RegionTimeseries:
    """Return some volumes, mean zero again: resting measures suppose it."""
    bold = timeseries.bold[rows]
    return replace(timeseries, bold=bold - bold.mean(axis=0))


def _part(run: Run, confounds: Confounds, start: int, stop: int) -> tuple[Run, Confounds]:
    volumes = slice(start, stop)
    recording = replace(
        run.recording,
        bold=run.recording.bold[volumes],
        carpet=run.recording.carpet[volumes],
        temporal_snr=np.full_like(run.recording.temporal_snr, np.nan),
    )
    part = replace(run, recording=recording, confounds=None, events=_events_between(run, start, stop))
    return part, replace(
        confounds,
        regressors=confounds.regressors[volumes],
        framewise_displacement_mm=confounds.framewise_displacement_mm[volumes],
        is_censored=confounds.is_censored[volumes],
    )


def _events_between(run: Run, start: int, stop: int) -> EventsTable | None:
    """Return the events that begin between two volumes, timed from the first of them."""
    if run.events is None or run.repetition_time_s is None:
        return None
    start_s, stop_s = start * run.repetition_time_s, stop * run.repetition_time_s
    onset_s = run.events.onset_s
    # Nothing is cut off at the ends of the run: whoever read the events has judged those.
    is_inside = (onset_s >= start_s if start else np.ones(onset_s.shape, dtype=np.bool_)) & (
        onset_s < stop_s if stop < run.n_volumes else np.ones(onset_s.shape, dtype=np.bool_)
    )
    rows = np.flatnonzero(is_inside).tolist()
    room_s = stop_s - onset_s[is_inside] if stop < run.n_volumes else np.inf
    return EventsTable(
        onset_s=onset_s[is_inside] - start_s,
        duration_s=np.minimum(run.events.duration_s[is_inside], room_s),
        event_names=tuple(run.events.event_names[row] for row in rows),
        condition=tuple(run.events.condition[row] for row in rows),
        is_correct=tuple(run.events.is_correct[row] for row in rows),
    )
