"""How wrong the model was about people it had not seen, and what that says about a new person."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from predictor.errors import ModelBundleError
from predictor.model.linear_model import keep_prepared
from predictor.model.outcome_definition import OutcomeDefinition

Array = NDArray[np.float64]

# Of every interval that is shown.
INTERVAL_LEVEL = 0.9
# With fewer people a 90 % interval would have to be infinite.
MIN_PEOPLE = 9


@dataclass(frozen=True, slots=True)
class Interval:
    """Where the outcome is expected to lie, in its unit, with a probability of `level`."""

    level: float
    lower: float
    upper: float


@dataclass(frozen=True, slots=True, eq=False)
class OutOfFoldResiduals:
    """Predictions for the training people by the fold models that had not seen them, of one K-fold partition.

    An interval is made of the residuals of its own arm (`of_arm`), where these are enough: a treatment that works for
    some leaves larger errors than one that works for few, and errors of all arms taken together made intervals that
    held 85 % of the treated and 95 % of the others where 90 % were promised.
    """

    fold_index: NDArray[np.int64]  # (n_people,), which fold left the person out
    arm_index: NDArray[np.int64]  # (n_people,), the arm the person was in; 0 without arms
    prediction: Array  # (n_people,), in the person's own arm, the outcome's unit
    residual: Array  # (n_people,), observed minus predicted
    size: Array = field(init=False, repr=False)  # (n_people,), of the residuals, whatever their sign

    def __post_init__(self) -> None:
        n_people = len(self.residual)
        arrays = (self.fold_index, self.arm_index, self.prediction, self.residual)
        if any(array.shape != (n_people,) for array in arrays):
            raise ModelBundleError(f"expected {n_people} fold and arm indices, predictions and residuals.")
        if n_people < MIN_PEOPLE:
            raise ModelBundleError(f"expected residuals of at least {MIN_PEOPLE} people, found {n_people}.")
        if not (np.isfinite(self.prediction).all() and np.isfinite(self.residual).all()):
            raise ModelBundleError("out-of-fold predictions and residuals must be finite.")
        if (self.fold_index < 0).any() or (self.arm_index < 0).any():
            raise ModelBundleError("fold and arm indices must not be negative.")
        keep_prepared(self, {"size": np.abs(self.residual)})

    def of_arm(self, arm: int, *, level: float) -> OutOfFoldResiduals:
        """Residuals to make an arm's interval of: its own, or everyone's where its own are few.

        They are few where the interval would rest on the largest of them alone (fewer than 19 for a level of .9).

        Parameters
        ----------
        arm
            Number of the arm.
        level
            Aimed-at coverage.

        References
        ----------
        Vovk V (2013). Conditional validity of inductive conformal predictors. Machine Learning 92:349-376.
        """
        own = self.arm_index == arm
        n_own = int(own.sum())
        if n_own < MIN_PEOPLE or _rank(level, n_own) >= n_own:
            return self
        return OutOfFoldResiduals(self.fold_index[own], self.arm_index[own], self.prediction[own], self.residual[own])

    def plausible_outcomes(self, fold_predictions: Array) -> Array:
        """Outcomes of a new person as far as past errors tell, one per training person.

        Parameters
        ----------
        fold_predictions
            The new person's expected outcome by every fold model, shape (n_folds,).

        Returns
        -------
        ndarray of shape (n_people,)
            Prediction by the fold that left a training person out, plus that person's residual.
        """
        return np.asarray(fold_predictions[self.fold_index] + self.residual)

    def interval(self, fold_predictions: Array, *, level: float) -> Interval:
        """CV+ prediction interval.

        Its coverage is guaranteed to be at least 2 * level - 1 (less a term that vanishes with larger folds)
        whatever the model, and is `level` where the model is stable.

        Parameters
        ----------
        fold_predictions
            The new person's expected outcome by every fold model, shape (n_folds,).
        level
            Aimed-at coverage, such as 0.9.

        Returns
        -------
        Interval
            In the outcome's unit.

        Raises
        ------
        ModelBundleError
            If the residuals are too few for the level.

        References
        ----------
        Barber, Candes, Ramdas and Tibshirani 2021, Annals of Statistics 49:486-507, section 3.
        """
        centres, widths = fold_predictions[self.fold_index], self.size
        rank = _rank(level, len(widths))
        if rank > len(widths):
            raise ModelBundleError(f"{len(widths)} residuals are too few for an interval of level {level}.")
        upper = np.sort(centres + widths)[rank - 1]
        lower = -np.sort(widths - centres)[rank - 1]
        return Interval(level=level, lower=float(lower), upper=float(upper))

    def response_probability(self, fold_predictions: Array, outcome: OutcomeDefinition) -> float | None:
        """Share of the plausible outcomes that are a response; None for outcomes without a response rule."""
        if outcome.response_threshold is None:
            return None
        is_response = outcome.is_response(self.plausible_outcomes(fold_predictions))
        return float(np.count_nonzero(is_response)) / len(is_response)


def _rank(level: float, n_people: int) -> int:
    """Which of the sorted ends an interval takes, counted from 1."""
    # The 1e-9 keeps rounding of level * (n + 1) from adding a rank where the product is a whole number.
    return math.ceil(level * (n_people + 1) - 1e-9)
