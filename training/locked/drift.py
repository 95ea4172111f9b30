"""How new people differ from those a model was trained on, and how its errors do.

Features: the standardised mean difference, the share outside the training range, and Kolmogorov and Smirnov's test with
Holm's correction. The bundle keeps quantiles of the inputs, not the people's values, so the training distribution is
taken to be straight between them. Performance: what cross-validation promised beside what was found; the training
people and the new ones are resampled apart.

References
----------
Holm S (1979). A simple sequentially rejective multiple test procedure. Scand J Statist 6:65-70.
Austin PC (2009). Balance diagnostics for comparing the distribution of baseline covariates. Stat Med 28:3083-3107.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from predictor.model.bundle import ModelBundle
from predictor.model.out_of_fold import OutOfFoldResiduals
from training.evaluation.duplicates import CONTINUOUS_SHARE
from training.evaluation.metrics import Interval, percentiles
from training.evaluation.resampling import bootstrap_weights
from training.evaluation.small_cells import FEWEST_SHOWN
from training.locked.locked_reference import QUANTILES

Floats = NDArray[np.float64]

SIGNIFICANCE = 0.05
LARGE_DIFFERENCE = 0.5  # standard deviations; Cohen's medium effect [assumed]
SHOWN = 20


@dataclass(frozen=True, slots=True)
class InputDrift:
    """One input of the model, here against training."""

    name: str
    mean_difference: float | None  # in standard deviations (both groups' variances averaged); None: too few people
    outside_range: float | None  # share below the training minimum or above its maximum; None: too few people
    missing: float  # share
    ks_statistic: float | None  # largest distance of the two distribution functions; None: not kept, or too few
    ks_p_value: float | None  # Holm-corrected over all inputs tested


@dataclass(frozen=True, slots=True)
class FeatureDrift:
    """All inputs that the model uses."""

    inputs: tuple[InputDrift, ...]  # strongest drift first
    n_tested: int

    @property
    def n_shifted(self) -> int:
        """Inputs whose distribution differs (Holm-corrected)."""
        return sum(one.ks_p_value is not None and one.ks_p_value < SIGNIFICANCE for one in self.inputs)

    def document(self) -> dict[str, Any]:
        """Return aggregates as JSON; the inputs with the strongest drift, the rest counted."""
        differences = np.array([abs(one.mean_difference) for one in self.inputs if one.mean_difference is not None])
        outside = [one.outside_range for one in self.inputs if one.outside_range is not None]
        return {
            "n_inputs": len(self.inputs),
            "n_tested": self.n_tested,
            "n_shifted": self.n_shifted,
            "significance": SIGNIFICANCE,
            "median_mean_difference": float(np.median(differences)) if len(differences) else None,
            "n_large_differences": int((differences > LARGE_DIFFERENCE).sum()),
            "large_difference": LARGE_DIFFERENCE,
            "mean_share_outside_range": float(np.mean(outside)) if outside else None,
            "inputs": [asdict(one) for one in self.inputs[:SHOWN]],
            "n_not_shown": max(0, len(self.inputs) - SHOWN),
        }


@dataclass(frozen=True, slots=True)
class Change:
    """One number in training and here."""

    in_training: float
    in_training_interval: Interval
    here: float
    difference: float  # here minus training
    difference_interval: Interval


def feature_drift(inputs: Floats, bundle: ModelBundle, quantiles: Mapping[str, Floats]) -> FeatureDrift:
    """Compare the model's inputs with those of its training people.

    Parameters
    ----------
    inputs
        Inputs of the new people as the model sees them, shape (n_people, n_inputs), NaN where missing.
    bundle
        The model, with mean, spread and range of its training people.
    quantiles
        Input name -> training values at `QUANTILES`.
    """
    names, training = bundle.model.input_names, bundle.training_range
    used = np.flatnonzero(bundle.model.is_used)
    tests = {
        number: _kolmogorov_smirnov(inputs[:, number], quantiles[names[number]], training.n_people)
        for number in used.tolist()
        if _is_continuous(quantiles.get(names[number])) and np.isfinite(inputs[:, number]).sum() >= FEWEST_SHOWN
    }
    corrected = dict(zip(tests, _holm([p for _, p in tests.values()]), strict=True))
    found = [
        InputDrift(
            name=names[number],
            mean_difference=_difference(inputs[:, number], float(training.mean[number]), float(training.sd[number])),
            outside_range=_outside(inputs[:, number], float(training.minimum[number]), float(training.maximum[number])),
            missing=float(np.isnan(inputs[:, number]).mean()),
            ks_statistic=tests[number][0] if number in tests else None,
            ks_p_value=corrected.get(number),
        )
        for number in used.tolist()
    ]
    found.sort(key=lambda one: -abs(one.mean_difference or 0.0))
    return FeatureDrift(tuple(found), len(tests))


def performance_drift(
    residuals: OutOfFoldResiduals, prediction: Floats, outcome: Floats, *, training_mean: float, seed: int
) -> dict[str, Change]:
    """Return R2, MAE and bias in cross-validation and here.

    Parameters
    ----------
    residuals
        Of the training people, out of fold.
    prediction, outcome
        Of the new people, shape (n_people,), the outcome's unit.
    training_mean
        Mean outcome of the training people.
    seed
        Of the bootstraps.

    Returns
    -------
    dict
        "r2" (against the training mean on both sides), "mae" and "bias" (predicted minus observed), in the outcome's
        unit. The intervals do not contain the variation from training anew.
    """
    observed = residuals.prediction + residuals.residual
    means = np.array([observed[residuals.fold_index != fold].mean() for fold in residuals.fold_index])
    then = _resampled(-residuals.residual, observed - means, seed=seed)
    now = _resampled(prediction - outcome, outcome - training_mean, seed=seed + 1)
    return {
        name: Change(
            in_training=then[name][0],
            in_training_interval=percentiles(then[name][1]),
            here=now[name][0],
            difference=now[name][0] - then[name][0],
            difference_interval=percentiles(now[name][1] - then[name][1]),
        )
        for name in then
    }


def _resampled(error: Floats, from_mean: Floats, *, seed: int) -> dict[str, tuple[float, Floats]]:
    """Value of each measure, and its values in the bootstrap over people."""
    weights = np.vstack([np.full(len(error), 1 / len(error)), bootstrap_weights(len(error), seed=seed)])
    values = {
        "r2": 1 - (weights @ error**2) / (weights @ from_mean**2),
        "mae": weights @ np.abs(error),
        "bias": weights @ error,
    }
    return {name: (float(one[0]), one[1:]) for name, one in values.items()}


def _is_continuous(quantiles: Floats | None) -> bool:
    """Whether the test fits: it is too timid for indicators and counts."""
    return quantiles is not None and len(np.unique(quantiles)) >= CONTINUOUS_SHARE * len(quantiles)


def _difference(values: Floats, mean: float, sd: float) -> float | None:
    known = values[np.isfinite(values)]
    if len(known) < FEWEST_SHOWN:
        return None
    pooled = float(np.sqrt((known.var(ddof=1) + sd**2) / 2))
    return float((known.mean() - mean) / pooled) if pooled > 0 else 0.0


def _outside(values: Floats, lowest: float, highest: float) -> float | None:
    known = values[np.isfinite(values)]
    return float(((known < lowest) | (known > highest)).mean()) if len(known) >= FEWEST_SHOWN else None


def _kolmogorov_smirnov(values: Floats, quantiles: Floats, n_training: int) -> tuple[float, float]:
    """Distance of the distribution functions, and its p for two samples."""
    known = np.sort(values[np.isfinite(values)])
    n_here = len(known)
    # Of equal quantiles the highest level counts: so many people had at most this value.
    distinct, last = np.unique(quantiles[::-1], return_index=True)
    levels = np.array(QUANTILES)[::-1][last]
    expected = np.interp(known, distinct, levels, left=0.0, right=1.0)
    above = np.searchsorted(known, known, side="right") / n_here - expected
    below = expected - np.searchsorted(known, known, side="left") / n_here
    statistic = float(max(above.max(), below.max(), 0.0))
    effective = n_here * n_training / (n_here + n_training)
    return statistic, float(stats.kstwobign.sf(statistic * np.sqrt(effective)))


def _holm(p_values: list[float]) -> list[float]:
    """Holm's corrected p values, in the given order."""
    order = np.argsort(p_values, kind="stable")
    corrected, largest = np.empty(len(p_values)), 0.0
    for rank, number in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[number]))
        corrected[number] = largest
    return [float(one) for one in corrected]
