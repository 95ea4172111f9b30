"""Connectivity while it changes: Fisher z in named windows of a run, such as the minutes of an infusion.

Cleaning is done once, over the whole run; a window only chooses volumes. So a window is compared with another window of
the same cleaned run, never with a run that was filtered by itself.

References
----------
Danböck et al. (2024), Psychopharmacology 241:243-252, doi 10.1007/s00213-023-06479-4: windows of an infusion.
Leonardi & Van De Ville (2015), NeuroImage 104:430-436, doi 10.1016/j.neuroimage.2014.09.007: a window should be at
least as long as the slowest period that the high-pass filter leaves in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import ceil, isfinite

import numpy as np
from numpy.typing import NDArray

from predictor.errors import FeatureError
from predictor.features.rest_connectivity import MAX_ABS_CORRELATION
from predictor.scan.cleaning import RegionTimeseries

# Fewer volumes than this leave even independent samples a standard error of .19 [assumed].
MINIMUM_VOLUMES = 30
# A window of which less than this is left says something about another time than its name [assumed].
MINIMUM_SHARE = 0.5
# Volumes are placed on the clock by multiplication; an edge of a window that hits a volume must not miss by rounding.
_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True)
class TimeWindow:
    """A stretch of a run: from `start_s` up to, but not including, `end_s`; 0 is the start of the first volume."""

    name: str
    start_s: float
    end_s: float

    def __post_init__(self) -> None:
        if not self.name:
            raise FeatureError("every window needs a name.")
        if not (isfinite(self.end_s) and 0 <= self.start_s < self.end_s):
            raise FeatureError(
                f"window {self.name} goes from {self.start_s:g} s to {self.end_s:g} s; "
                "expected a start of at least 0 and a later end."
            )

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.end_s - self.start_s


@dataclass(frozen=True, slots=True, eq=False)
class WindowedConnectivity:
    """Fisher z of every pair in every window; NaN where there is none, and then `missing` says why."""

    windows: tuple[TimeWindow, ...]
    edges: tuple[tuple[str, str], ...]
    fisher_z: NDArray[np.float64]  # (n_windows, n_edges), unitless
    n_volumes: NDArray[np.int64]  # (n_windows,), kept volumes
    missing: Mapping[tuple[int, int], str]  # (window, edge) -> reason, exactly where fisher_z is NaN


def sliding_windows(duration_s: float, length_s: float, step_s: float) -> tuple[TimeWindow, ...]:
    """Windows of one length that move over a run; only those that lie in it whole.

    Parameters
    ----------
    duration_s
        Length of the run.
    length_s, step_s
        Length of a window, and time from one start to the next.

    Returns
    -------
    tuple of TimeWindow
        In order of time, named by their seconds.

    Raises
    ------
    FeatureError
        If a number is not above zero, or the run is shorter than one window.

    Examples
    --------
    >>> [window.name for window in sliding_windows(100, 60, 20)]
    ['0-60 s', '20-80 s', '40-100 s']
    """
    if not all(isfinite(value) and value > 0 for value in (duration_s, length_s, step_s)):
        raise FeatureError(
            f"sliding windows of {length_s:g} s every {step_s:g} s in {duration_s:g} s are not possible."
        )
    n_windows = int((duration_s - length_s) / step_s + _ROUNDING) + 1 if duration_s > length_s - _ROUNDING else 0
    if n_windows == 0:
        raise FeatureError(f"a run of {duration_s:g} s is shorter than one window of {length_s:g} s.")
    starts = [step_s * number for number in range(n_windows)]
    return tuple(TimeWindow(f"{start:g}-{start + length_s:g} s", start, start + length_s) for start in starts)


def windowed_fisher_z(
    timeseries: RegionTimeseries,
    is_censored: NDArray[np.bool_],
    windows: Sequence[TimeWindow],
    *,
    edges: Sequence[tuple[str, str]] | None = None,
    minimum_volumes: int = MINIMUM_VOLUMES,
    minimum_share: float = MINIMUM_SHARE,
) -> WindowedConnectivity:
    """Fisher z-transformed correlation of pairs of regions, window by window.

    Parameters
    ----------
    timeseries
        Cleaned signals of the whole run: the kept volumes, as `predictor.scan.cleaning.clean` returns them, or every
        volume, of which the censored ones are not looked at.
    is_censored
        Shape (n_volumes,), one entry per volume of the scan; this is what puts the signals on the clock.
    windows
        May overlap.
    edges
        Pairs of region names; None: all pairs, in the order of the upper triangle.
    minimum_volumes
        Kept volumes that a window needs.
    minimum_share
        Share of a window's nominal volumes that must have been measured and kept.

    Returns
    -------
    WindowedConnectivity
        arctanh(r); NaN with a reason where a window is too poor, or a region is absent or without change.

    Raises
    ------
    FeatureError
        If the repetition time is unknown, or neither every volume nor every kept volume has its signals.
    """
    if timeseries.repetition_time_s is None:
        raise FeatureError("the repetition time is unknown, and windows in time need it.")
    rows_of_volumes = _rows_of_volumes(len(timeseries.bold), is_censored)
    pairs = tuple(combinations(timeseries.region_names, 2)) if edges is None else tuple(edges)
    fisher_z = np.full((len(windows), len(pairs)), np.nan)
    n_volumes = np.zeros(len(windows), dtype=np.int64)
    missing: dict[tuple[int, int], str] = {}
    for number, window in enumerate(windows):
        first, stop = _volumes(window, timeseries.repetition_time_s)
        rows = rows_of_volumes[first:stop]
        rows = rows[rows >= 0]
        n_volumes[number] = len(rows)
        reason = _too_poor(window, len(rows), stop - first, minimum_volumes, minimum_share)
        values, reasons = (None, [reason] * len(pairs)) if reason else _edges(timeseries, rows, pairs)
        if values is not None:
            fisher_z[number] = values
        missing.update({(number, edge): text for edge, text in enumerate(reasons) if text is not None})
    return WindowedConnectivity(tuple(windows), pairs, fisher_z, n_volumes, missing)


def _rows_of_volumes(n_rows: int, is_censored: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Row of the signals that holds each volume, shape (n_volumes,); -1 for censored volumes."""
    is_kept = ~np.asarray(is_censored, dtype=np.bool_)
    n_kept = int(np.count_nonzero(is_kept))
    if n_rows == len(is_kept):
        return np.where(is_kept, np.arange(n_rows), -1)
    if n_rows == n_kept:
        return np.where(is_kept, np.cumsum(is_kept) - 1, -1)
    raise FeatureError(
        f"expected signals of all {len(is_kept)} volumes or of the {n_kept} kept ones, got {n_rows}.",
        remedy="Give the censoring of the same run.",
    )


def _volumes(window: TimeWindow, repetition_time_s: float) -> tuple[int, int]:
    """First volume that starts in the window, and first one after it."""
    first, stop = (ceil(edge_s / repetition_time_s - _ROUNDING) for edge_s in (window.start_s, window.end_s))
    return first, stop


def _too_poor(
    window: TimeWindow, n_kept: int, n_nominal: int, minimum_volumes: int, minimum_share: float
) -> str | None:
    n_needed = max(minimum_volumes, ceil(minimum_share * n_nominal))
    if n_kept >= n_needed:
        return None
    return f"only {n_kept} of {n_nominal} volumes of the window {window.name} are usable; {n_needed} are needed"


def _edges(
    timeseries: RegionTimeseries, rows: NDArray[np.int64], pairs: Sequence[tuple[str, str]]
) -> tuple[NDArray[np.float64], list[str | None]]:
    column_of = {name: column for column, name in enumerate(timeseries.region_names)}
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = np.atleast_2d(np.corrcoef(timeseries.bold[rows], rowvar=False))
    values, reasons = np.full(len(pairs), np.nan), list[str | None]()
    for edge, pair in enumerate(pairs):
        absent = [name for name in pair if name not in column_of]
        r = np.nan if absent else float(correlation[column_of[pair[0]], column_of[pair[1]]])
        reasons.append(f"region not recorded: {absent[0]}" if absent else _fault(r, pair))
        if reasons[-1] is None:
            values[edge] = np.arctanh(r)
    return values, reasons


def _fault(correlation: float, pair: tuple[str, str]) -> str | None:
    if abs(correlation) < MAX_ABS_CORRELATION:
        return None
    if np.isfinite(correlation):
        return f"{pair[0]} and {pair[1]} carry the same signal"
    return f"{pair[0]} or {pair[1]} has no change of signal"
