"""Measures of a run's quality: their words, units and limits, how they spread over a cohort, and who stands out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from predictor.scan.quality import QualityThresholds
from training.cohort_quality.person_quality import LOWEST_COVERAGE, MOTION, PersonQuality, kind_of_run, run_names

Array = NDArray[np.float64]

LIMITS: Final = QualityThresholds()
# Quartiles of fewer people say little.
FEWEST_FOR_FENCES: Final = 8
# Beyond so many interquartile ranges from the quartiles a number is "far out" (Tukey 1977).
FAR_OUT: Final = 3.0


@dataclass(frozen=True, slots=True)
class QualityMeasure:
    """One measure of a run; limits are those by which visits are flagged and refused."""

    key: str
    title: str
    short: str  # heading of a column
    unit: str  # empty: a ratio without unit
    is_low_good: bool
    digits: int
    flag_at: float | None = None
    refuse_at: float | None = None
    only_kind: str = ""  # kind of run that the limits are about; empty: all

    @property
    def axis_label(self) -> str:
        """Title with the unit."""
        return f"{self.title} ({self.unit})" if self.unit else self.title

    def worst(self, values: Sequence[float]) -> float | None:
        """Return the worst of some numbers; None of none."""
        if not values:
            return None
        return max(values) if self.is_low_good else min(values)

    def limits_for(self, run: str) -> tuple[tuple[str, float], ...]:
        """Return name and value of the limits that hold for a run."""
        if self.only_kind and kind_of_run(run) != self.only_kind:
            return ()
        named = (("flag", self.flag_at), ("refuse", self.refuse_at))
        return tuple((name, at) for name, at in named if at is not None)

    def is_beyond(self, value: float, run: str) -> bool:
        """Whether a run's number is beyond the limit of a flag."""
        flags = [at for name, at in self.limits_for(run) if name == "flag"]
        return any(value > at if self.is_low_good else value < at for at in flags)


MEASURES: Final = (
    QualityMeasure(
        MOTION, "Mean framewise displacement", "Motion", "mm", is_low_good=True, digits=2,
        flag_at=LIMITS.flag_mean_framewise_displacement_mm, refuse_at=LIMITS.refuse_mean_framewise_displacement_mm,
    ),
    QualityMeasure(
        "share_censored", "Censored volumes", "Censored", "share", is_low_good=True, digits=2,
        flag_at=LIMITS.flag_share_censored,
    ),
    QualityMeasure(
        "minutes_kept", "Minutes kept after censoring", "Kept", "min", is_low_good=False, digits=1,
        flag_at=LIMITS.flag_rest_minutes_kept, refuse_at=LIMITS.refuse_rest_minutes_kept, only_kind="rest",
    ),
    QualityMeasure(
        "median_temporal_snr", "Median temporal signal-to-noise ratio of the regions", "tSNR", "", is_low_good=False,
        digits=0, flag_at=LIMITS.flag_median_temporal_snr,
    ),
    QualityMeasure(
        LOWEST_COVERAGE, "Coverage of the least covered region", "Coverage", "share", is_low_good=False, digits=2,
        flag_at=LIMITS.flag_coverage,
    ),
    QualityMeasure("mean_std_dvars", "Mean standardised DVARS", "Std. DVARS", "", is_low_good=True, digits=2),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class StandsOut:
    """One number of one person that lies far from the cohort's."""

    participant_id: str
    measure: QualityMeasure
    run: str
    value: float
    fence: float  # beyond this it counts as far


def values_by_person(people: Sequence[PersonQuality], measure: str, run: str) -> Array:
    """Return a measure of a run, NaN where a person lacks it; shape (n_people,)."""
    found = [person.runs.get(run, {}).get(measure) for person in people]
    return np.array([np.nan if value is None else value for value in found], dtype=np.float64)


def known_measures(people: Sequence[PersonQuality]) -> tuple[QualityMeasure, ...]:
    """Return the measures that anyone has; tables of region signals know neither coverage nor signal-to-noise."""
    return tuple(one for one in MEASURES if any(person.values_of(one.key) for person in people))


def far_from_cohort(people: Sequence[PersonQuality]) -> Iterator[StandsOut]:
    """Yield numbers that are far worse than the cohort's, by measure and run.

    Far means beyond three interquartile ranges from the quartile on the bad side. Measures that do not differ between
    the middle half of the people, and runs that fewer than eight people have, give none.

    References
    ----------
    Tukey JW (1977). Exploratory data analysis. Addison-Wesley.
    """
    for measure in MEASURES:
        for run in run_names(people) if measure.key != "share_censored" else ():  # minutes kept say the same
            values = values_by_person(people, measure.key, run)
            fence = bad_fence(values, is_low_good=measure.is_low_good)
            if fence is None:
                continue
            for person, value in zip(people, values.tolist(), strict=True):
                if value > fence if measure.is_low_good else value < fence:
                    yield StandsOut(person.participant_id, measure, run, value, fence)


def bad_fence(values: Array, *, is_low_good: bool) -> float | None:
    """Return the number beyond which a value is far out on the bad side; None where nobody can tell.

    Examples
    --------
    >>> bad_fence(np.arange(9.0), is_low_good=True)
    18.0
    """
    known = values[np.isfinite(values)]
    if len(known) < FEWEST_FOR_FENCES:
        return None
    lower, upper = np.quantile(known, [0.25, 0.75])
    if upper <= lower:
        return None
    reach = FAR_OUT * (upper - lower)
    return float(upper + reach if is_low_good else lower - reach)
