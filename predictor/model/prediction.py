"""Expected outcome in every arm, how sure that is, and what the first arm adds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from predictor.model.bundle import ModelBundle
from predictor.model.out_of_fold import INTERVAL_LEVEL as INTERVAL_LEVEL
from predictor.model.out_of_fold import Interval

BENEFIT_IS_ABOUT = "people like this one, not this individual"


@dataclass(frozen=True, slots=True)
class ArmPrediction:
    """What to expect in one arm, in the outcome's unit."""

    expected: float
    interval: Interval
    response_probability: float | None  # None without a response rule


@dataclass(frozen=True, slots=True)
class Benefit:
    """How much better the first arm is than the last, in the outcome's unit; above 0 is better.

    The interval is about the conditional mean: nobody is seen in both arms, so an individual's own benefit cannot be
    identified.
    """

    expected: float
    interval: Interval
    about: str = BENEFIT_IS_ABOUT


@dataclass(frozen=True, slots=True)
class Prediction:
    """The answer in numbers."""

    arms: Mapping[str, ArmPrediction]
    benefit: Benefit | None  # None with fewer than two arms
    uncertainty_shares: Mapping[str, float]  # source -> share of the interval's variance in the first arm, sum 1
    # "residual" and "model", and "scan_noise" where the features came with standard errors


def predict_response(
    bundle: ModelBundle, inputs: NDArray[np.float64], *, noise_variance: float | None = None
) -> Prediction:
    """Predict for one person.

    Parameters
    ----------
    bundle
        The model.
    inputs
        Raw inputs in the model's order, shape (n_inputs,), NaN where missing.
    noise_variance
        `scan_noise_variance` of this visit in the first arm, None if unknown.

    Returns
    -------
    Prediction
        Expectations are the full model's; intervals are CV+ (Barber 2021) from the fold models and the residuals of
        the arm, or of all arms where it has few; response probabilities are shares of the plausible outcomes from the
        residuals of all arms, as calibration judges them.
    """
    expected = bundle.model.predict(inputs[np.newaxis])[0]
    by_fold = bundle.fold_models.predict(inputs).T
    by_resample = bundle.bootstrap_models.predict(inputs)
    own_residuals = bundle.plan.residuals
    arms = {
        arm: ArmPrediction(
            expected=float(expected[number]),
            interval=own_residuals[number].interval(by_fold[number], level=INTERVAL_LEVEL),
            response_probability=bundle.out_of_fold.response_probability(by_fold[number], bundle.outcome),
        )
        for number, arm in enumerate(bundle.arms)
    }
    return Prediction(
        arms=arms,
        benefit=_benefit(expected, by_resample, bundle) if len(arms) > 1 else None,
        uncertainty_shares=_uncertainty_shares(
            own_residuals[0].plausible_outcomes(by_fold[0]), by_resample[:, 0], noise_variance
        ),
    )


def _benefit(expected: NDArray[np.float64], by_resample: NDArray[np.float64], bundle: ModelBundle) -> Benefit:
    sign = 1.0 if bundle.outcome.better == "higher" else -1.0
    differences = np.sort(sign * (by_resample[:, 0] - by_resample[:, -1]))
    tail = (1 - INTERVAL_LEVEL) / 2
    return Benefit(
        expected=float(sign * (expected[0] - expected[-1])),
        interval=Interval(
            level=INTERVAL_LEVEL, lower=_quantile(differences, tail), upper=_quantile(differences, 1 - tail)
        ),
    )


def _quantile(ascending: NDArray[np.float64], share: float) -> float:
    """Return what numpy's `quantile` does, in a tenth of its time for a hundred values."""
    place = share * (len(ascending) - 1)
    below = int(place)
    above = min(below + 1, len(ascending) - 1)
    lower, upper = float(ascending[below]), float(ascending[above])
    return lower + (upper - lower) * (place - below)


def _uncertainty_shares(
    plausible: NDArray[np.float64], by_resample: NDArray[np.float64], noise_variance: float | None
) -> dict[str, float]:
    """Split the variance of the plausible outcomes.

    Out-of-fold residuals already hold the model's own error, so its bootstrap variance at this person is taken out
    of the whole, never added to it; the rest is what no model of these inputs explains. Scan noise is in there too, so
    what this visit's standard errors account for is a part of the rest, at most all of it.
    """
    whole, model = _variance(plausible), _variance(by_resample)
    share = min(model / whole, 1.0) if whole > 0 else 0.0
    if noise_variance is None:
        return {"residual": 1.0 - share, "model": share}
    noise = min(noise_variance / whole, 1.0 - share) if whole > 0 else 0.0
    return {"residual": 1.0 - share - noise, "model": share, "scan_noise": noise}


def _variance(values: NDArray[np.float64]) -> float:
    """Return what `values.var()` does, less its checks."""
    deviation = values - np.add.reduce(values) / len(values)
    return float(np.add.reduce(deviation * deviation)) / len(values)
