"""How wrong the model was about people it had not seen, and what that says about a new person."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from predictor.errors import ModelBundleError
from predictor.model.outcome_definition import OutcomeDefinition

Array = NDArray[np.float64]

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

    The residuals of the people of all arms stand together: an arm's own would halve their number, and the trial that
    the product grew from gives no reason to believe that the spread differs between its arms.
    """

    fold_index: NDArray[np.int64]  # (n_people,), which fold left the person out
    arm_index: NDArray[np.int64]  # (n_people,), the arm the person was in; 0 without arms
    prediction: Array  # (n_people,), in the person's own arm, the outcome's unit
    residual: Array  # (n_people,), observed minus predicted

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
        centres, widths = fold_predictions[self.fold_index], np.abs(self.residual)
        # The 1e-9 keeps rounding of level * (n + 1) from adding a rank where the product is a whole number.
        rank = math.ceil(level * (len(widths) + 1) - 1e-9)
        if rank > len(widths):
            raise ModelBundleError(f"{len(widths)} residuals are too few for an interval of level {level}.")
        upper = np.sort(centres + widths)[rank - 1]
        lower = -np.sort(widths - centres)[rank - 1]
        return Interval(level=level, lower=float(lower), upper=float(upper))

    def response_probability(self, fold_predictions: Array, outcome: OutcomeDefinition) -> float | None:
        """Share of the plausible outcomes that are a response; None for outcomes without a response rule."""
        if outcome.response_threshold is None:
            return None
        return float(outcome.is_response(self.plausible_outcomes(fold_predictions)).mean())
