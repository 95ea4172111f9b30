"""What predicted benefit is worth: mean benefit of people with a given prediction, with an interval.

Regresses the outcome on the arm and on arm x predicted benefit (out of fold), beside covariates and predicted
prognosis. The arm's coefficient is the mean benefit of everybody; that of the product is the calibration slope: 1 where
differences between predictions are differences between people, 0 where they say nothing. Both together give the mean
benefit of people with the same prediction, and how sure it is: an interval about that conditional mean, never about a
person.

Standard errors are HC3 (CR3 with groups). They take predictions as given, but every outcome is used twice, as what is
predicted and in training the models of other folds. Where there is nothing to find, that doubles the variance of the
slope, so it is inflated as Nadeau and Bengio do with differences of errors: right without a signal, too careful with a
strong one.

References
----------
Chernozhukov V, Demirer M, Duflo E, Fernández-Val I (2018). Generic machine learning inference on heterogeneous
treatment effects in randomized experiments. NBER working paper 24678: the best linear predictor of the effect.
Nadeau C, Bengio Y (2003). Inference for the generalization error. Machine Learning 52:239-281.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from predictor.errors import TrainingError
from predictor.model.prediction import BENEFIT_IS_ABOUT, INTERVAL_LEVEL
from training.evaluation.metrics import INTERVAL_LEVEL as SUMMARY_LEVEL
from training.evaluation.metrics import Interval
from training.evaluation.robust_regression import RobustRegression, robust_regression

Floats = NDArray[np.float64]

IDENTICAL = "the model predicts the same benefit for everyone"


@dataclass(frozen=True, slots=True, eq=False)
class BenefitCalibration:
    """Benefit in the outcome's unit, above 0 is better; `slope` is None where predictions do not differ."""

    average: float
    average_interval: Interval
    slope: float | None
    slope_interval: Interval | None
    benefit: Floats  # (n_people,): mean benefit of people with the same prediction
    lower: Floats  # (n_people,), of INTERVAL_LEVEL
    upper: Floats  # (n_people,)

    def document(self) -> dict[str, Any]:
        """Everything but the people, ready for JSON."""
        has_slope = self.slope is not None and self.slope_interval is not None
        return {
            "average_benefit": {"estimate": self.average, "interval": _interval(self.average_interval)},
            "slope": {"estimate": self.slope, "interval": _interval(self.slope_interval)} if has_slope else None,
            "slope_missing": None if has_slope else IDENTICAL,
            "about": BENEFIT_IS_ABOUT,
        }


def calibrate_benefit(
    deviation: Floats,
    prognosis: Floats,
    covariates: Floats,
    is_treated: NDArray[np.bool_],
    outcome: Floats,
    *,
    n_training: float,
    groups: NDArray[np.intp] | None = None,
) -> BenefitCalibration:
    """Turn out-of-fold deviations from the mean benefit into mean benefits with intervals.

    Parameters
    ----------
    deviation, prognosis
        Of everyone, out of fold, shape (n_people,); see `CrossFitted`.
    covariates
        Shape (n_people, n_covariates).
    is_treated
        Shape (n_people,).
    outcome
        Shape (n_people,), higher is better.
    n_training
        People that a fold's model learned from, on average; infinite for predictions that come from elsewhere.
    groups
        Group of everyone, None: everyone is on their own.

    Raises
    ------
    TrainingError
        If people are too few for the covariates.
    """
    arm = np.where(is_treated, 0.5, -0.5)
    centred = deviation - deviation.mean()
    ones = np.ones(len(arm))
    try:
        beside = np.column_stack([ones, covariates, prognosis, centred])
        fit = robust_regression(np.column_stack([arm, arm * centred]), beside, outcome, groups=groups)
    except TrainingError:  # nothing to tell people apart by; the mean is left
        fit = robust_regression(
            arm[:, np.newaxis], np.column_stack([ones, covariates, prognosis]), outcome, groups=groups
        )
    has_slope = len(fit.coefficients) > 1
    weights = np.column_stack([ones, centred]) if has_slope else ones[:, np.newaxis]
    inflation = _inflation(len(outcome), n_training)[: len(fit.coefficients)]
    covariance = fit.covariance * np.outer(inflation, inflation)
    benefit = weights @ fit.coefficients
    half = _quantile(fit, INTERVAL_LEVEL) * np.sqrt(np.einsum("ij,jk,ik->i", weights, covariance, weights))
    return BenefitCalibration(
        average=float(fit.coefficients[0]),
        average_interval=_summary(fit, covariance, 0),
        slope=float(fit.coefficients[1]) if has_slope else None,
        slope_interval=_summary(fit, covariance, 1) if has_slope else None,
        benefit=benefit,
        lower=benefit - half,
        upper=benefit + half,
    )


def _inflation(n_people: int, n_training: float) -> Floats:
    """Return factors of the standard errors of average and slope."""
    return np.array([1.0, np.sqrt(1 + n_people / n_training)])


def _summary(fit: RobustRegression, covariance: Floats, term: int) -> Interval:
    half = _quantile(fit, SUMMARY_LEVEL) * float(np.sqrt(covariance[term, term]))
    centre = float(fit.coefficients[term])
    return Interval(centre - half, centre + half, SUMMARY_LEVEL)


def _quantile(fit: RobustRegression, level: float) -> float:
    return float(stats.t.ppf(0.5 + level / 2, fit.degrees_of_freedom))


def _interval(interval: Interval | None) -> dict[str, float] | None:
    if interval is None:
        return None
    return {"level": interval.level, "lower": interval.lower, "upper": interval.upper}
