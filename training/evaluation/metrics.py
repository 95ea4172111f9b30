"""How well out-of-fold predictions do, and how sure one can be of it.

R2 compares squared errors with those of the *training-fold mean*, so that a model that knows nothing but the mean
scores exactly 0. Pearson's r is reported beside it and decides nothing: the leave-one-out predictions of the mean
correlate -1 with the outcome.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from training.evaluation.nested_cv import OutOfFold
from training.evaluation.resampling import bootstrap_weights

INTERVAL_LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Interval:
    """Lower and upper end, and how often such an interval holds the truth."""

    lower: float
    upper: float
    level: float = INTERVAL_LEVEL


@dataclass(frozen=True, slots=True)
class Metrics:
    """What one model achieved out of fold. MAE and RMSE are in the outcome's unit; r is for orientation only."""

    r2: float
    r2_interval: Interval
    mae: float
    mae_interval: Interval
    rmse: float
    rmse_interval: Interval
    pearson_r: float | None  # None: predictions or outcome do not vary
    pearson_r_interval: Interval | None = None


@dataclass(frozen=True, slots=True)
class NotReported:
    """A number that would mislead, or cannot be had, and why."""

    reason: str


@dataclass(frozen=True, slots=True)
class PairedComparison:
    """Squared error of a baseline minus that of the model, on the same folds; above 0, the model is better."""

    difference: float  # mean over people and repeats, in the outcome's unit squared
    corrected_interval: Interval  # Nadeau-Bengio: folds share training data
    bootstrap_interval: Interval  # over people, or groups


def r2_against_training_mean(predicted: OutOfFold) -> float:
    """Share of squared error that the model saves against the mean of the people it was trained on.

    1 - sum (y - prediction)^2 / sum (y - training-fold mean)^2, summed over people and repeats. At most 1; 0 for the
    constant model, exactly; negative for a model worse than the mean.
    """
    residual = ((predicted.outcome - predicted.prediction) ** 2).sum()
    total = ((predicted.outcome - predicted.training_mean) ** 2).sum()
    return float(1.0 - residual / total)


def measure(predicted: OutOfFold, *, seed: int) -> Metrics:
    """All metrics of one model, with percentile intervals of a bootstrap over people, or over groups as wholes.

    The intervals speak of other people scored by these models; they do not contain the variation from training anew.
    """
    squared = ((predicted.outcome - predicted.prediction) ** 2).mean(axis=0)
    reference = ((predicted.outcome - predicted.training_mean) ** 2).mean(axis=0)
    absolute = np.abs(predicted.outcome - predicted.prediction).mean(axis=0)
    weights = bootstrap_weights(len(predicted.outcome), seed=seed, groups=predicted.groups)
    pearson_r = _mean_pearson_r(predicted)
    return Metrics(
        r2=r2_against_training_mean(predicted),
        r2_interval=percentiles(1.0 - (weights @ squared) / (weights @ reference)),
        mae=float(absolute.mean()),
        mae_interval=percentiles(weights @ absolute),
        rmse=float(np.sqrt(squared.mean())),
        rmse_interval=percentiles(np.sqrt(weights @ squared)),
        pearson_r=pearson_r,
        pearson_r_interval=None if pearson_r is None else percentiles(_weighted_pearson_r(predicted, weights)),
    )


def compare(model: OutOfFold, baseline: OutOfFold, *, seed: int) -> PairedComparison:
    """How much smaller the model's squared error is than the baseline's, on the same people and folds.

    Raises
    ------
    ValueError
        If the two were not judged on the same folds.

    References
    ----------
    Nadeau C, Bengio Y (2003). Inference for the generalization error. Machine Learning 52:239-281.
    """
    if not np.array_equal(model.fold_index, baseline.fold_index):
        raise ValueError("models can only be compared on the same folds")
    gain = (baseline.outcome - baseline.prediction) ** 2 - (model.outcome - model.prediction) ** 2
    weights = bootstrap_weights(gain.shape[1], seed=seed, groups=model.groups)
    return PairedComparison(
        difference=float(gain.mean()),
        corrected_interval=corrected_interval(gain, model.fold_index),
        bootstrap_interval=percentiles(weights @ gain.mean(axis=0)),
    )


def corrected_interval(
    gain: NDArray[np.float64], fold_index: NDArray[np.intp], *, level: float = INTERVAL_LEVEL
) -> Interval:
    """Nadeau-Bengio interval of a mean gain: fold means vary less than fresh data would, so their variance is inflated.

    Parameters
    ----------
    gain
        Gain per person, shape (n_repeats, n_participants).
    fold_index
        Fold in which each person was held out, same shape.
    level
        Two-sided coverage.
    """
    n_participants = gain.shape[1]
    sums, sizes = [], []
    for repeat, folds in zip(gain, fold_index, strict=True):
        for fold in np.unique(folds):
            sums.append(repeat[folds == fold].sum())
            sizes.append(int((folds == fold).sum()))
    n_folds, n_test, centre = len(sizes), float(np.mean(sizes)), float(gain.mean())
    deviation = np.asarray(sums) - np.asarray(sizes) * centre  # a large fold moves the mean more than a small one
    variance = n_folds / (n_folds - 1) * float((deviation**2).sum()) / gain.size**2
    inflation = 1.0 + n_folds * n_test / (n_participants - n_test)
    half = stats.t.ppf(0.5 + level / 2, n_folds - 1) * np.sqrt(inflation * variance)
    return Interval(centre - float(half), centre + float(half), level)


def percentiles(draws: NDArray[np.float64], *, level: float = INTERVAL_LEVEL) -> Interval:
    """Middle part of the draws; draws that are NaN (a resample without pairs to compare) do not count."""
    draws = draws[~np.isnan(draws)]
    lower, upper = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(lower), float(upper), level)


def _mean_pearson_r(predicted: OutOfFold) -> float | None:
    """Mean over repeats of the correlation between outcome and out-of-fold prediction."""
    correlations = []
    for prediction in predicted.prediction:
        if np.ptp(prediction) == 0 or np.ptp(predicted.outcome) == 0:
            return None
        correlations.append(np.corrcoef(prediction, predicted.outcome)[0, 1])
    return float(np.mean(correlations))


def _weighted_pearson_r(predicted: OutOfFold, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean correlation over repeats in every resample, shape (n_draws,); NaN where something does not vary."""
    outcome = predicted.outcome - predicted.outcome.mean()
    variance = weights @ outcome**2 - (weights @ outcome) ** 2
    total = np.zeros(len(weights))
    for prediction in predicted.prediction:
        centred = prediction - prediction.mean()
        covariance = weights @ (centred * outcome) - (weights @ centred) * (weights @ outcome)
        spread = (weights @ centred**2 - (weights @ centred) ** 2) * variance
        total += covariance / np.sqrt(np.where(spread > 0, spread, np.nan))
    return np.asarray(np.clip(total / len(predicted.prediction), -1.0, 1.0))
