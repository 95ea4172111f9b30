"""A participant's result as a file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from predictor.errors import TableError
from predictor.features.feature_vector import FeatureDefinition, FeatureVector
from predictor.features.recipe import Recipe
from predictor.scan.quality import QualityReport, Reason
from predictor.scan.session import BaselineSession
from training.extraction.visit_result import json_text, read_document, result_document, result_of, result_path

DEFINITIONS = tuple(FeatureDefinition(name, "Hz", "rdcm_rest", "rdcm", "a-b", "") for name in ("x", "y"))


@dataclass(frozen=True)
class _Visit:
    participant_id: str = "sub-01"
    session_id: str | None = "ses-1"
    input_files: tuple[Path, ...] = ()

    def read(self, recipe: Recipe) -> BaselineSession:
        raise AssertionError("a result is written after reading")


def document() -> dict[str, Any]:
    vector = FeatureVector(
        DEFINITIONS,
        np.array([1 / 3, np.nan]),
        (None, "no rest run"),
        "sha256:recipe",
        "sha256:input",
        np.array([0.1, np.nan]),
        np.array([0.2, 0.3]),
        np.array([np.nan, 5e-324]),
    )
    report = QualityReport((), (Reason("motion-high", "flag", ""), Reason("coverage-low", "flag", "")))
    return result_document(_Visit(), vector, report, {"faces": {"missing": "no events"}})


def test_a_result_reads_back_as_it_was_written(tmp_path: Path) -> None:
    path = result_path(tmp_path, "sub-01")
    path.parent.mkdir()
    path.write_text(json_text(document()))
    again = read_document(path)
    assert again == document()
    result = result_of(again, DEFINITIONS)
    assert np.array_equal(result.values, [1 / 3, np.nan], equal_nan=True)
    assert np.array_equal(result.standard_errors, [0.1, np.nan], equal_nan=True)
    assert result.first_half.tolist() == [0.2, 0.3]
    assert np.array_equal(result.second_half, [np.nan, 5e-324], equal_nan=True)
    assert (result.status, result.reason_codes) == ("flagged", ("coverage-low", "motion-high"))
    assert again["missing_reasons"] == {"y": "no rest run"}
    assert again["designs"] == {"faces": {"missing": "no events"}}


@pytest.mark.parametrize("key", ["values", "standard_errors", "first_half", "second_half", "designs", "recipe_hash"])
def test_a_result_that_lacks_a_part_is_of_another_version(tmp_path: Path, key: str) -> None:
    path = result_path(tmp_path, "sub-01")
    path.parent.mkdir()
    path.write_text(json.dumps({name: value for name, value in document().items() if name != key}))
    with pytest.raises(TableError, match="no whole result"):
        read_document(path)


@pytest.mark.parametrize(
    "damage",
    [
        {"reasons": [{}]},
        {"reasons": ["motion-high"]},
        {"reasons": [{"code": "motion-high", "severity": 1, "detail": ""}]},
        {"quality": {"rest": None}},
        {"quality": {"rest": {"minutes_kept": "long"}}},
        {"quality": {"rest": {"minutes_kept": 10**400}}},
        {"quality": {"rest": {"coverage": [1.0]}}},
        {"quality": {"rest": {"coverage": {"vmPFC": "whole"}}}},
    ],
)
def test_what_pages_and_tables_are_made_of_is_looked_at_before(tmp_path: Path, damage: dict[str, object]) -> None:
    path = result_path(tmp_path, "sub-01")
    path.parent.mkdir()
    path.write_text(json.dumps(document() | damage))
    with pytest.raises(TableError, match="no whole result"):
        read_document(path)


@pytest.mark.parametrize("cell", ["high", True, [1.0], 10**400])
def test_a_number_that_is_none_is_named(cell: object) -> None:
    damaged = document()
    damaged["standard_errors"]["x"] = cell
    with pytest.raises(TableError) as caught:
        result_of(damaged, DEFINITIONS)
    assert caught.value.where == "sub-01"
