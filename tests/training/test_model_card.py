from __future__ import annotations

import json
from dataclasses import replace

import numpy as np

from training.config import ExperimentConfig
from training.evaluation.conformal import count_covered
from training.evaluation.metrics import Interval, NotReported, PairedComparison
from training.evaluation.treatment_effect import BenefitAnalysis
from training.experiment import ExperimentResult
from training.model_card import limits_of_benefit, limits_of_groups, limits_of_intervals, make_card
from training.promotion_gate import REQUIRED_CARD_ENTRIES
from training.training_table import TrainingTable

UNBEATEN = PairedComparison(1.0, Interval(-1.0, 3.0), Interval(-1.0, 3.0))
BEATEN = PairedComparison(2.0, Interval(1.0, 3.0), Interval(1.0, 3.0))


def test_the_card_is_complete_and_fit_for_json(
    result: ExperimentResult, training_table: TrainingTable, config: ExperimentConfig
) -> None:
    card = make_card(
        training_table,
        config,
        metrics=result.primary.metrics,
        comparisons={"constant": BEATEN},
        permutation=result.permutation,
    )
    assert set(REQUIRED_CARD_ENTRIES) <= set(card)
    assert card["n_per_arm"] == {"ketamine": 30, "midazolam": 30}
    assert json.loads(json.dumps(card, allow_nan=False)) == card


def test_weak_numbers_become_stated_limits(
    result: ExperimentResult, training_table: TrainingTable, config: ExperimentConfig
) -> None:
    weak = replace(result.primary.metrics, r2=-0.1, r2_interval=Interval(-0.3, 0.1))
    card = make_card(
        training_table,
        config,
        metrics=weak,
        comparisons={"constant": UNBEATEN, "arm only": BEATEN},
        permutation=None,
    )
    limits = " ".join(card["limits"])
    assert "R2 includes 0" in limits
    assert "Not shown to be better than: constant." in limits
    assert "not tested by permutation" in limits
    assert "60 people are few" in limits


def test_the_bundles_card_says_calibration_power_coverage_by_arm_and_the_verdict_on_benefit(
    result: ExperimentResult,
) -> None:
    assert result.bundle is not None
    card = result.bundle.card
    assert result.coverage is not None
    slope = result.primary.assessment.calibration
    assert not isinstance(slope, NotReported)
    assert card["assessment"]["calibration_slope"] == slope.slope
    assert 0.5 < card["assessment"]["auc_lower"] < card["assessment"]["auc"] <= 1
    assert card["power"]["n_participants"] == 60
    assert set(card["coverage"]["by_arm"]) == {"ketamine", "midazolam"}
    assert card["coverage"]["by_arm"]["ketamine"]["realised"] == result.coverage.by_arm["ketamine"].realised
    assert card["benefit"]["status"] == result.benefit.status


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
