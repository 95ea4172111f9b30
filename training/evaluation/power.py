"""What a cohort of this size could find at all, said before anyone looks at what it found.

Power is that of a one-sided test of a prediction that was fixed beforehand. A model that has to be learned from the
same people has less: the numbers here are what to hope for at best.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy import optimize, stats

LEVEL, WANTED = 0.05, 0.8
SHOWN_R2 = (0.05, 0.1, 0.2, 0.3)
# Quantiles of the predictor's sum of squares over which power is averaged.
N_QUANTILES = 200
AT_BEST = "for a prediction fixed beforehand; one that must be learned from the same people has less"


@dataclass(frozen=True, slots=True)
class PowerStatement:
    """What n people can find. R2 is the share of the outcome's variance in the population."""

    n_participants: int
    baseline_r2: float  # what the baseline explains, as found or as assumed
    against_zero: dict[float, float]  # R2 -> power to find it
    against_baseline: dict[float, float]  # R2 beyond the baseline's -> power to find it
    detectable_r2: float | None  # smallest R2 that is found with a power of 80 %; None: none below 1
    detectable_gain: float | None  # smallest gain over the baseline that is
    level: float = LEVEL
    wanted_power: float = WANTED
    holds: str = AT_BEST

    def document(self) -> dict[str, Any]:
        """Fields by name, ready for JSON."""
        powers = {
            name: [{"r2": r2, "power": power} for r2, power in getattr(self, name).items()]
            for name in ("against_zero", "against_baseline")
        }
        return {**asdict(self), **powers}

    def lines(self) -> Iterator[str]:
        """Two lines for the screen."""
        shown = ", ".join(f"{power:.0%} at R2 {r2:.2f}" for r2, power in self.against_zero.items())
        yield f"power with {self.n_participants} people: {shown} ({AT_BEST})"
        r2, gain = (_or_none(value) for value in (self.detectable_r2, self.detectable_gain))
        yield (
            f"found with a power of {self.wanted_power:.0%}: an R2 of {r2}, or {gain} beyond a baseline with "
            f"R2 {max(self.baseline_r2, 0.0):.2f}"
        )


def state_power(n_participants: int, *, baseline_r2: float = 0.0, n_baseline_terms: int = 0) -> PowerStatement:
    """Power of a cohort to tell a model's R2 from 0, and from that of a baseline.

    Parameters
    ----------
    n_participants
        People to be predicted.
    baseline_r2
        Share of variance that the baseline explains, such as arm + clinical; below 0 counts as 0.
    n_baseline_terms
        Number of its terms beside the intercept.
    """
    base = min(max(baseline_r2, 0.0), 0.99)
    gains = [r2 for r2 in SHOWN_R2 if base + r2 < 1]
    terms = {"baseline_r2": base, "n_baseline_terms": n_baseline_terms}
    return PowerStatement(
        n_participants=n_participants,
        baseline_r2=baseline_r2,
        against_zero={r2: power_to_find(r2, n_participants) for r2 in SHOWN_R2},
        against_baseline={r2: power_to_find(r2, n_participants, **terms) for r2 in gains},  # type: ignore[arg-type]
        detectable_r2=smallest_found(n_participants),
        detectable_gain=smallest_found(n_participants, **terms),  # type: ignore[arg-type]
    )


def power_to_find(
    gain: float, n_participants: int, *, baseline_r2: float = 0.0, n_baseline_terms: int = 0, level: float = LEVEL
) -> float:
    """Probability that a one-sided test finds what a prediction explains beyond a baseline.

    Parameters
    ----------
    gain
        Share of the outcome's variance that the prediction explains beyond the baseline, 0 to 1 - `baseline_r2`.
    n_participants, baseline_r2, n_baseline_terms
        See `state_power`.
    level
        False-positive rate of the test.

    Returns
    -------
    float
        Power of the t test of the prediction's coefficient beside the baseline's terms, everything normal; the
        prediction varies from cohort to cohort, so power is averaged over its sum of squares. 0 with too few people.

    References
    ----------
    Cohen J (1988). Statistical power analysis for the behavioral sciences, chapter 9.
    """
    freedom = n_participants - 2 - n_baseline_terms
    if freedom < 1:
        return 0.0
    effect = np.sqrt(gain / (1 - baseline_r2 - gain))
    quantiles = (np.arange(N_QUANTILES) + 0.5) / N_QUANTILES
    noncentrality = effect * np.sqrt(stats.chi2.ppf(quantiles, freedom + 1))
    critical = stats.t.ppf(1 - level, freedom)
    return float(stats.nct.sf(critical, freedom, noncentrality).mean()) if effect > 0 else level


def smallest_found(
    n_participants: int, *, baseline_r2: float = 0.0, n_baseline_terms: int = 0, wanted: float = WANTED
) -> float | None:
    """Smallest gain in R2 that is found with the wanted power; None if even the largest is not."""
    most = (1 - baseline_r2) * 0.999

    def lacking(gain: float) -> float:
        return wanted - power_to_find(gain, n_participants, baseline_r2=baseline_r2, n_baseline_terms=n_baseline_terms)

    return None if lacking(most) > 0 else float(optimize.brentq(lacking, 1e-9, most, xtol=1e-4))


def _or_none(value: float | None) -> str:
    return "no value below 1" if value is None else f"{value:.2f}"
