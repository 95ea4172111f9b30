"""Coverage of the 90 % intervals that answers carry, over 60 simulated cohorts of 40 to 160 people.

Not part of the quick tests: `python -m pytest tests/robustness/test_interval_coverage.py` (some minutes).
`KRP_COHORTS=12` runs fewer.
"""

from __future__ import annotations

import os

import numpy as np
import pandas as pd
import pytest

from predictor.model.out_of_fold import OutOfFoldResiduals
from predictor.model.outcome_definition import Covariate
from training.config import ModelConfig, ValidationConfig
from training.evaluation.conformal import cv_plus_intervals, realised_coverage
from training.evaluation.nested_cv import fit_fold
from training.evaluation.splits import PartitionMaker, stratified_folds, train_and_test
from training.models.estimators import make_estimator

N_COHORTS = int(os.environ.get("KRP_COHORTS", "60"))
N_NEW, N_FEATURES, N_FOLDS, LEVEL = 200, 12, 10, 0.9
ARM = Covariate("arm", "category", ("ketamine", "midazolam"), "arm")


def people(
    rng: np.random.Generator, n_people: int, *, scan_noise: float, slope: float = 8.0
) -> tuple[pd.DataFrame, np.ndarray]:
    """Two arms, one feature that matters under ketamine only, heavy-tailed outcomes; features measured with noise."""
    true = rng.standard_normal((n_people, N_FEATURES))
    measured = true + scan_noise * rng.standard_normal(true.shape)
    inputs = pd.DataFrame(measured, columns=[f"rest_fisher_z__r{number}__s" for number in range(N_FEATURES)])
    is_ketamine = np.arange(n_people) % 2 == 0
    inputs["arm"] = pd.Series(np.where(is_ketamine, "ketamine", "midazolam"), dtype=object)
    outcome = 20 + 15 * is_ketamine + slope * is_ketamine * true[:, 0] + 12 * rng.standard_t(5, n_people)
    return inputs, outcome


def elastic_net(seed: int) -> object:
    return make_estimator(
        "elastic_net",
        covariates=(ARM,),
        arm_interactions=True,
        model=ModelConfig(),
        validation=ValidationConfig(seed=seed),
    )


def coverage_of_new_people(seed: int, *, scan_noise: float) -> float:
    """Share of new people in the intervals that a bundle trained on one cohort gives them."""
    rng = np.random.default_rng([seed, 3])
    n_people = int(rng.integers(20, 81)) * 2
    inputs, outcome = people(rng, n_people, scan_noise=scan_noise)
    new_inputs, new_outcome = people(rng, N_NEW, scan_noise=scan_noise)
    folds = stratified_folds(outcome, list(inputs["arm"]), n_folds=N_FOLDS, rng=rng)
    prediction, of_new = np.empty(n_people), []
    for train, test in train_and_test(folds):
        fitted = fit_fold(elastic_net(seed), inputs, outcome, train)
        prediction[test] = fitted.predict(inputs.iloc[test])
        of_new.append(fitted.predict(new_inputs))
    residuals = OutOfFoldResiduals(
        folds.astype(np.int64), np.zeros(n_people, dtype=np.int64), prediction, outcome - prediction
    )
    ends = cv_plus_intervals(np.stack(of_new), residuals, level=LEVEL)
    return float(((ends[:, 0] <= new_outcome) & (new_outcome <= ends[:, 1])).mean())


@pytest.mark.parametrize("scan_noise", [0.0, 0.7], ids=["exact features", "noisy features"])
def test_ninety_percent_intervals_hold_about_ninety_percent_of_new_people(scan_noise: float) -> None:
    realised = np.array([coverage_of_new_people(seed, scan_noise=scan_noise) for seed in range(N_COHORTS)])
    low, high = np.quantile(realised, [0.05, 0.95])
    print(f"coverage of {N_COHORTS} cohorts: mean {realised.mean():.3f}, 5 % to 95 % {low:.3f} to {high:.3f}")  # noqa: T201
    assert 0.87 <= realised.mean() <= 0.95


def test_the_coverage_that_an_experiment_reports_is_that_of_new_people() -> None:
    reported = []
    for seed in range(max(N_COHORTS // 10, 2)):
        rng = np.random.default_rng([seed, 4])
        inputs, outcome = people(rng, 80, scan_noise=0.7)
        arms = tuple(inputs["arm"])
        folds = stratified_folds(outcome, arms, n_folds=5, rng=rng)
        found = realised_coverage(
            elastic_net(seed), inputs, outcome, folds, make_partition=PartitionMaker(arms, 5), seed=seed
        )
        print(*found.lines())  # noqa: T201
        reported.append(found.realised)
    assert 0.85 <= np.mean(reported) <= 0.96
