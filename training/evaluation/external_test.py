"""One look at people whom no step of training has seen: a locked model's predictions beside simple baselines.

R2 is against the mean of the *training* people, as everywhere; the intervals are bootstraps over the tested people and
do not contain the variation from training anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from predictor.errors import TrainingError
from training.evaluation.metrics import Interval, Metrics, measure, percentiles
from training.evaluation.nested_cv import OutOfFold
from training.evaluation.resampling import bootstrap_weights

FloatArray = NDArray[np.float64]
N_PERMUTATIONS = 9999


@dataclass(frozen=True, slots=True)
class TestedModel:
    """One model on the tested people."""

    name: str
    metrics: Metrics
    gain: float | None  # squared error of this model minus that of the locked one; None for the locked one itself
    gain_interval: Interval | None


@dataclass(frozen=True, slots=True)
class ExternalTest:
    """What a locked model achieved on other people; the locked model comes first."""

    n_people: int
    models: tuple[TestedModel, ...]
    p_value: float  # of R2, when outcomes are permuted over the tested people
    n_permutations: int


def external_test(
    prediction: FloatArray,
    outcome: FloatArray,
    *,
    training_mean: float,
    baselines: Mapping[str, FloatArray],
    seed: int = 0,
    n_permutations: int = N_PERMUTATIONS,
) -> ExternalTest:
    """Judge a locked model on other people.

    Parameters
    ----------
    prediction, outcome
        Shape (n_people,), the outcome's unit.
    training_mean
        Mean outcome of the people whom the model was trained on.
    baselines
        Predictions for the same people by name, from models that were fitted on the training people.
    seed
        Of bootstrap and permutations.
    n_permutations
        Permuted outcomes; the predictions stay, so that thousands cost nothing.

    Raises
    ------
    TrainingError
        If fewer than three people are tested, or a number is missing.
    """
    if len(outcome) < 3 or not all(np.isfinite(one).all() for one in (prediction, outcome, *baselines.values())):
        raise TrainingError("expected predictions and outcomes of at least 3 people, none missing.", where="test")

    def judged(name: str, predicted: FloatArray) -> TestedModel:
        """Metrics of one model, and by how much the locked one's error is smaller."""
        folds = np.zeros((1, len(outcome)), dtype=np.intp)
        constant = np.full((1, len(outcome)), training_mean)
        metrics = measure(OutOfFold(outcome, predicted[np.newaxis], constant, folds, ()), seed=seed)
        if predicted is prediction:
            return TestedModel(name, metrics, None, None)
        gain = (outcome - predicted) ** 2 - (outcome - prediction) ** 2
        drawn = bootstrap_weights(len(outcome), seed=seed) @ gain
        return TestedModel(name, metrics, float(gain.mean()), percentiles(drawn))

    others = {"constant": np.full(len(outcome), training_mean), **baselines}
    models = (judged("locked model", prediction), *(judged(name, one) for name, one in others.items()))
    p_value = _p_value(prediction, outcome, training_mean, n_permutations, np.random.default_rng(seed))
    return ExternalTest(len(outcome), models, p_value, n_permutations)


def _p_value(
    prediction: FloatArray, outcome: FloatArray, training_mean: float, n_permutations: int, rng: np.random.Generator
) -> float:
    """Return the share of permutations with an R2 at least as large, the observed one counted among them.

    Permuting leaves sums of squares as they are, so that R2 rises with the sum of products alone.
    """
    centred = prediction - training_mean
    observed = float(centred @ outcome)
    drawn = np.array([centred @ rng.permutation(outcome) for _ in range(n_permutations)])
    tolerance = 1e-12 * max(1.0, abs(observed))
    return float((1 + np.count_nonzero(drawn >= observed - tolerance)) / (1 + n_permutations))
