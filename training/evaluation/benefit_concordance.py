"""Do people with more predicted benefit have more of it? Concordance for benefit, over matched pairs.

Nobody is seen in both arms, so treated people are paired with untreated ones of the same rank of predicted benefit; the
difference of their outcomes is the pair's observed benefit. C-for-benefit is the share of pairs of pairs in which
the pair with the larger predicted benefit also has the larger observed one; .5 is chance. In the larger arm, people are
drawn at random for pairing, several times.

The observed benefit of a pair holds the noise of two people, so that even perfect predictions give values not far above
.5; and the value depends on how pairs are made. It orders, it does not calibrate, and it decides nothing here.

References
----------
van Klaveren D et al. (2018). The proposed 'concordance-statistic for benefit' provided a useful metric when modeling
heterogeneous treatment effects. J Clin Epidemiol 94:59-68.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.evaluation.resampling import UnitResampler

Floats = NDArray[np.float64]

INTERVAL_LEVEL = 0.95
N_BOOTSTRAP = 400
N_PAIRINGS = 20
CHANCE = 0.5


@dataclass(frozen=True, slots=True)
class BenefitConcordance:
    """C-for-benefit with a percentile interval of a bootstrap over people or groups, within arms, paired anew."""

    value: float
    lower: float
    upper: float
    n_pairs: int
    level: float = INTERVAL_LEVEL

    def document(self) -> dict[str, Any]:
        """Fields by name, ready for JSON."""
        return {name: getattr(self, name) for name in self.__slots__}


def benefit_concordance(
    predicted: Floats,
    outcome: Floats,
    is_treated: NDArray[np.bool_],
    *,
    seed: int,
    groups: NDArray[np.intp] | None = None,
) -> BenefitConcordance | None:
    """C-for-benefit of out-of-fold predictions.

    Parameters
    ----------
    predicted
        Predicted benefit of everyone, shape (n_people,); ties count half.
    outcome
        Shape (n_people,), higher is better.
    is_treated
        Shape (n_people,).
    seed
        Of pairing and bootstrap.
    groups
        Group of everyone, drawn as wholes in the bootstrap. None: everyone is on their own.

    Returns
    -------
    BenefitConcordance or None
        None where no two pairs differ in observed benefit, or where everyone is predicted the same benefit.
    """
    if np.ptp(predicted) == 0:
        return None
    rng = np.random.default_rng(seed)
    treated, control = np.flatnonzero(is_treated), np.flatnonzero(~is_treated)
    n_pairings = 1 if len(treated) == len(control) and len(np.unique(predicted)) == len(predicted) else N_PAIRINGS
    draws = [_paired_concordance(predicted, outcome, treated, control, rng) for _ in range(n_pairings)]
    if not np.isfinite(draws).all():
        return None
    resampler = UnitResampler.within(len(predicted), strata=is_treated.tolist(), groups=groups)
    drawn = (resampler.draw(rng) for _ in range(N_BOOTSTRAP))
    resampled = [
        _paired_concordance(predicted, outcome, rows[is_treated[rows]], rows[~is_treated[rows]], rng) for rows in drawn
    ]
    tail = (1 - INTERVAL_LEVEL) / 2
    lower, upper = np.nanquantile(resampled, [tail, 1 - tail])
    return BenefitConcordance(float(np.mean(draws)), float(lower), float(upper), min(len(treated), len(control)))


def _paired_concordance(
    predicted: Floats, outcome: Floats, treated: NDArray[np.intp], control: NDArray[np.intp], rng: np.random.Generator
) -> float:
    """C of one pairing; who is left over in the larger arm, and the order of equal predictions, are random."""
    n_pairs = min(len(treated), len(control))
    one, other = (_by_rank(rng.permutation(members)[:n_pairs], predicted) for members in (treated, control))
    return concordance((predicted[one] + predicted[other]) / 2, outcome[one] - outcome[other])


def _by_rank(members: NDArray[np.intp], predicted: Floats) -> NDArray[np.intp]:
    return members[np.argsort(predicted[members], kind="stable")]


def concordance(predicted: Floats, observed: Floats) -> float:
    """Share of couples ordered alike among those that differ in `observed`; equal predictions count half, NaN if none.

    Examples
    --------
    >>> concordance(np.array([1.0, 2.0, 3.0]), np.array([10.0, 30.0, 20.0]))
    0.6666666666666666
    """
    # Every couple is counted twice, on both sides of the diagonal.
    by_observed = np.sign(observed[:, np.newaxis] - observed)
    by_prediction = np.sign(predicted[:, np.newaxis] - predicted)
    n_comparable = np.count_nonzero(by_observed)
    if not n_comparable:
        return float("nan")
    return float(CHANCE + np.vdot(by_observed, by_prediction) / (2 * n_comparable))
