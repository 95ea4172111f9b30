"""What a task predicts in a scan: stimuli on a fine time grid, convolved, sampled at the volumes.

The conventions are those of SPM12, because the reference numbers come from it: microtime bins per volume, a stimulus
that lasts one bin longer than its duration, sampling in the middle of the volume, cosine drift.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from predictor.errors import FeatureError
from predictor.features.hrf import HrfShape, ResponseModel, canonical_hrf

# Microtime bins kept before the first volume, so that an event just before it still shows in the design.
PRELUDE_BINS = 32
DERIVATIVE_SUFFIXES = ("_time_derivative", "_dispersion_derivative")


@dataclass(frozen=True, slots=True)
class MicrotimeGrid:
    """Time of a run in bins finer than its volumes.

    `onset_bin` counts from 1: volume k is taken to be acquired at microtime bin k * bins_per_volume + onset_bin - 1.
    """

    n_volumes: int
    repetition_time_s: float
    bins_per_volume: int = 16
    onset_bin: int = 8

    def __post_init__(self) -> None:
        if self.n_volumes < 1 or not self.repetition_time_s > 0:
            raise FeatureError(
                f"expected volumes and a positive repetition time, "
                f"got {self.n_volumes} volumes and {self.repetition_time_s} s."
            )
        if not 1 <= self.onset_bin <= self.bins_per_volume:
            raise FeatureError(f"expected an onset bin of 1 to {self.bins_per_volume}, got {self.onset_bin}.")

    @property
    def step_s(self) -> float:
        """Length of a bin in seconds."""
        return self.repetition_time_s / self.bins_per_volume

    @property
    def n_bins(self) -> int:
        """Bins from the first volume to the end of the last."""
        return self.n_volumes * self.bins_per_volume

    @property
    def first_bins(self) -> NDArray[np.int64]:
        """First bin of each volume, shape (n_volumes,)."""
        return np.arange(self.n_volumes, dtype=np.int64) * self.bins_per_volume

    @property
    def sampled_bins(self) -> NDArray[np.int64]:
        """Bin at which each volume is sampled, shape (n_volumes,)."""
        return self.first_bins + self.onset_bin - 1


@dataclass(frozen=True, slots=True, eq=False)
class Condition:
    """The events of one condition in one run."""

    name: str
    onsets_s: NDArray[np.float64]  # (n_events,), from the start of the first volume
    durations_s: NDArray[np.float64]  # (n_events,), 0 for an event without length

    def __post_init__(self) -> None:
        if self.onsets_s.shape != self.durations_s.shape or self.onsets_s.ndim != 1:
            raise FeatureError(f"condition {self.name} needs one duration per onset.")
        if not (np.isfinite(self.onsets_s).all() and (self.durations_s >= 0).all()):
            raise FeatureError(f"condition {self.name} has onsets or durations that are not finite times.")


@dataclass(frozen=True, slots=True, eq=False)
class DesignMatrix:
    """Regressors with their names."""

    columns: NDArray[np.float64]  # (n_volumes, n_columns)
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.columns.ndim != 2 or self.columns.shape[1] != len(self.names):
            raise FeatureError(f"expected {len(self.names)} design columns, got shape {self.columns.shape}.")
        if not np.isfinite(self.columns).all():
            raise FeatureError("the design holds values that are not finite numbers.")

    def weights(self, contrast: dict[str, float]) -> NDArray[np.float64]:
        """Contrast vector of shape (n_columns,) from weights by column name.

        Raises
        ------
        FeatureError
            If the design has no such column.
        """
        unknown = set(contrast) - set(self.names)
        if unknown:
            raise FeatureError(f"the design has no column {', '.join(sorted(unknown))}.")
        return np.array([contrast.get(name, 0.0) for name in self.names])


def check_trials(conditions: tuple[Condition, ...], names: Iterable[str], minimum: int) -> None:
    """Refuse named conditions that have too few events; other conditions may have any number.

    Raises
    ------
    FeatureError
        If one has fewer than `minimum`, or does not occur at all.
    """
    counts = {condition.name: condition.onsets_s.size for condition in conditions}
    for name in names:
        if counts.get(name, 0) < minimum:
            raise FeatureError(f"only {counts.get(name, 0)} events of the condition {name}; {minimum} are needed.")


def stimulus(condition: Condition, grid: MicrotimeGrid) -> NDArray[np.float64]:
    """Stimulus on the microtime grid, with the prelude in front.

    Amplitude 1 while an event lasts; when all events of the condition are without length, 1 / step_s for one bin, so
    that each event has an area of one second. Overlapping events add up.

    Parameters
    ----------
    condition
        Onsets and durations in seconds.
    grid
        The run's time grid.

    Returns
    -------
    ndarray of shape (32 + n_bins,)
        The first 32 bins lie before the first volume.
    """
    step_s = grid.step_s
    n_bins = grid.n_bins + PRELUDE_BINS
    amplitude = 1.0 if condition.durations_s.any() else 1.0 / step_s
    starts = _nearest_bin(condition.onsets_s / step_s) + PRELUDE_BINS
    ends = starts + _nearest_bin(condition.durations_s / step_s) + 1
    steps = np.zeros(n_bins + 1)
    np.add.at(steps, np.clip(starts, 0, n_bins), amplitude)
    np.add.at(steps, np.clip(ends, 0, n_bins), -amplitude)
    # Heights are sums of equal steps; rounding takes away what cumsum leaves behind when 1 / step_s is not dyadic.
    return np.asarray(np.round(np.cumsum(steps[:n_bins]) / amplitude) * amplitude)


def convolve_hrf(
    microtime: NDArray[np.float64], grid: MicrotimeGrid, *, shape: HrfShape = "spm"
) -> NDArray[np.float64]:
    """Convolve a microtime signal of shape (n, ...) with the response; same shape comes back."""
    kernel = canonical_hrf(grid.step_s, shape=shape).reshape((-1,) + (1,) * (microtime.ndim - 1))
    return _convolve(microtime, kernel)


def condition_regressors(
    conditions: tuple[Condition, ...], grid: MicrotimeGrid, *, response: ResponseModel | None = None
) -> DesignMatrix:
    """One convolved regressor per condition, sampled at the volumes; then their derivatives, if any are wanted.

    A long block reaches a height of about 1, so a beta is in the unit of the signal.

    Returns
    -------
    DesignMatrix
        The conditions under their names in the given order, then `<condition>_time_derivative` of every condition,
        then `<condition>_dispersion_derivative`.
    """
    stimuli = np.column_stack([stimulus(condition, grid) for condition in conditions])
    rows = grid.sampled_bins + PRELUDE_BINS
    kernels = (response or ResponseModel()).kernels(grid.step_s)
    columns = [_convolve(stimuli, kernel[:, None])[rows] for kernel in kernels.T]
    suffixes = ("", *DERIVATIVE_SUFFIXES)[: kernels.shape[1]]
    names = tuple(condition.name + suffix for suffix in suffixes for condition in conditions)
    return DesignMatrix(np.column_stack(columns), names)


def cosine_drift(n_volumes: int, repetition_time_s: float, period_s: float) -> NDArray[np.float64]:
    """Discrete cosines slower than a period: what scanner drift is made of.

    Parameters
    ----------
    n_volumes, repetition_time_s
        Length and step of the run.
    period_s
        Shortest period that counts as drift, in seconds.

    Returns
    -------
    ndarray of shape (n_volumes, n_cosines)
        Orthonormal, without the constant; no columns when the run is too short.
    """
    n_basis = int(2 * n_volumes * repetition_time_s / period_s + 1)
    order = np.arange(1, min(n_basis, n_volumes))
    phase = np.pi * (2 * np.arange(n_volumes)[:, None] + 1) * order / (2 * n_volumes)
    return np.asarray(np.sqrt(2 / n_volumes) * np.cos(phase))


def remove_drift(signals: NDArray[np.float64], drift: NDArray[np.float64]) -> NDArray[np.float64]:
    """Project orthonormal drift columns out of signals of shape (n_volumes, ...); the mean stays."""
    return np.asarray(signals - drift @ (drift.T @ signals))


def _convolve(microtime: NDArray[np.float64], kernel: NDArray[np.float64]) -> NDArray[np.float64]:
    from scipy import signal  # half a second that only tasks need

    return np.asarray(signal.fftconvolve(microtime, kernel, axes=0)[: microtime.shape[0]])


def _nearest_bin(position: NDArray[np.float64]) -> NDArray[np.int64]:
    """Round half away from zero, as MATLAB does and numpy does not."""
    return (np.sign(position) * np.floor(np.abs(position) + 0.5)).astype(np.int64)
