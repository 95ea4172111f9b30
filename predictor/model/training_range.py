"""What the people were like that a model learned from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from predictor.errors import ModelBundleError
from predictor.model.linear_model import check_arrays, keep_prepared

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class TrainingRange:
    """Distribution of every input over the training people, and how far apart they lie from each other.

    `largest_distance` is the largest of the training people's own distances, each from the mean and spread of all
    others: a new person from the same population exceeds it with probability 1 / (n + 1), whatever the number of
    inputs. (A Mahalanobis distance would need more people than inputs.)
    """

    n_people: int
    n_features: int  # the first inputs; the rest are covariates
    mean: Array  # (n_inputs,), over the people who have the input
    sd: Array  # (n_inputs,), n - 1 in the denominator; 0 where constant
    minimum: Array  # (n_inputs,)
    maximum: Array  # (n_inputs,)
    background_mean: Array  # (n_inputs,), after imputation: the reference of the explanations
    largest_distance: float  # mean squared z over features, unitless
    largest_motion_mm: Mapping[str, float] = field(default_factory=dict)  # mean framewise displacement by kind of run
    spread: Array = field(init=False, repr=False)  # (n_inputs,), the standard deviation; NaN where constant

    def __post_init__(self) -> None:
        names = ("mean", "sd", "minimum", "maximum", "background_mean")
        check_arrays(self, {name: self.mean.shape for name in names})
        if self.mean.ndim != 1 or not 0 <= self.n_features <= len(self.mean):
            raise ModelBundleError("the training range must hold one number per input, features first.")
        if not (self.largest_distance >= 0 and math.isfinite(self.largest_distance)):
            raise ModelBundleError("the largest distance in training must be a finite number of at least 0.")
        keep_prepared(self, {"spread": np.where(self.sd > 0, self.sd, np.nan)})

    def standard_scores(self, inputs: Array) -> Array:
        """Distance of each input from the training mean in standard deviations, NaN where missing or constant."""
        return np.asarray((inputs - self.mean) / self.spread)

    def distance(self, inputs: Array) -> float:
        """Mean squared standard score over the features that are there; 0 when there are none."""
        return self.mean_square(self.standard_scores(inputs))

    def mean_square(self, scores: Array) -> float:
        """Mean square of the features' standard scores, those of all inputs given; 0 when there are none."""
        squared = scores[: self.n_features] ** 2
        known = squared[np.isfinite(squared)]
        return float(np.add.reduce(known)) / len(known) if len(known) else 0.0


def describe_training(
    raw_inputs: Array,
    *,
    n_features: int,
    background_mean: Array,
    motion_mm: Mapping[str, Array] | None = None,
) -> TrainingRange:
    """Summarise the training people.

    Parameters
    ----------
    raw_inputs
        `ResponseDesign.raw_inputs` of all training people, shape (n_people, n_inputs), NaN where missing.
    n_features
        How many of the inputs are features; they come first.
    background_mean
        Mean of the imputed inputs: `centre_` of the design fitted on all of them, shape (n_inputs,).
    motion_mm
        Mean framewise displacement of the training visits by kind of run, each (n_people,), NaN where unknown.

    Returns
    -------
    TrainingRange

    Raises
    ------
    ModelBundleError
        If an input is missing for everyone.
    """
    n_known = np.isfinite(raw_inputs).sum(axis=0)
    if (n_known == 0).any():
        raise ModelBundleError("every input needs a value from at least one training person.")
    largest = {
        kind: float(np.nanmax(values)) for kind, values in (motion_mm or {}).items() if np.isfinite(values).any()
    }
    minimum, maximum = np.nanmin(raw_inputs, axis=0), np.nanmax(raw_inputs, axis=0)
    deviation = raw_inputs - np.nanmean(raw_inputs, axis=0)
    squares = np.nansum(deviation**2, axis=0)
    return TrainingRange(
        n_people=len(raw_inputs),
        n_features=n_features,
        mean=np.nanmean(raw_inputs, axis=0),
        sd=np.where(minimum == maximum, 0.0, np.sqrt(squares / np.maximum(n_known - 1, 1))),
        minimum=minimum,
        maximum=maximum,
        background_mean=background_mean,
        largest_distance=_largest_distance(deviation[:, :n_features], squares[:n_features], n_known[:n_features]),
        largest_motion_mm=largest,
    )


def _largest_distance(deviation: Array, squares: Array, n_known: NDArray[np.int64]) -> float:
    """Largest mean squared z of a person against all others, each input's mean and spread without that person."""
    n = n_known.astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        from_others = deviation * (n / (n - 1))
        squares_of_others = squares - deviation**2 * (n / (n - 1))
        # Relative to rounding: of two people, or with one outlier among equals, the others have no spread.
        is_spread = squares_of_others > 1e-12 * squares
        squared = np.where(is_spread, from_others**2 * (n - 2) / squares_of_others, np.nan)
    distances = [float(row[np.isfinite(row)].mean()) for row in squared if np.isfinite(row).any()]
    return max(distances, default=0.0)
