from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge
from sklearn.pipeline import Pipeline

from predictor.model.outcome_definition import Covariate, OutcomeDefinition
from predictor.model.response_design import ResponseDesign
from training.evaluation.splits import stratified_folds
from training.evaluation.treatment_effect import BenefitAnalysis, analyse_benefit
from training.training_table import TrainingTable

FEATURE = "gppi_faces__r0__s"


def ridge(table: TrainingTable) -> Pipeline:
    names = tuple(definition.name for definition in table.definitions)
    design = ResponseDesign(covariates=table.covariates, features=names, arm_interactions=True)
    return Pipeline([("design", design), ("model", Ridge(alpha=5.0))])


def analyse(table: TrainingTable, *, n_repeats: int = 2) -> BenefitAnalysis:
    rng = np.random.default_rng(1)
    folds = [stratified_folds(table.outcome, table.arms, n_folds=5, rng=rng) for _ in range(n_repeats)]
    return analyse_benefit(table, ridge(table), np.stack(folds), seed=4, n_permutations=199)


def with_arms(table: TrainingTable, arms: Sequence[str], levels: tuple[str, ...]) -> TrainingTable:
    """Return the same people in other arms."""
    covariates = (Covariate("arm", "category", levels, "arm"), *table.covariates[1:])
    return replace(table, inputs=table.inputs.assign(arm=np.array(arms, dtype=object)), covariates=covariates)


@pytest.fixture(scope="module")
def found(training_table: TrainingTable) -> BenefitAnalysis:
    """Return the analysis of a trial in which the first feature matters under ketamine only."""
    return analyse(training_table)


def test_a_feature_that_matters_under_ketamine_only_is_called_benefit(found: BenefitAnalysis) -> None:
    assert found.status == "benefit shown"
    assert found.interaction is not None
    assert found.interaction.strongest is not None
    assert found.interaction.names[found.interaction.strongest] == FEATURE
    assert found.interaction.slope_difference[found.interaction.strongest] < 0


def test_learners_find_the_benefit_and_nothing_to_predict_in_the_control_arm(found: BenefitAnalysis) -> None:
    for one in found.learners.values():
        assert one.calibration.average == pytest.approx(15, abs=6)
        assert one.calibration.slope_interval is not None
        assert one.calibration.slope_interval.lower > 0
        assert one.concordance is not None
        assert one.concordance.lower > 0.5
        assert one.r2_within_arm["ketamine"] > 0.4
        assert one.r2_within_arm["midazolam"] < 0.3


def test_the_table_holds_everyone_under_both_arms_with_an_interval_about_the_mean(
    found: BenefitAnalysis, training_table: TrainingTable
) -> None:
    people = found.people[found.people["learner"] == "T-learner"]
    assert people["participant_id"].tolist() == list(training_table.inputs.index)
    assert people["predicted_benefit"].to_numpy() == pytest.approx(
        (people["expected_treated"] - people["expected_control"]).to_numpy()
    )
    truth = 15 - 14 * training_table.inputs[FEATURE].to_numpy()
    assert np.corrcoef(people["calibrated_benefit"], truth)[0, 1] > 0.8
    assert (people["calibrated_lower"] < people["calibrated_upper"]).all()
    assert people["interval_is_about"].str.contains("not this individual").all()


def test_document_is_json_and_lines_say_verdict_power_and_what_the_interval_is_about(found: BenefitAnalysis) -> None:
    document = json.loads(json.dumps(found.document(), allow_nan=False))
    assert document["about"] == "people like this one, not this individual"
    assert document["learners"]["S-learner"]["slope"]["interval"]["level"] == 0.95
    text = "\n".join(found.lines())
    assert text.startswith("benefit shown: arm x feature p = 0.005")
    assert "30 + 30 people" in text
    assert "80 % power" in text
    assert "not this individual" in text


def test_a_feature_that_matters_in_both_arms_is_prognosis_not_benefit(training_table: TrainingTable) -> None:
    noise = np.random.default_rng(2).standard_normal(60)
    is_ketamine = (training_table.inputs["arm"] == "ketamine").to_numpy()
    outcome = 15 * is_ketamine - 14 * training_table.inputs[FEATURE].to_numpy() + 6 * noise
    found = analyse(replace(training_table, outcome=outcome))
    assert found.status == "benefit not shown"
    for one in found.learners.values():
        assert min(one.r2_within_arm.values()) > 0.4
        assert one.concordance is None or one.concordance.lower < 0.5


def test_where_lower_is_better_benefit_is_still_above_zero(
    training_table: TrainingTable, found: BenefitAnalysis
) -> None:
    flipped = replace(
        training_table,
        outcome=-training_table.outcome,
        outcome_definition=OutcomeDefinition("severity", "points", "lower"),
    )
    other = analyse_benefit(
        flipped,
        ridge(flipped),
        found_partitions(training_table),
        seed=4,
        n_permutations=199,
    )
    same = analyse_benefit(
        training_table, ridge(training_table), found_partitions(training_table), seed=4, n_permutations=199
    )
    for learner, one in other.learners.items():
        assert one.calibration.benefit == pytest.approx(same.learners[learner].calibration.benefit)
    assert other.people["predicted_benefit"].to_numpy() == pytest.approx(same.people["predicted_benefit"].to_numpy())
    assert other.interaction is not None
    assert same.interaction is not None
    assert other.interaction.slope_difference == pytest.approx(same.interaction.slope_difference)


def found_partitions(table: TrainingTable) -> np.ndarray:
    return stratified_folds(table.outcome, table.arms, n_folds=4, rng=np.random.default_rng(0))[np.newaxis]


@pytest.mark.parametrize("has_column", [True, False])
def test_with_one_arm_the_analysis_is_prognostic_only(training_table: TrainingTable, has_column: bool) -> None:
    one = with_arms(training_table, ["ketamine"] * 60, ("ketamine",))
    table = one if has_column else replace(one, covariates=one.covariates[1:])
    found = analyse(table)
    assert found.status == "prognostic only"
    assert list(found.lines()) == ["prognostic only: there are no two arms to compare"]
    assert found.document() == {"status": "prognostic only", "reason": "there are no two arms to compare"}
    assert found.people.empty


def test_an_arm_of_few_people_is_named_and_the_analysis_prognostic_only(training_table: TrainingTable) -> None:
    arms = ["midazolam"] * 5 + ["ketamine"] * 55
    found = analyse(with_arms(training_table, arms, ("ketamine", "midazolam")))
    assert found.status == "prognostic only"
    assert "found 5 of midazolam" in found.reason


def test_of_three_arms_the_first_is_compared_with_the_last(training_table: TrainingTable) -> None:
    arms = ["ketamine", "midazolam", "esketamine"] * 20
    found = analyse(with_arms(training_table, arms, ("ketamine", "esketamine", "midazolam")))
    assert dict(found.n_per_arm) == {"ketamine": 20, "midazolam": 20}
    assert set(found.people["arm"]) == {"ketamine", "midazolam"}
    assert not found.failed_learners


def test_missing_feature_values_are_no_obstacle_and_missing_everywhere_is_left_out(
    training_table: TrainingTable,
) -> None:
    inputs = training_table.inputs.copy()
    inputs.iloc[:4, 0] = np.nan
    inputs.iloc[:, 1] = np.nan
    found = analyse(replace(training_table, inputs=inputs))
    assert found.status == "benefit shown"
    assert found.interaction is not None
    assert np.isnan(found.interaction.p_family[1])
    assert np.isfinite(found.interaction.p_family[0])
    # The learners' own design refuses such a feature, and the analysis says so.
    assert all("no value" in reason for reason in found.failed_learners.values())
    assert len(found.failed_learners) == 2


def test_folds_without_an_arm_cost_the_learners_not_the_test(training_table: TrainingTable) -> None:
    by_arm = (training_table.inputs["arm"] == "ketamine").to_numpy().astype(np.intp)[np.newaxis]
    found = analyse_benefit(training_table, ridge(training_table), by_arm, seed=4, n_permutations=99)
    assert found.status == "benefit shown"
    assert not found.learners
    assert all("every fold's training set" in reason for reason in found.failed_learners.values())
    assert isinstance(found.people, pd.DataFrame)
    assert found.people.empty
    assert any(line.startswith("S-learner: none") for line in found.lines())


def test_learners_of_responses_speak_of_probabilities_and_the_test_stays_with_the_outcome(
    training_table: TrainingTable, found: BenefitAnalysis
) -> None:
    responses = (training_table.outcome >= 30).astype(float)
    other = analyse_benefit(
        training_table, ridge(training_table), found_partitions(training_table), seed=4, n_permutations=199,
        fitted_to=responses,
    )  # fmt: skip
    assert other.interaction is not None
    assert found.interaction is not None
    assert np.array_equal(other.interaction.p_family, found.interaction.p_family)
    assert other.learner_unit == "response probability"
    assert all(0 < one.calibration.average < 1 for one in other.learners.values())


def test_people_seen_twice_count_once_for_arms_intervals_and_test(training_table: TrainingTable) -> None:
    few = np.r_[:14]
    rows, groups = np.repeat(few, 2), tuple(f"p{row}" for row in np.repeat(few, 2))
    twice = replace(
        training_table,
        inputs=training_table.inputs.iloc[rows].set_axis([f"sub-{row}" for row in range(28)]),
        outcome=training_table.outcome[rows],
        groups=groups,
    )
    assert "found 7 of ketamine" in analyse(twice).reason
    more = np.repeat(np.r_[:40], 2)
    doubled = replace(
        training_table,
        inputs=training_table.inputs.iloc[more].set_axis([f"sub-{row}" for row in range(80)]),
        outcome=training_table.outcome[more],
    )
    grouped = replace(doubled, groups=tuple(f"p{row}" for row in more))
    rng = np.random.default_rng(0)
    folds = stratified_folds(grouped.outcome, grouped.arms, n_folds=5, rng=rng, groups=grouped.groups)[np.newaxis]
    blind, seeing = (
        analyse_benefit(table, ridge(table), folds, seed=4, n_permutations=49) for table in (doubled, grouped)
    )
    for learner, one in seeing.learners.items():
        other = blind.learners[learner].calibration.average_interval
        interval = one.calibration.average_interval
        assert interval.upper - interval.lower > 1.2 * (other.upper - other.lower)
