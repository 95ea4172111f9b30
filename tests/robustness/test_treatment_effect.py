"""Benefit apart from prognosis over simulated trials: level, power, and what the intervals hold.

Table level: the trial's own people and CAPS-5 (`krp simulate`), with features drawn from their true inhibition in
place of scans. Not part of the quick tests: `python -m pytest tests/robustness/test_treatment_effect.py -s` (some
minutes).
"""

from __future__ import annotations

import os
from functools import cache

import numpy as np
import pandas as pd
import pytest
from joblib import Parallel, delayed
from scipy import stats

from predictor.circuit.circuit import load_circuit
from predictor.features.feature_vector import FeatureDefinition
from predictor.model.outcome_definition import Covariate, OutcomeDefinition
from training.config import ModelConfig, ValidationConfig
from training.evaluation.arm_interaction import LEVEL
from training.evaluation.splits import stratified_folds
from training.evaluation.treatment_effect import BenefitAnalysis, analyse_benefit
from training.extraction.feature_table import FeatureTable
from training.models.estimators import make_estimator
from training.simulation.planted_truth import TARGET_RELIABILITY
from training.simulation.trial import (
    ARMS,
    DEFAULT_STRENGTH,
    Effect,
    SimulatedPerson,
    TrialPlan,
    improvement_percent,
    inhibition_sd,
    outcome_model,
    participants_table,
    simulate_people,
)
from training.training_table import TrainingTable

N_TRIALS = int(os.environ.get("KRP_TRIALS", "200"))  # fewer only to try the file out
N_PEOPLE, N_FEATURES, N_CARRIERS, N_PERMUTATIONS, N_FOLDS = 200, 40, 2, 199, 5
COVARIATES = (
    Covariate("arm", "category", ARMS, "arm"),
    Covariate("caps5_total_baseline", "number", role="clinical"),
    Covariate("site", "category", ("centre", "north", "south"), "site"),
)


def features_of(people: tuple[SimulatedPerson, ...], rng: np.random.Generator) -> pd.DataFrame:
    """Correlated measures; the first two carry the true inhibition with the reliability that scans aim at."""
    values = 0.5 * rng.standard_normal((len(people), 1)) + rng.standard_normal((len(people), N_FEATURES))
    truth = np.array([inhibition_sd(person.coupling) for person in people])
    noise = rng.standard_normal((len(people), N_CARRIERS))
    values[:, :N_CARRIERS] = np.sqrt(TARGET_RELIABILITY) * truth[:, None] + np.sqrt(1 - TARGET_RELIABILITY) * noise
    names = [f"rest_fisher_z__r{number}__s" for number in range(N_FEATURES)]
    return pd.DataFrame(values, pd.Index([person.participant_id for person in people]), names)


def trial_table(
    effect: Effect, seed: int, *, n_people: int = N_PEOPLE, strength: float = DEFAULT_STRENGTH
) -> tuple[TrainingTable, np.ndarray]:
    """Return a trial, and the true mean benefit of everyone in percent."""
    plan = TrialPlan(n_patients=n_people, n_controls=0, seed=seed, effect=effect, strength=strength)
    people = simulate_people(plan, load_circuit())
    known = participants_table(people)
    values = features_of(people, np.random.default_rng([seed, 1]))
    before, after = (known[f"caps5_total_{when}"].to_numpy(np.float64) for when in ("baseline", "followup"))
    model = outcome_model(effect, strength)
    slope = model.inhibition_slope_percent
    truth = np.array([inhibition_sd(person.coupling) for person in people])
    benefit = model.mean_percent[ARMS[0]] - model.mean_percent[ARMS[1]] + (slope[ARMS[0]] - slope[ARMS[1]]) * truth
    definitions = tuple(
        FeatureDefinition(name, "Fisher z", "rest_fisher_z", "rest", "r-s", "a number") for name in values
    )
    features = FeatureTable(
        values=values,
        definitions=definitions,
        recipe=None,
        recipe_hashes=pd.Series("sha256:" + "a" * 64, index=values.index),
        quality=pd.DataFrame(index=values.index),
        digest="sha256:" + "b" * 64,
        standard_errors=pd.DataFrame(np.nan, index=values.index, columns=values.columns),
    )
    columns = known[["arm", "caps5_total_baseline", "site"]].astype({"arm": object, "site": object})
    table = TrainingTable(
        inputs=pd.concat([values, columns.astype({"caps5_total_baseline": float})], axis=1),
        outcome=improvement_percent(before, after),
        outcome_definition=OutcomeDefinition("caps5_percent_improvement", "percent", "higher"),
        definitions=definitions,
        covariates=COVARIATES,
        demographic=(),
        motion_columns=(),
        features=features,
        left_out=(),
    )
    return table, benefit


def analyse(effect: Effect, seed: int) -> tuple[BenefitAnalysis, np.ndarray]:
    table, benefit = trial_table(effect, seed)
    estimator = make_estimator(
        "ridge",
        covariates=table.covariates,
        arm_interactions=True,
        model=ModelConfig(primary="ridge"),
        validation=ValidationConfig(inner_folds=5),
    )
    folds = stratified_folds(table.outcome, table.arms, n_folds=N_FOLDS, rng=np.random.default_rng(seed))
    found = analyse_benefit(table, estimator, folds[np.newaxis], seed=seed, n_permutations=N_PERMUTATIONS)
    return found, benefit


@cache
def analyses(effect: Effect) -> list[tuple[BenefitAnalysis, np.ndarray]]:
    """Analyse all trials of one kind once for all tests."""
    return list(Parallel(n_jobs=os.cpu_count())(delayed(analyse)(effect, seed) for seed in range(N_TRIALS)))


def say(text: str) -> None:
    print(text)  # noqa: T201


def share_called_benefit(effect: Effect) -> int:
    return sum(found.status == "benefit shown" for found, _ in analyses(effect))


def test_a_ketamine_only_effect_is_called_benefit_and_the_power_is_printed() -> None:
    n_found = share_called_benefit("ketamine-only")
    carriers = {f"rest_fisher_z__r{number}__s" for number in range(N_CARRIERS)}
    n_named = 0
    for found, _ in analyses("ketamine-only"):
        assert found.interaction is not None
        assert found.interaction.strongest is not None
        n_named += found.interaction.names[found.interaction.strongest] in carriers
    say(f"power {n_found}/{N_TRIALS} at n = {N_PEOPLE}; the strongest feature is a planted one in {n_named}")
    assert n_found >= 0.9 * N_TRIALS
    assert n_named >= 0.9 * N_TRIALS


def is_found(n_people: int, strength: float, seed: int) -> bool:
    """Whether the test alone, without learners, calls benefit in one trial."""
    table, _ = trial_table("ketamine-only", seed, n_people=n_people, strength=strength)
    no_folds = np.zeros((1, n_people), dtype=np.intp)  # the learners refuse these at once
    found = analyse_benefit(table, None, no_folds, seed=seed, n_permutations=N_PERMUTATIONS)
    return found.status == "benefit shown"


def test_power_is_printed_for_other_cohorts_and_weaker_effects_and_falls_with_both() -> None:
    power = {}
    for n_people, strength in ((200, 0.35), (200, 0.1), (200, 0.05), (60, 0.35), (22, 0.35)):
        draws = Parallel(n_jobs=os.cpu_count())(
            delayed(is_found)(n_people, strength, seed) for seed in range(N_TRIALS // 2)
        )
        power[n_people, strength] = np.mean(list(draws))
        say(f"n = {n_people}, {strength:.0%} of the variance planted: power {power[n_people, strength]:.2f}")
    assert power[200, 0.35] >= power[200, 0.1] > power[200, 0.05]
    assert power[200, 0.35] >= power[60, 0.35] > power[22, 0.35]


@pytest.mark.parametrize("effect", ["prognostic", "null"])
def test_without_an_effect_of_the_arm_benefit_is_called_at_most_at_the_nominal_rate(effect: Effect) -> None:
    n_found = share_called_benefit(effect)
    highest = int(stats.binom.ppf(0.99, N_TRIALS, LEVEL))
    say(f"{effect}: called benefit in {n_found}/{N_TRIALS} (at most {highest} at level {LEVEL})")
    assert n_found <= highest


def test_learners_order_people_by_a_planted_benefit_and_stay_at_chance_without_one() -> None:
    middle = {}
    for effect in ("ketamine-only", "prognostic", "null"):
        for learner in ("s", "t"):
            results = [found.learners[learner] for found, _ in analyses(effect)]
            c = np.array([one.concordance.value for one in results if one.concordance])
            slopes = np.array([one.calibration.slope for one in results if one.calibration.slope is not None])
            lower = [one.calibration.slope_interval.lower for one in results if one.calibration.slope_interval]
            n_above = int((np.array(lower) > 0).sum())
            middle[effect, learner] = float(c.mean())
            error = c.std() / np.sqrt(len(c))
            say(f"{effect} {learner}: C {c.mean():.3f} (se {error:.3f}), slope median {np.median(slopes):.2f}, "
                f"lower end above 0 in {n_above}/{len(slopes)}")  # fmt: skip
            if effect == "ketamine-only":
                assert c.mean() > 0.55
                assert n_above > 0.8 * N_TRIALS
            else:
                assert c.mean() == pytest.approx(0.5, abs=max(4 * error, 0.005))
                assert n_above <= stats.binom.ppf(0.999, N_TRIALS, 0.025)


@pytest.mark.parametrize("effect", ["ketamine-only", "prognostic", "null"])
@pytest.mark.parametrize("learner", ["s", "t"])
def test_intervals_hold_the_mean_benefit_of_people_with_the_same_prediction(effect: Effect, learner: str) -> None:
    inside = []
    for found, truth in analyses(effect):
        one = found.learners[learner]  # type: ignore[index]
        predicted = one.predicted.deviation.mean(axis=0)
        line = np.polynomial.Polynomial.fit(predicted, truth, 1 if np.ptp(predicted) > 0 else 0)
        conditional_mean = line(predicted)
        inside.append(
            ((one.calibration.lower <= conditional_mean) & (conditional_mean <= one.calibration.upper)).mean()
        )
    coverage, error = np.mean(inside), np.std(inside) / np.sqrt(len(inside))
    say(f"{effect} {learner}: 90 % intervals hold the conditional mean for {coverage:.3f} (se {error:.3f})")
    # Too careful where predictions carry a signal, see `benefit_calibration`; never too narrow.
    assert coverage >= 0.9 - 0.03 - 3 * error
