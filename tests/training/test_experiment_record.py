"""The one record of an experiment."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from training.config import ExperimentConfig
from training.experiment import ExperimentResult
from training.report.experiment_record import config_document
from training.training_table import TrainingTable

EXPECTED = {
    "schema", "research_use_only", "name", "is_synthetic", "config", "config_digest", "code_version", "data_flow",
    "cohort", "features", "outcome", "folds", "validation", "models", "permutation", "audit", "benefit", "power",
    "coverage", "calibration_bins", "coefficients", "n_coefficients_not_shown", "shap", "subgroups", "limits",
    "environment", "seconds",
}  # fmt: skip


def test_holds_every_part_as_json_without_nan(result: ExperimentResult) -> None:
    document = result.record.document
    assert set(document) == EXPECTED
    assert json.loads(json.dumps(document, allow_nan=False)) == document


def test_names_no_participant(result: ExperimentResult, training_table: TrainingTable) -> None:
    text = json.dumps(result.record.document)
    assert not [name for name in training_table.inputs.index if name in text]


def test_holds_no_number_of_a_single_person(result: ExperimentResult, training_table: TrainingTable) -> None:
    """Every outcome, feature value and prediction is a number with many digits; none of them may stand in it."""
    told = set(_numbers(result.record.document))
    of_people = [
        training_table.outcome,
        result.primary.predicted.prediction,
        training_table.model_inputs.select_dtypes(float),
    ]
    assert not told & {float(value) for values in of_people for value in np.ravel(values)}


def test_keeps_predictions_of_all_models_apart(result: ExperimentResult, training_table: TrainingTable) -> None:
    rows = result.record.predictions
    assert rows is not None
    n_repeats, n_people = result.primary.predicted.prediction.shape
    assert len(rows) == len(result.models) * n_repeats * n_people
    own = rows[rows["model"] == result.primary.name]
    r2 = 1 - ((own["outcome"] - own["prediction"]) ** 2).sum() / ((own["outcome"] - own["training_mean"]) ** 2).sum()
    assert r2 == pytest.approx(result.primary.metrics.r2)
    assert set(rows["participant_id"]) == set(training_table.inputs.index)


def test_says_what_the_models_found(result: ExperimentResult) -> None:
    document = result.record.document
    assert [one["name"] for one in document["models"]] == [one.name for one in result.models]
    assert document["models"][0]["assessment"]["metrics"]["r2"] == result.primary.metrics.r2
    assert document["permutation"]["null_r2"] == sorted(document["permutation"]["null_r2"])
    assert len(document["permutation"]["null_r2"]) == 24


def test_does_not_name_people_who_look_the_same(result: ExperimentResult) -> None:
    from training.evaluation.leak_finding import LeakFinding
    from training.report.experiment_record import _audit_document

    pair = LeakFinding(
        "duplicates", "leak", "1 pairs have the same values in different folds: a = b.", "features.tsv", "x"
    )
    found = _audit_document(dataclasses.replace(result.audit, findings=(pair,)))
    assert found["findings"][0]["message"] == "1 pairs have the same values in different folds."


def test_keeps_no_folder_and_no_address_of_the_configuration(config: ExperimentConfig) -> None:
    there = dataclasses.replace(
        config,
        cohort=dataclasses.replace(
            config.cohort, features="/home/someone/out/features.tsv", participants="C:\\data\\p.tsv"
        ),
        tracking=dataclasses.replace(config.tracking, store="postgresql://me:secret@host/base"),
    )
    document = config_document(there)
    assert document["cohort"]["features"] == "features.tsv"
    assert document["cohort"]["participants"] == "p.tsv"
    assert "secret" not in json.dumps(document)


def test_keeps_relative_paths(config: ExperimentConfig) -> None:
    own = dataclasses.replace(config, cohort=dataclasses.replace(config.cohort, features="demo/features/features.tsv"))
    assert config_document(own)["cohort"]["features"] == "demo/features/features.tsv"
    assert "source" not in config_document(own)


def test_says_that_a_cohort_is_synthetic(config: ExperimentConfig, tmp_path: Path) -> None:
    from training.report.cohort_record import is_synthetic

    beside = dataclasses.replace(config.cohort, participants=str(tmp_path / "participants.tsv"))
    there = dataclasses.replace(config, cohort=beside)
    assert not is_synthetic(there)
    (tmp_path / "planted_truth.json").touch()
    assert is_synthetic(there)
    assert is_synthetic(dataclasses.replace(config, cohort=dataclasses.replace(config.cohort, name="Synthetic trial")))


def _numbers(value: Any) -> Iterator[float]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from _numbers(one)
    elif isinstance(value, float):
        yield value
