from __future__ import annotations

from dataclasses import replace

import numpy as np

from training.config import ExperimentConfig
from training.evaluation.conformal import count_covered
from training.evaluation.metrics import Interval, Metrics, PairedComparison
from training.evaluation.treatment_effect import BenefitAnalysis
from training.report.record_facts import (
    limits,
    limits_of_benefit,
    limits_of_groups,
    limits_of_intervals,
    people_per_arm,
    permutation_document,
    validation_sentence,
)
from training.training_table import TrainingTable

UNBEATEN = PairedComparison(1.0, Interval(-1.0, 3.0), Interval(-1.0, 3.0))
BEATEN = PairedComparison(2.0, Interval(1.0, 3.0), Interval(1.0, 3.0))
WEAK = Metrics(-0.1, Interval(-0.3, 0.1), 8.0, Interval(7.0, 9.0), 10.0, Interval(9.0, 11.0), None)


def test_weak_numbers_become_stated_limits(training_table: TrainingTable, config: ExperimentConfig) -> None:
    comparisons = {"constant": UNBEATEN, "arm only": BEATEN}
    found = " ".join(limits(training_table, config, metrics=WEAK, comparisons=comparisons, permutation=None))
    assert "R2 includes 0" in found
    assert "Not shown to be better than: constant." in found
    assert "not tested by permutation" in found
    assert "60 people are few" in found


def test_strong_numbers_leave_only_what_always_holds(training_table: TrainingTable, config: ExperimentConfig) -> None:
    strong = replace(WEAK, r2=0.4, r2_interval=Interval(0.2, 0.5))
    found = " ".join(limits(training_table, config, metrics=strong, comparisons={"constant": BEATEN}, permutation=None))
    assert "includes 0" not in found
    assert "Not shown" not in found
    assert "not validated in another cohort" in found


def test_people_are_counted_by_arm(training_table: TrainingTable) -> None:
    assert people_per_arm(training_table) == {"ketamine": 30, "midazolam": 30}


def test_the_folds_are_told_in_a_sentence(config: ExperimentConfig) -> None:
    assert validation_sentence(config) == "nested 2x5-fold, penalties tuned by inner 3-fold"
    left_out = replace(config.validation, scheme="leave_one_out", inner_folds="leave_one_out")
    said = validation_sentence(replace(config, validation=left_out))
    assert said == "nested leave-one-out, penalties tuned by inner leave-one-out"
    forest = replace(config, model=replace(config.model, primary="random_forest"))
    assert validation_sentence(forest) == "nested 2x5-fold, one setting without tuning"


def test_no_permutations_are_told_as_such() -> None:
    assert permutation_document(None) == {"p_value": None, "n_permutations": 0, "null_hypothesis": "not tested"}


def test_an_arm_below_the_promise_and_a_missing_benefit_become_limits() -> None:
    outcome, ends = np.tile([0.0, 0.0, 0.0, 5.0], 20), np.tile([-1.0, 1.0], (80, 1))
    lacking = count_covered(outcome, ends, arms=["midazolam", "ketamine"] * 40)
    assert "held only 50% of the people in the arm ketamine." in " ".join(limits_of_intervals(lacking))
    kept = count_covered(outcome * 0, ends, arms=["midazolam", "ketamine"] * 40)
    assert limits_of_intervals(kept) == []
    (unknown,) = limits_of_benefit(BenefitAnalysis("prognostic only", "there are no two arms to compare"))
    assert "prognostic only" in unknown
    assert limits_of_benefit(BenefitAnalysis("benefit shown")) == []


def test_repeated_visits_are_counted_as_persons_in_the_limits(training_table: TrainingTable) -> None:
    visits = replace(training_table, groups=tuple(f"p{row // 2}" for row in range(60)))
    assert limits_of_groups(visits) == ["60 rows of 30 families or persons: intervals and tests count 30, not 60."]
    assert limits_of_groups(training_table) == []
