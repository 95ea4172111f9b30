from __future__ import annotations

import json
from dataclasses import replace

from training.config import ExperimentConfig
from training.evaluation.metrics import Interval, PairedComparison
from training.experiment import ExperimentResult
from training.model_card import make_card
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
