from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression

from predictor.model.outcome_definition import OutcomeDefinition
from training.evaluation.assessment import Assessment, evaluate
from training.evaluation.metrics import NotReported, measure
from training.evaluation.nested_cv import OutOfFold, cross_validate
from training.evaluation.splits import leave_one_out, stratified_folds

IMPROVEMENT = OutcomeDefinition("improvement", "percent", "higher", 30.0, "at least 30 percent")
PAIN = OutcomeDefinition("pain", "z", "lower")


def predicted(rng: np.random.Generator, *, is_leave_one_out: bool = False) -> OutOfFold:
    signal = rng.standard_normal(80)
    outcome = 31 + 15 * signal + 15 * rng.standard_normal(80)
    folds = leave_one_out(80) if is_leave_one_out else stratified_folds(outcome, None, n_folds=5, rng=rng)
    return cross_validate(LinearRegression(), pd.DataFrame({"x": signal}), outcome, folds[np.newaxis])


@pytest.fixture
def assessed(rng: np.random.Generator) -> Assessment:
    return evaluate(predicted(rng), IMPROVEMENT, seed=3)


def test_everything_is_in_a_document_that_json_takes(assessed: Assessment) -> None:
    document = json.loads(json.dumps(assessed.document(), allow_nan=False))
    assert document["responders"]["auc_interval"]["level"] == 0.95
    assert len(document["decision_curve"]) == 19
    assert document["response_groups"][0]["n_people"] == 16
    assert document["calibration"]["scale"] == "outcome"
    assert document["response_rule"] == "at least 30 percent"


def test_metrics_are_those_of_measure_and_the_seed_decides(rng: np.random.Generator) -> None:
    out_of_fold = predicted(rng)
    first, again, other = (evaluate(out_of_fold, IMPROVEMENT, seed=seed) for seed in (3, 3, 4))
    assert first.metrics == measure(out_of_fold, seed=3)
    assert first.document() == again.document() != other.document()


def test_headline_numbers_carry_their_intervals(assessed: Assessment) -> None:
    values = assessed.values()
    assert values["auc"] is not None
    assert values["auc_lower"] < values["auc"] < values["auc_upper"]  # type: ignore[operator]
    assert {"calibration_slope", "response_calibration_slope_upper", "brier_skill"} <= set(values)


def test_the_screen_says_what_was_found_or_why_not(assessed: Assessment, rng: np.random.Generator) -> None:
    text = "\n".join(assessed.lines())
    assert "AUC" in text
    assert "balanced accuracy" in text
    assert "calibration slope" in text
    without_rule = evaluate(predicted(rng), PAIN, seed=0)
    assert any("no response rule" in line for line in without_rule.lines())


def test_leave_one_out_reports_errors_only_and_says_so(rng: np.random.Generator) -> None:
    found = evaluate(predicted(rng, is_leave_one_out=True), IMPROVEMENT, seed=0)
    assert found.metrics.r2 > 0
    parts = (found.calibration, found.responders, found.response_calibration, found.response_groups)
    assert all(isinstance(part, NotReported) for part in (*parts, found.decision_curve))
    (line,) = found.lines()
    assert "leave-one-out" in line
    assert found.values()["auc"] is None
    assert "not_reported" in found.document()["decision_curve"]
