"""Whether 95 % intervals of AUC, slope, R2 and the Brier score hold the truth in 95 % of cohorts.

The prediction is a fixed rule, so that the truth is known; intervals do not claim to hold the variation of training.
Not part of the quick tests: `python -m pytest tests/robustness/test_metric_intervals.py` (some minutes).
`KRP_COHORTS=60` runs fewer.
"""

from __future__ import annotations

import os

import numpy as np
import pytest
from scipy import stats

from predictor.model.outcome_definition import OutcomeDefinition
from training.evaluation.calibration import Calibration, calibrate_outcome, calibrate_probability
from training.evaluation.classification import (
    ResponderMetrics,
    ResponseForecast,
    forecast_responses,
    measure_responders,
)
from training.evaluation.metrics import Interval, measure
from training.evaluation.nested_cv import OutOfFold
from training.evaluation.splits import stratified_folds

N_COHORTS = int(os.environ.get("KRP_COHORTS", "400"))
N_TRUTH = 400_000
RESPONSE = OutcomeDefinition("response", "probability", "higher")


def cohort(rng: np.random.Generator, n_people: int) -> tuple[np.ndarray, np.ndarray]:
    """Probability of a response that means what it says, and whether there was one."""
    probability = 1 / (1 + np.exp(-1.1 * rng.standard_normal(n_people)))
    return probability, (rng.random(n_people) < probability).astype(float)


def truth() -> dict[str, float]:
    probability, outcome = cohort(np.random.default_rng(99), N_TRUTH)
    ranks = stats.rankdata(probability)
    n_yes = outcome.sum()
    brier = ((probability - outcome) ** 2).mean()
    return {
        "auc": (ranks[outcome == 1].sum() - n_yes * (n_yes + 1) / 2) / (n_yes * (N_TRUTH - n_yes)),
        "brier": brier,
        "slope": 1.0,
        "log odds slope": 1.0,
        "r2": 1 - brier / outcome.var(),
    }


def intervals(seed: int, n_people: int) -> dict[str, Interval]:
    rng = np.random.default_rng([seed, n_people])
    probability, outcome = cohort(rng, n_people)
    folds = stratified_folds(outcome, None, n_folds=5, rng=rng)
    means = np.array([[outcome[folds != fold].mean() for fold in folds]])
    predicted = OutOfFold(outcome, probability[np.newaxis], means, folds[np.newaxis], ())
    forecast = forecast_responses(predicted, RESPONSE)
    assert isinstance(forecast, ResponseForecast)
    responders, line = measure_responders(forecast, seed=seed), calibrate_outcome(predicted)
    logistic = calibrate_probability(forecast)
    assert isinstance(line, Calibration)
    found = {"slope": line.slope_interval, "r2": measure(predicted, seed=seed).r2_interval}
    if isinstance(responders, ResponderMetrics):
        found |= {"auc": responders.auc_interval, "brier": responders.brier_interval}
    if isinstance(logistic, Calibration):
        found["log odds slope"] = logistic.slope_interval
    return found


@pytest.mark.parametrize("n_people", [40, 120])
def test_intervals_hold_the_truth_about_as_often_as_they_say(n_people: int) -> None:
    true = truth()
    found = [intervals(seed, n_people) for seed in range(N_COHORTS)]
    for name, value in true.items():
        ends = [of[name] for of in found if name in of]
        covered = np.mean([one.lower <= value <= one.upper for one in ends])
        print(f"n = {n_people}, {name}: {covered:.3f} of {len(ends)}")  # noqa: T201
        assert covered >= 0.88
        assert covered <= 0.995
