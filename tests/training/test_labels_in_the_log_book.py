"""Where an experiment writes participants' labels: in the tables that are one row per person, and nowhere else."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from training.experiment import ExperimentResult
from training.training_table import TrainingTable

# One row per person on purpose: who was held out when, and what was predicted for whom.
WITH_LABELS = {"splits.tsv", "out_of_fold_predictions.tsv", "benefit_people.tsv"}


@pytest.fixture
def labels(training_table: TrainingTable) -> re.Pattern[bytes]:
    """Return what finds any participant's label as a word of its own."""
    names = sorted(map(str, training_table.inputs.index))
    return re.compile(rb"(?<![\w-])(?:" + "|".join(names).encode() + rb")(?![\w-])")


def files_with(labels: re.Pattern[bytes], folder: Path) -> dict[str, Any]:
    return {
        path.name: found.group()
        for path in folder.rglob("*")
        if path.is_file() and (found := labels.search(path.read_bytes()))
    }


def test_labels_stand_in_tables_of_people_and_nowhere_else_in_the_store(
    result: ExperimentResult, store_folder: Path, labels: re.Pattern[bytes]
) -> None:
    assert result is not None
    found = files_with(labels, store_folder)
    assert found.keys() == WITH_LABELS


def test_a_bundle_names_nobody(result: ExperimentResult, store_folder: Path, labels: re.Pattern[bytes]) -> None:
    assert result is not None
    bundles = [path.parent for path in store_folder.rglob("manifest.json")]
    assert bundles
    assert [files_with(labels, bundle) for bundle in bundles] == [{}] * len(bundles)
