"""Is this visit good enough? Numbers per run, thresholds with their sources, and reasons."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from predictor.record_card import PresentedRecord, RecordCard
from predictor.scan.confounds import Confounds, mean_of_column
from predictor.scan.session import Run
from predictor.scan.task_description import RunKind, run_name

Severity = Literal["flag", "refuse"]


@dataclass(frozen=True, slots=True)
class Reason:
    """Why an answer is flagged or refused."""

    code: str  # kebab-case, stable
    severity: Severity
    detail: str  # one sentence with the number and the limit

    def document(self) -> dict[str, str]:
        """Return the reason as the answer document has it."""
        return {"code": self.code, "severity": self.severity, "detail": self.detail}


@dataclass(frozen=True, slots=True)
class QualityThresholds:
    """Limits of a visit's quality.

    References
    ----------
    Power 2012 (doi 10.1016/j.neuroimage.2011.10.018): 0.5 mm is a large movement.
    Parkes 2018 (doi 10.1016/j.neuroimage.2017.12.073): lenient exclusion above a mean of 0.55 mm, and below four
    minutes of uncensored rest.
    Mehta 2024 (XCP-D, doi 10.1162/imag_a_00257): a region counts when half of it is covered.
    Murphy 2007 (doi 10.1016/j.neuroimage.2006.09.032): temporal SNR of 40 is needed for small effects; frontal and
    medial temporal regions often have half of it.
    """

    flag_mean_framewise_displacement_mm: float = 0.5  # Power 2012, Parkes 2018
    refuse_mean_framewise_displacement_mm: float = 1.0  # [assumed] twice the lenient limit
    flag_share_censored: float = 0.5  # [assumed]
    flag_rest_minutes_kept: float = 4.0  # Parkes 2018
    refuse_rest_minutes_kept: float = 2.0  # [assumed] half of it
    flag_coverage: float = 0.5  # share of a region's voxels, Mehta 2024
    flag_median_temporal_snr: float = 20.0  # [assumed] half of Murphy 2007


@dataclass(frozen=True, slots=True)
class RunQuality:
    """Quality numbers of one run; None where the input does not tell."""

    kind: RunKind
    n_volumes: int
    n_volumes_kept: int
    minutes: float | None  # None: repetition time unknown
    minutes_kept: float | None
    mean_framewise_displacement_mm: float | None
    share_censored: float  # 0 to 1
    median_temporal_snr: float | None  # over regions
    mean_dvars: float | None  # fMRIPrep's `dvars`, in the scan's units
    mean_std_dvars: float | None  # fMRIPrep's `std_dvars`, unitless
    coverage: dict[str, float | None]  # region -> share of its voxels with signal, 0 to 1
    temporal_snr: dict[str, float | None]
    confound_strategy: str  # the one used
    fallback_reason: str | None
    notes: tuple[str, ...] = ()
    number: int = 1  # among the visit's runs of this kind

    @property
    def name(self) -> str:
        """What the run is called within its visit: "rest", "rest_2", ..."""
        return run_name(self.kind, self.number)

    def document(self) -> dict[str, Any]:
        """Return plain values, None instead of NaN; without the run's name, which is the key it stands under."""
        return {
            "n_volumes": self.n_volumes,
            "n_volumes_kept": self.n_volumes_kept,
            "minutes": self.minutes,
            "minutes_kept": self.minutes_kept,
            "mean_framewise_displacement_mm": self.mean_framewise_displacement_mm,
            "share_censored": self.share_censored,
            "median_temporal_snr": self.median_temporal_snr,
            "mean_dvars": self.mean_dvars,
            "mean_std_dvars": self.mean_std_dvars,
            "coverage": dict(self.coverage),
            "temporal_snr": dict(self.temporal_snr),
            "confound_strategy": self.confound_strategy,
            "fallback_reason": self.fallback_reason,
            "notes": list(self.notes),
        }


@dataclass(frozen=True, slots=True, repr=False)
class QualityReport(PresentedRecord):
    """Quality of every run, and what follows from it."""

    runs: tuple[RunQuality, ...]
    reasons: tuple[Reason, ...]

    @property
    def is_refused(self) -> bool:
        """Whether any reason refuses the visit."""
        return any(reason.severity == "refuse" for reason in self.reasons)

    def of_kind(self, kind: RunKind) -> tuple[RunQuality, ...]:
        """Return the quality of the runs of a kind; empty if the visit has none."""
        return tuple(run for run in self.runs if run.kind == kind)

    def mean_framewise_displacement_mm(self, kind: RunKind) -> float | None:
        """Return the mean over the runs of a kind, weighted by kept volumes as features are; None if unknown."""
        known = [run for run in self.of_kind(kind) if run.mean_framewise_displacement_mm is not None]
        if not known:
            return None
        moved = [run.mean_framewise_displacement_mm or 0.0 for run in known]
        weights = [run.n_volumes_kept for run in known]
        # With every volume censored the run moved all the more; each then counts by its length.
        return float(np.average(moved, weights=weights if any(weights) else [run.n_volumes for run in known]))

    def document(self) -> dict[str, Any]:
        """Return run name -> numbers, as `quality` of the answer document has it."""
        return {run.name: run.document() for run in self.runs}

    def _one_line(self) -> str:
        judged = "refused" if self.is_refused else "flagged" if self.reasons else "ok"
        reasons = f" ({', '.join(dict.fromkeys(reason.code for reason in self.reasons))})" if self.reasons else ""
        return f"{judged}{reasons}; {', '.join(run.name for run in self.runs)}"

    def _card(self) -> RecordCard:
        return RecordCard(
            title=f"Quality: {self._one_line()}",
            columns=("run", "volumes kept", "minutes kept", "mean displacement (mm)", "median tSNR", "least coverage"),
            rows=tuple(_row_of(run) for run in self.runs),
            remarks=tuple(f"{reason.severity}: {reason.detail}." for reason in self.reasons),
            is_about_a_person=True,
        )


def judged_quality(runs: Iterable[RunQuality], thresholds: QualityThresholds | None = None) -> QualityReport:
    """Return the quality of a visit from that of its runs; the default limits if none are given."""
    measured, limits = tuple(runs), thresholds or QualityThresholds()
    of_runs = tuple(reason for run in measured for reason in quality_reasons(run, limits))
    return QualityReport(measured, (*of_runs, *_length_reasons(measured, limits)))


def run_quality(run: Run, confounds: Confounds) -> RunQuality:
    """Return the quality numbers of one run with the confounds that are used for it."""
    n_kept = int((~confounds.is_censored).sum())
    minutes_per_volume = None if run.repetition_time_s is None else run.repetition_time_s / 60
    recording = run.recording
    temporal_snr = np.asarray(recording.temporal_snr, dtype=np.float64)
    displacement = confounds.framewise_displacement_mm
    return RunQuality(
        kind=run.kind,
        n_volumes=run.n_volumes,
        n_volumes_kept=n_kept,
        minutes=None if minutes_per_volume is None else run.n_volumes * minutes_per_volume,
        minutes_kept=None if minutes_per_volume is None else n_kept * minutes_per_volume,
        mean_framewise_displacement_mm=None if np.isnan(displacement).all() else float(np.nanmean(displacement)),
        share_censored=1 - n_kept / run.n_volumes,
        median_temporal_snr=_finite(np.median(temporal_snr[np.isfinite(temporal_snr)]))
        if np.isfinite(temporal_snr).any()
        else None,
        mean_dvars=mean_of_column(run.confounds, "dvars"),
        mean_std_dvars=mean_of_column(run.confounds, "std_dvars"),
        coverage=dict(zip(recording.region_names, map(_finite, recording.coverage), strict=True)),
        temporal_snr=dict(zip(recording.region_names, map(_finite, temporal_snr), strict=True)),
        confound_strategy=confounds.strategy_used,
        fallback_reason=confounds.fallback_reason,
        notes=run.notes,
        number=run.number,
    )


def quality_reasons(run: RunQuality, limits: QualityThresholds) -> Iterator[Reason]:
    """Yield what the thresholds say about one run; a number that is unknown gives no reason."""
    yield from _motion_reasons(run, limits)
    low = {name: share for name, share in run.coverage.items() if share is not None and share < limits.flag_coverage}
    if low:
        named = ", ".join(f"{name} {share:.2f}" for name, share in low.items())
        detail = f"{run.name}: covered by the scan less than {limits.flag_coverage:g}: {named}"
        yield Reason("coverage-low", "flag", detail)
    if run.median_temporal_snr is not None and run.median_temporal_snr < limits.flag_median_temporal_snr:
        detail = (
            f"{run.name}: the regions' median temporal signal-to-noise ratio is {run.median_temporal_snr:.1f}; "
            f"at least {limits.flag_median_temporal_snr:g} is expected"
        )
        yield Reason("temporal-snr-low", "flag", detail)
    if run.fallback_reason is not None:
        detail = f"{run.name}: confound strategy {run.confound_strategy} is used because {run.fallback_reason}"
        yield Reason("confounds-fallback", "flag", detail)


def _length_reasons(runs: Iterable[RunQuality], limits: QualityThresholds) -> Iterator[Reason]:
    """Yield whether the resting runs together are too short; of a run without repetition time nobody knows."""
    minutes = [run.minutes_kept for run in runs if run.kind == "rest"]
    kept = sum(known for known in minutes if known is not None)
    if not minutes or None in minutes or kept >= limits.flag_rest_minutes_kept:
        return
    is_refused = kept < limits.refuse_rest_minutes_kept
    limit = limits.refuse_rest_minutes_kept if is_refused else limits.flag_rest_minutes_kept
    together = f" in {len(minutes)} runs together" if len(minutes) > 1 else ""
    detail = f"rest: {kept:.1f} minutes are left after censoring{together}; at least {limit:g} are expected"
    yield Reason("too-short", "refuse" if is_refused else "flag", detail)


def _motion_reasons(run: RunQuality, limits: QualityThresholds) -> Iterator[Reason]:
    moved = run.mean_framewise_displacement_mm
    if moved is not None and moved > limits.flag_mean_framewise_displacement_mm:
        is_refused = moved > limits.refuse_mean_framewise_displacement_mm
        limit = (
            limits.refuse_mean_framewise_displacement_mm if is_refused else limits.flag_mean_framewise_displacement_mm
        )
        detail = f"{run.name}: mean framewise displacement {moved:.2f} mm; at most {limit:g} mm is expected"
        yield Reason("motion-high", "refuse" if is_refused else "flag", detail)
    if run.share_censored > limits.flag_share_censored:
        detail = (
            f"{run.name}: {run.share_censored:.0%} of the volumes are censored; "
            f"at most {limits.flag_share_censored:.0%} are expected"
        )
        yield Reason("censoring-high", "flag", detail)


def _row_of(run: RunQuality) -> tuple[str, ...]:
    covered = [share for share in run.coverage.values() if share is not None]
    return (
        run.name,
        f"{run.n_volumes_kept} of {run.n_volumes}",
        _number(run.minutes_kept, ".1f"),
        _number(run.mean_framewise_displacement_mm, ".2f"),
        _number(run.median_temporal_snr, ".0f"),
        _number(min(covered, default=None), ".0%"),
    )


def _number(value: float | None, form: str) -> str:
    return "not known" if value is None else format(value, form)


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
