from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from predictor.errors import (
    ConfigError,
    MissingColumnError,
    OutcomeConstantError,
    OutcomeMissingError,
    ValueOutOfRangeError,
)
from training.cohort.outcome import OUTCOMES, outcome_values
from training.config import OutcomeConfig

CAPS5 = OutcomeConfig(name="caps5_percent_improvement")


def _people(baseline: list[float], followup: list[float]) -> pd.DataFrame:
    index = pd.Index([f"sub-{row}" for row in range(len(baseline))], name="participant_id")
    return pd.DataFrame({"caps5_total_baseline": baseline, "caps5_total_followup": followup}, index=index)


def test_improvement_is_percent_of_the_baseline_and_positive_is_better() -> None:
    values, definition = outcome_values(_people([40, 50, 30], [20, 55, 30]), CAPS5, drop_missing=False)
    assert values.tolist() == [50, -10, 0]
    assert (definition.unit, definition.better, definition.response_threshold) == ("percent", "higher", 30)
    assert definition.response_rule == "at least 30 percent"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("caps5_response_30_percent", [1, 1, 0]),
        ("caps5_response_50_percent", [1, 0, 0]),
        ("caps5_response_10_points", [1, 1, 0]),
        ("caps5_response_13_points", [1, 0, 0]),
        ("caps5_points_improvement", [20, 12, 5]),
        ("caps5_percent_improvement_50", [50, 30, 10]),
    ],
)
def test_every_label_of_the_literature_is_offered(name: str, expected: list[float]) -> None:
    people = _people([40, 40, 50], [20, 28, 45])  # 50, 30 and 10 percent; 20, 12 and 5 points
    values, _ = outcome_values(people, OutcomeConfig(name=name), drop_missing=False)
    assert values.tolist() == expected


def test_pcl5_needs_its_own_columns() -> None:
    with pytest.raises(MissingColumnError, match="pcl5_total_baseline"):
        outcome_values(_people([40], [20]), OutcomeConfig(name="pcl5_response_15_points"), drop_missing=False)


def test_response_follows_the_definition_that_is_reported() -> None:
    for name, outcome in OUTCOMES.items():
        definition = outcome.definition(name)
        assert definition.name == name
        assert (definition.response_threshold is None) == (outcome.change == "response")


def test_any_numeric_column_can_be_the_outcome() -> None:
    people = pd.DataFrame({"pain": [0.5, -1.0]}, index=["sub-1", "sub-2"])
    config = OutcomeConfig(column="pain", unit="z", better="lower", response_threshold=0.0)
    values, definition = outcome_values(people, config, drop_missing=False)
    assert values.tolist() == [0.5, -1.0]
    assert (definition.better, definition.response_rule) == ("lower", "at most 0 z")


def test_missing_outcomes_are_named_or_left_out_on_purpose() -> None:
    people = _people([40, 40, 44], [20, np.nan, 30])
    with pytest.raises(OutcomeMissingError, match="1 of 3 participants have no outcome: sub-1"):
        outcome_values(people, CAPS5, drop_missing=False)
    values, _ = outcome_values(people, CAPS5, drop_missing=True)
    assert list(values.index) == ["sub-0", "sub-2"]


def test_cohort_without_any_outcome_is_refused_even_then() -> None:
    with pytest.raises(OutcomeMissingError):
        outcome_values(_people([40, 40], [np.nan, np.nan]), CAPS5, drop_missing=True)


def test_constant_outcome_is_refused() -> None:
    with pytest.raises(OutcomeConstantError):
        outcome_values(_people([40, 20], [20, 10]), CAPS5, drop_missing=False)


def test_baseline_of_zero_has_no_percentage() -> None:
    with pytest.raises(ValueOutOfRangeError, match="baseline of 0") as caught:
        outcome_values(_people([40, 0], [20, 0]), CAPS5, drop_missing=False)
    assert "sub-1" in str(caught.value)


@pytest.mark.parametrize("score", [-1.0, 81.0])
def test_scores_outside_the_scale_are_refused(score: float) -> None:
    with pytest.raises(ValueOutOfRangeError, match="0 to 80"):
        outcome_values(_people([40, 30], [20, score]), CAPS5, drop_missing=False)


def test_text_is_no_outcome() -> None:
    people = pd.DataFrame({"pain": ["low", "high"]}, index=["sub-1", "sub-2"])
    with pytest.raises(ValueOutOfRangeError, match="sub-1"):
        outcome_values(people, OutcomeConfig(column="pain", unit="z"), drop_missing=False)


def test_unknown_outcome_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="caps5_percent_improvement"):
        outcome_values(_people([40], [20]), OutcomeConfig(name="happiness"), drop_missing=False)
