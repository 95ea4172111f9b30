"""What the first model does, in numbers about many people at once."""

from __future__ import annotations

import numpy as np
import pytest

from predictor.model.explanation import explain
from predictor.model.person_inputs import person_inputs
from training.evaluation.nested_cv import OutOfFold
from training.evaluation.small_cells import FEWEST_SHOWN
from training.experiment import ExperimentResult
from training.report.model_record import (
    calibration_bins,
    coefficient_rows,
    contribution_document,
    subgroups,
)
from training.training_table import TrainingTable


def _predicted(n_people: int) -> OutOfFold:
    rng = np.random.default_rng(3)
    outcome = rng.normal(20, 10, n_people)
    shape = (2, n_people)
    return OutOfFold(
        outcome, outcome + rng.normal(0, 5, shape), np.full(shape, 20.0), np.zeros(shape, dtype=np.intp), ()
    )


@pytest.mark.parametrize(("n_people", "n_bins"), [(4, 0), (9, 1), (14, 2), (60, 8)])
def test_no_bin_has_fewer_than_five_people(n_people: int, n_bins: int) -> None:
    bins = calibration_bins(_predicted(n_people))
    assert len(bins) == n_bins
    assert all(one["n"] >= FEWEST_SHOWN for one in bins)
    assert sum(one["n"] for one in bins) in (n_people, 0)


def test_bins_hold_the_means_of_people_with_similar_predictions() -> None:
    predicted = _predicted(10)
    said = predicted.prediction.mean(axis=0) - 20.0 + predicted.outcome.mean()
    lower = np.argsort(said)[:5]
    first = calibration_bins(predicted)[0]
    assert first["predicted_mean"] == pytest.approx(said[lower].mean())
    assert first["observed_mean"] == pytest.approx(predicted.outcome[lower].mean())
    assert first["observed_sd"] == pytest.approx(predicted.outcome[lower].std(ddof=1))


def test_leave_one_out_predictions_of_the_mean_show_nothing() -> None:
    """As they are, they correlate -1 with the outcome."""
    outcome = np.random.default_rng(3).normal(20, 10, 30)
    others = (outcome.sum() - outcome)[np.newaxis] / 29
    predicted = OutOfFold(outcome, others, others, np.arange(30)[np.newaxis], ())
    assert np.corrcoef(others[0], outcome)[0, 1] == pytest.approx(-1)
    assert calibration_bins(predicted) == []


def test_the_planted_feature_weighs_most_and_more_under_ketamine(result: ExperimentResult) -> None:
    assert result.bundle is not None
    rows, n_rest = coefficient_rows(result.bundle)
    assert n_rest == 0
    planted = {row["arm"]: row for row in rows if row["feature"] == "gppi_faces__r0__s"}
    assert rows[0]["feature"] == "gppi_faces__r0__s"
    assert planted["ketamine > midazolam"]["value"] < planted["all"]["value"] < 0
    assert planted["all"]["upper"] < 0
    assert planted["all"]["selection_frequency"] == 1.0


def test_contributions_are_the_mean_sizes_of_everyones_explanation(
    result: ExperimentResult, training_table: TrainingTable
) -> None:
    bundle = result.bundle
    assert bundle is not None
    found = contribution_document(bundle, training_table)
    sizes = []
    for row, arm in enumerate(training_table.arms or []):
        person = training_table.inputs.iloc[row]
        features = {name: float(person[name]) for name in bundle.feature_names}
        known = {one.name: person[one.name] for one in bundle.covariates}
        explained = explain(bundle, person_inputs(features, known, bundle), arm=arm)
        own = {one.feature: one.contribution for one in explained.contributions}
        sizes.append(abs(own.get("gppi_faces__r0__s", 0.0)))
    assert found["features"][0]["feature"] == "gppi_faces__r0__s"
    assert found["features"][0]["mean_abs_contribution"] == pytest.approx(np.mean(sizes))


def test_numbers_of_small_subgroups_are_withheld(training_table: TrainingTable) -> None:
    labels = {"hand": ["left"] * 12 + ["right"] * 48}
    rows = {row["level"]: row for row in subgroups(_predicted(60), training_table, labels) if row["column"] == "hand"}
    assert rows["left"] == {
        "column": "hand", "level": "left", "n": 12, "too_few": True, "r2": None, "mae": None, "bias": None
    }  # fmt: skip
    assert rows["right"]["mae"] is not None


def test_a_level_of_one_person_withholds_its_whole_column(training_table: TrainingTable) -> None:
    """Mean errors of everyone and of all but one would tell that one's error."""
    labels = {"hand": ["left"] + ["right"] * 59}
    rows = [row for row in subgroups(_predicted(60), training_table, labels) if row["column"] == "hand"]
    assert all(row["mae"] is None and row["withheld"] for row in rows)


def test_errors_of_a_subgroup_are_those_of_its_people(training_table: TrainingTable) -> None:
    predicted = _predicted(60)
    rows = {row["level"]: row for row in subgroups(predicted, training_table, {}) if row["column"] == "arm"}
    error = (predicted.outcome - predicted.prediction)[:, ::2]
    assert rows["ketamine"]["n"] == 30
    assert rows["ketamine"]["mae"] == pytest.approx(np.abs(error).mean())
    assert rows["ketamine"]["bias"] == pytest.approx(error.mean())
