"""Region signals and confounds in, clean region signals out.

Order, after Lindquist 2019 (doi 10.1002/hbm.24528) and as `nilearn.signal.clean` does it: fill censored volumes by
cubic splines, detrend, filter signals and regressors alike (Butterworth, 5th order, forwards and backwards), drop the
censored volumes, regress out the confounds. Nothing is z-scored: the unit stays percent signal change.

The steps are separate calls of `nilearn.signal.clean`, because nilearn 0.14 with a `sample_mask` does not fill a
censored volume whose mirror image in time is censored too (volume i and volume n - 1 - i), and the artefact stays in.
Where that does not happen, the result is nilearn's to rounding, but for the mean, which is zero here; tests hold us to
both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from predictor.errors import FeatureError
from predictor.record_card import PresentedRecord, RecordCard

if TYPE_CHECKING:
    from predictor.scan.confounds import Confounds
    from predictor.scan.region_signals import RegionRecording

# Fewer independent samples than this leave the standard error of a Fisher z above 0.38 [assumed].
MINIMUM_DEGREES_OF_FREEDOM: Final = 10

# Relative to the size of a regressor, less than this is rounding.
ROUNDING: Final = 1e-9


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class RegionTimeseries(PresentedRecord):
    """Region signals, one column per region; NaN throughout where a region was not measured."""

    bold: NDArray[np.float64]  # (n_volumes, n_regions), percent signal change unless the recipe says otherwise
    region_names: tuple[str, ...]
    repetition_time_s: float | None  # None: the source does not say

    def __post_init__(self) -> None:
        if self.bold.ndim != 2 or self.bold.shape[1] != len(self.region_names):
            expected = f"(n_volumes, {len(self.region_names)})"
            raise FeatureError(f"expected BOLD of shape {expected}, got {self.bold.shape}. Was it transposed?")

    def _one_line(self) -> str:
        time = "unknown" if self.repetition_time_s is None else f"{self.repetition_time_s:g} s"
        return f"{self.bold.shape[0]} volumes x {self.bold.shape[1]} regions, repetition time {time}"

    def _card(self) -> RecordCard:
        spread = self.bold.std(axis=0)  # NaN where a region was not measured
        return RecordCard(
            title=f"Region signals: {self._one_line()}",
            columns=("region", "standard deviation in time"),
            rows=tuple(
                (name, f"{sd:.3g}" if np.isfinite(sd) else "not measured")
                for name, sd in zip(self.region_names, spread, strict=True)
            ),
        )


def percent_signal_change(recording: RegionRecording) -> RegionTimeseries:
    """Return region signals as 100 * (y - mean) / mean.

    Returns
    -------
    RegionTimeseries
        Percent; NaN throughout for a region without signal, or with a mean that is not above zero, where a percentage
        has no meaning (images that were centred before).
    """
    bold = np.asarray(recording.bold, dtype=np.float64)
    is_usable = np.isfinite(bold).all(axis=0)
    percent = np.full(bold.shape, np.nan)
    mean = bold[:, is_usable].mean(axis=0)
    mean[~(mean > 0)] = np.nan
    percent[:, is_usable] = 100 * (bold[:, is_usable] - mean) / mean
    return RegionTimeseries(percent, recording.region_names, recording.repetition_time_s)


def clean(
    timeseries: RegionTimeseries,
    confounds: Confounds,
    *,
    high_pass_hz: float | None,
    low_pass_hz: float | None,
) -> RegionTimeseries:
    """Return signals without drift, confounds and censored volumes.

    Parameters
    ----------
    timeseries
        Signals, shape (n_volumes, n_regions).
    confounds
        Regressors and censoring of the same run.
    high_pass_hz, low_pass_hz
        Pass band; None leaves that side open. A low-pass at or above the Nyquist frequency has nothing to remove.

    Returns
    -------
    RegionTimeseries
        Shape (n_volumes_kept, n_regions), same unit, mean zero; regions that were NaN stay NaN.

    Raises
    ------
    FeatureError
        If signals and confounds differ in length, a filter is asked for without a repetition time, the pass band is
        empty, or too few volumes remain for the number of regressors.

    References
    ----------
    Lindquist 2019, doi 10.1002/hbm.24528.
    """
    n_volumes = len(timeseries.bold)
    if len(confounds.is_censored) != n_volumes:
        raise FeatureError(f"expected confounds for {n_volumes} volumes, got {len(confounds.is_censored)}.")
    high_pass_hz, low_pass_hz = _pass_band(timeseries.repetition_time_s, high_pass_hz, low_pass_hz)
    _check_degrees_of_freedom(timeseries.repetition_time_s, confounds, high_pass_hz, low_pass_hz)
    is_kept = ~confounds.is_censored
    is_measured = np.isfinite(timeseries.bold).all(axis=0)
    cleaned = np.full((int(is_kept.sum()), len(timeseries.region_names)), np.nan)
    if is_measured.any():
        filtered, regressors = (
            _filtered(columns, is_kept, timeseries.repetition_time_s, high_pass_hz, low_pass_hz)
            for columns in (timeseries.bold[:, is_measured], confounds.regressors)
        )
        basis = _basis(regressors, _size(confounds.regressors[is_kept]))
        cleaned[:, is_measured] = _without_regressors(filtered, basis)
    return RegionTimeseries(cleaned, timeseries.region_names, timeseries.repetition_time_s)


def freedom_left(
    repetition_time_s: float | None,
    confounds: Confounds,
    *,
    high_pass_hz: float | None,
    low_pass_hz: float | None,
) -> float:
    """Share of the degrees of freedom in the pass band that is left when the confounds are regressed out.

    Residuals hide what was taken from them: their standard errors are too small by the square root of this share.
    Arguments and errors are those of `clean`, which also refuses runs where too little is left.

    Returns
    -------
    float
        Up to 1; 0 or less where there are more regressors than degrees of freedom.
    """
    high_pass_hz, low_pass_hz = _pass_band(repetition_time_s, high_pass_hz, low_pass_hz)
    n_passed, n_regressors = _degrees_of_freedom(repetition_time_s, confounds, high_pass_hz, low_pass_hz)
    return (n_passed - n_regressors) / n_passed if n_passed > 0 else 0.0


def _filtered(
    columns: NDArray[np.float64],
    is_kept: NDArray[np.bool_],
    repetition_time_s: float | None,
    high_pass_hz: float | None,
    low_pass_hz: float | None,
) -> NDArray[np.float64]:
    """Return detrended, filtered columns at the kept volumes, shape (n_volumes_kept, n_columns)."""
    if columns.shape[1] == 0:
        return columns[is_kept]
    if high_pass_hz is None and low_pass_hz is None:
        detrended: NDArray[np.float64] = _clean(columns[is_kept], detrend=True, standardize=None, filter=False)
        return detrended
    # Censored ends are cut off, not extrapolated.
    first, last = np.flatnonzero(is_kept)[[0, -1]]
    inside = is_kept[first : last + 1]
    try:
        filtered: NDArray[np.float64] = _clean(
            _filled(columns[first : last + 1], inside),
            detrend=True,
            standardize=None,
            filter="butterworth",
            high_pass=high_pass_hz,
            low_pass=low_pass_hz,
            t_r=repetition_time_s,
            butterworth__copy=True,  # all columns in one call; in place, nilearn prepares the filter again for each
        )
    except ValueError as error:  # scipy, when the run is shorter than the filter's padding
        raise FeatureError(f"{len(inside)} volumes are too few for the filter.") from error
    kept: NDArray[np.float64] = filtered[inside]
    return kept


def _filled(columns: NDArray[np.float64], is_kept: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return a copy with censored volumes interpolated by cubic splines; the first and last volume are kept ones."""
    from scipy.interpolate import CubicSpline  # half a second that the service does not wait for

    filled = columns.copy()
    if not is_kept.all():
        volume = np.arange(len(columns), dtype=np.float64)
        filled[~is_kept] = CubicSpline(volume[is_kept], columns[is_kept])(volume[~is_kept])
    return filled


def _without_regressors(filtered: NDArray[np.float64], regressors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the residuals on the regressors and the mean, shape of `filtered`."""
    centred: NDArray[np.float64] = filtered - filtered.mean(axis=0)
    if regressors.shape[1] == 0:
        return centred
    residuals: NDArray[np.float64] = _clean(
        centred, confounds=regressors, detrend=False, standardize=None, standardize_confounds=True, filter=False
    )
    return residuals


def _clean(columns: NDArray[np.float64], **options: Any) -> NDArray[np.float64]:
    """Call nilearn's cleaning."""
    # Here, because importing nilearn takes a second, which the service does not wait for before it answers.
    from nilearn import signal

    return np.ascontiguousarray(signal.clean(columns, **options))


def _size(columns: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the largest absolute value of each column."""
    size: NDArray[np.float64] = np.abs(columns).max(axis=0)
    return size


def _basis(regressors: NDArray[np.float64], size: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return orthonormal columns that span the regressors but for their mean, shape (n_volumes, rank).

    `size` is the largest absolute value each regressor had before filtering, shape (n_regressors,). What is smaller
    than rounding beside it was constant, or outside the pass band: standardised, it would be a random regressor. The
    same holds for what is left of a regressor after the others that it repeats.
    """
    centred = regressors - regressors.mean(axis=0)
    spread = centred.std(axis=0)
    varies = spread > ROUNDING * size
    if not varies.any():
        return np.empty((len(regressors), 0))
    left, singular, _ = np.linalg.svd(centred[:, varies] / spread[varies], full_matrices=False)
    basis: NDArray[np.float64] = left[:, singular > ROUNDING * singular[0]]
    return basis


def _pass_band(
    repetition_time_s: float | None, high_pass_hz: float | None, low_pass_hz: float | None
) -> tuple[float | None, float | None]:
    """Return the sides of the pass band that have something to remove."""
    if not high_pass_hz and low_pass_hz is None:
        return None, None
    if repetition_time_s is None:
        raise FeatureError(
            "a filter needs the repetition time, and neither the scan nor a side-car gives it.",
            remedy="Give the side-car with RepetitionTime, or use a recipe without a filter.",
        )
    nyquist_hz = 0.5 / repetition_time_s
    lower, upper = high_pass_hz or 0.0, nyquist_hz if low_pass_hz is None else min(low_pass_hz, nyquist_hz)
    if not 0 <= lower < upper:
        raise FeatureError(
            f"expected a pass band inside 0 to {nyquist_hz:g} Hz (half the sampling rate), "
            f"got {lower:g} to {upper:g} Hz.",
            remedy="Correct high_pass_hz and low_pass_hz of the recipe.",
        )
    return lower or None, upper if upper < nyquist_hz else None


def _check_degrees_of_freedom(
    repetition_time_s: float | None, confounds: Confounds, high_pass_hz: float | None, low_pass_hz: float | None
) -> None:
    """Raise if too few degrees of freedom are left."""
    n_passed, n_regressors = _degrees_of_freedom(repetition_time_s, confounds, high_pass_hz, low_pass_hz)
    n_left = n_passed - n_regressors
    if n_left < MINIMUM_DEGREES_OF_FREEDOM:
        is_kept = ~confounds.is_censored
        raise FeatureError(
            f"{int(is_kept.sum())} of {len(is_kept)} volumes are kept; after the filter and {n_regressors} regressors "
            f"{max(n_left, 0)} degrees of freedom are left, at least {MINIMUM_DEGREES_OF_FREEDOM} are needed.",
            remedy="Use a longer run, a simpler confound strategy, or a higher censoring threshold.",
        )


def _degrees_of_freedom(
    repetition_time_s: float | None, confounds: Confounds, high_pass_hz: float | None, low_pass_hz: float | None
) -> tuple[int, int]:
    """Return volumes kept times the share of the spectrum that passes, and how many of them the regressors take.

    References
    ----------
    Ciric 2017, doi 10.1016/j.neuroimage.2017.03.020: what denoising costs in temporal degrees of freedom.
    """
    is_kept = ~confounds.is_censored
    share = 1.0
    if repetition_time_s is not None and (high_pass_hz is not None or low_pass_hz is not None):
        nyquist_hz = 0.5 / repetition_time_s
        share = ((nyquist_hz if low_pass_hz is None else low_pass_hz) - (high_pass_hz or 0.0)) / nyquist_hz
    n_trend = 0 if high_pass_hz else 2
    regressors = confounds.regressors[is_kept]
    n_regressors = _basis(regressors, _size(regressors)).shape[1] if is_kept.any() else 0
    return int(is_kept.sum() * share) - n_trend, n_regressors
