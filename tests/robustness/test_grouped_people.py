"""Intervals and tests where rows are visits of the same people: too narrow without groups, right with them.

Quick by default; `KRP_COHORTS=400 python -m pytest tests/robustness/test_grouped_people.py -s` runs more.
"""

from __future__ import annotations

import os
from collections import defaultdict
from functools import cache

import numpy as np
import pytest
from scipy import stats

from predictor.model.outcome_definition import OutcomeDefinition
from training.evaluation.arm_interaction import interaction_test
from training.evaluation.calibration import Calibration, calibrate_outcome, calibrate_probability
from training.evaluation.classification import (
    ResponderMetrics,
    ResponseForecast,
    forecast_responses,
    measure_responders,
)
from training.evaluation.metrics import Interval, compare, measure
from training.evaluation.nested_cv import OutOfFold
from training.evaluation.resampling import effective_number
from training.evaluation.splits import stratified_folds

N_COHORTS = int(os.environ.get("KRP_COHORTS", "60"))  # 400 for numbers to quote
N_TRUTH, N_PEOPLE, N_VISITS, N_FOLDS = 400_000, 60, 4, 5
RESPONSE = OutcomeDefinition("response", "probability", "higher")


def strangers(rng: np.random.Generator, n_people: int) -> tuple[np.ndarray, np.ndarray]:
    """Probability of a response that means what it says, and whether there was one."""
    probability = 1 / (1 + np.exp(-1.1 * rng.standard_normal(n_people)))
    return probability, (rng.random(n_people) < probability).astype(float)


@cache
def truth() -> dict[str, float]:
    probability, outcome = strangers(np.random.default_rng(99), N_TRUTH)
    ranks, n_yes = stats.rankdata(probability), outcome.sum()
    brier = ((probability - outcome) ** 2).mean()
    return {
        "auc": (ranks[outcome == 1].sum() - n_yes * (n_yes + 1) / 2) / (n_yes * (N_TRUTH - n_yes)),
        "brier": brier,
        "slope": 1.0,
        "log odds slope": 1.0,
        "r2": 1 - brier / outcome.var(),
        "gain": outcome.var() - brier,
        "corrected gain": outcome.var() - brier,
    }


def intervals(seed: int, *, knows_groups: bool) -> dict[str, Interval]:
    """Intervals from a cohort in which everyone was seen several times."""
    rng = np.random.default_rng([seed, 5])
    probability, outcome = (np.repeat(of_person, N_VISITS) for of_person in strangers(rng, N_PEOPLE))
    people = np.repeat(np.arange(N_PEOPLE), N_VISITS)
    folds = stratified_folds(outcome, None, n_folds=N_FOLDS, rng=rng, groups=people if knows_groups else None)
    means = np.array([[outcome[folds != fold].mean() for fold in folds]])
    groups = people if knows_groups else None
    predicted = OutOfFold(outcome, probability[np.newaxis], means, folds[np.newaxis], (), groups)
    constant = OutOfFold(outcome, means, means, folds[np.newaxis], (), groups)
    forecast, gain = forecast_responses(predicted, RESPONSE), compare(predicted, constant, seed=seed)
    assert isinstance(forecast, ResponseForecast)
    line, logistic = calibrate_outcome(predicted), calibrate_probability(forecast)
    responders = measure_responders(forecast, seed=seed)
    assert isinstance(line, Calibration)
    assert isinstance(logistic, Calibration)
    assert isinstance(responders, ResponderMetrics)
    return {
        "auc": responders.auc_interval,
        "brier": responders.brier_interval,
        "slope": line.slope_interval,
        "log odds slope": logistic.slope_interval,
        "r2": measure(predicted, seed=seed).r2_interval,
        "gain": gain.bootstrap_interval,
        "corrected gain": gain.corrected_interval,
    }


def shares_held(*, knows_groups: bool) -> dict[str, float]:
    true, held = truth(), defaultdict(list)
    for seed in range(N_COHORTS):
        for name, one in intervals(seed, knows_groups=knows_groups).items():
            held[name].append(one.lower <= true[name] <= one.upper)
    found = {name: float(np.mean(one)) for name, one in held.items()}
    print("with groups" if knows_groups else "without groups", found)  # noqa: T201
    return found


def test_without_groups_intervals_of_people_seen_four_times_are_too_narrow() -> None:
    found = shares_held(knows_groups=False)
    assert max(found[name] for name in ("auc", "brier", "slope", "log odds slope", "r2", "gain")) < 0.85


def test_with_groups_the_same_intervals_hold_the_truth() -> None:
    assert min(shares_held(knows_groups=True).values()) > 0.87


def p_of_null(seed: int, *, knows_groups: bool, is_family: bool = False) -> float:
    """P of arm x feature where visits of one person share feature, arm and most of the outcome (not so families)."""
    rng = np.random.default_rng([seed, 6])
    n_people, n_visits = 40, 4
    people = np.repeat(np.arange(n_people), n_visits)
    is_treated = rng.permutation(np.arange(n_people) % 2 == 0)[people]
    if is_family:  # every family has as many members in both arms
        is_treated = np.tile([True, True, False, False], n_people)
    features = rng.standard_normal((n_people, 5))[people]
    own = (rng.standard_normal(n_people) * 10)[people] + 3 * rng.standard_normal(len(people))
    found = interaction_test(
        features, is_treated, np.zeros((len(people), 0)), 20 * is_treated + own + 4 * features[:, 0],
        names=list("abcde"), n_permutations=59, seed=seed, groups=people if knows_groups else None,
    )  # fmt: skip
    return found.p_any


@pytest.mark.parametrize("knows_groups", [True, False])
def test_arm_interaction_keeps_its_level_only_if_visits_of_a_person_stay_together(knows_groups: bool) -> None:
    level = np.mean([p_of_null(seed, knows_groups=knows_groups) <= 0.05 for seed in range(2 * N_COHORTS)])
    print(f"level {level:.3f}, knows groups: {knows_groups}")  # noqa: T201
    if knows_groups:
        assert level <= 0.05 + 2.5 * np.sqrt(0.05 * 0.95 / (2 * N_COHORTS))
    else:
        assert level > 0.2


def test_arm_interaction_keeps_its_level_where_relatives_are_in_different_arms() -> None:
    level = np.mean([p_of_null(seed, knows_groups=True, is_family=True) <= 0.05 for seed in range(2 * N_COHORTS)])
    print(f"level {level:.3f}, families across arms")  # noqa: T201
    assert level <= 0.05 + 2.5 * np.sqrt(0.05 * 0.95 / (2 * N_COHORTS))


@pytest.mark.parametrize("knows_groups", [True, False])
def test_the_interval_of_a_coverage_holds_only_if_people_who_belong_together_count_once(knows_groups: bool) -> None:
    rng, held = np.random.default_rng(7), []
    people = np.repeat(np.arange(50), 4)
    for _ in range(10 * N_COHORTS):
        is_inside = np.repeat(rng.random(50) < 0.9, 4)
        n_units = effective_number(is_inside, people if knows_groups else None)
        held.append(abs(is_inside.mean() - 0.9) <= 1.96 * np.sqrt(0.09 / n_units))
    print(f"held {np.mean(held):.3f}, knows groups: {knows_groups}")  # noqa: T201
    assert (np.mean(held) > 0.9) == knows_groups
