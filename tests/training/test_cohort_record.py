"""Who and what entered an experiment, in numbers."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from training.config import ExperimentConfig
from training.experiment_folds import make_manifest
from training.report.cohort_record import cohort_document, data_flow, features_document
from training.training_table import TrainingTable


def _stages(flow: list[dict[str, object]]) -> dict[str, object]:
    return {str(one["stage"]): one["n"] for one in flow}


def test_counts_people_from_the_list_to_the_folds(
    training_table: TrainingTable, config: ExperimentConfig, tmp_path: Path
) -> None:
    people = [*training_table.inputs.index, "left-out", "control"]
    listed = pd.DataFrame({"participant_id": people, "group": [*["patient"] * 61, "control"]})
    listed.to_csv(tmp_path / "participants.tsv", sep="\t", index=False)
    there = dataclasses.replace(config.cohort, participants=str(tmp_path / "participants.tsv"))
    table = dataclasses.replace(training_table, left_out=("left-out",))
    flow = data_flow(table, dataclasses.replace(config, cohort=there), make_manifest(training_table, config))
    assert list(_stages(flow).values())[:6] == [62, 61, 60, 60, 48, 12]


def test_says_so_where_the_list_is_not_at_hand(training_table: TrainingTable, config: ExperimentConfig) -> None:
    flow = data_flow(training_table, config, make_manifest(training_table, config))
    assert flow[0]["n"] is None
    assert "not at hand" in flow[0]["detail"]
    assert _stages(flow)["included"] == 60


def test_counts_features_from_the_table_to_the_fit(training_table: TrainingTable, config: ExperimentConfig) -> None:
    flow = _stages(data_flow(training_table, config, make_manifest(training_table, config)))
    assert flow["in the feature table"] == 7  # with the measure of motion
    assert flow["in the families asked for"] == 6


def test_describes_the_people_without_showing_one(training_table: TrainingTable, config: ExperimentConfig) -> None:
    found = cohort_document(training_table, config)
    assert found["n_per_arm"] == {"ketamine": 30, "midazolam": 30}
    assert found["outcome"]["mean"] == pytest.approx(training_table.outcome.mean())
    assert found["age"]["min_decade"] % 10 == 0
    lower, median, upper = found["outcome"]["quartiles"]
    assert lower < median < upper
    assert not set(found["outcome"]["quartiles"]) & set(training_table.outcome.tolist())


def test_a_quartile_of_an_odd_number_of_people_is_nobodys_outcome(
    training_table: TrainingTable, config: ExperimentConfig
) -> None:
    odd = dataclasses.replace(
        training_table, inputs=training_table.inputs.iloc[:21], outcome=training_table.outcome[:21]
    )
    median = cohort_document(odd, config)["outcome"]["quartiles"][1]
    assert median != np.median(odd.outcome)
    assert median == pytest.approx(np.median(odd.outcome), abs=odd.outcome.std())


def test_lists_families_with_units_and_missing_shares(training_table: TrainingTable, config: ExperimentConfig) -> None:
    assert features_document(training_table)["families"] == {"gppi_faces": {"n": 6, "unit": "beta"}}
    inputs = training_table.inputs.copy()
    inputs.iloc[:6, 0] = np.nan
    found = cohort_document(dataclasses.replace(training_table, inputs=inputs), config)
    assert found["missing"] == {"gppi_faces": pytest.approx(6 / 360)}
