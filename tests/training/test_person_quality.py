from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from predictor.errors import TableError
from training.cohort_quality.person_quality import PersonQuality, read_people, run_names
from training.extraction.feature_table import FailedVisit, FeatureTable
from training.extraction.visit_result import result_path

Write = Callable[..., FeatureTable]
FAILED = FailedVisit("sub-03", "scan-truncated", "the scan ends too early.", "rest", "Copy it again.")


def _people(write: Write, out: Path, *failed: FailedVisit) -> tuple[PersonQuality, ...]:
    return read_people([str(name) for name in write(out, n_people=5).values.index], out, failed=failed)


def test_the_worst_stand_first(write_measured_cohort: Write, tmp_path: Path) -> None:
    people = _people(write_measured_cohort, tmp_path)
    assert [(one.participant_id, one.status) for one in people] == [
        ("sub-03", "refused"), ("sub-02", "flagged"), ("sub-01", "ok"), ("sub-04", "ok"), ("sub-05", "ok"),
    ]  # fmt: skip
    assert run_names(people) == ("rest", "faces")
    assert people[1].reasons[0].code == "motion-high"


def test_a_visit_that_failed_hides_the_result_of_an_earlier_one(write_measured_cohort: Write, tmp_path: Path) -> None:
    first, *others = _people(write_measured_cohort, tmp_path, FAILED)
    assert (first.participant_id, first.status, first.runs) == ("sub-03", "failed", {})
    assert first.reasons[0].detail == "the scan ends too early. Copy it again. (rest)"
    assert len(others) == 4


def test_motion_of_a_family_is_that_of_its_runs(write_measured_cohort: Write, tmp_path: Path) -> None:
    by_name = {one.participant_id: one for one in _people(write_measured_cohort, tmp_path)}
    assert by_name["sub-02"].motion_mm("rest_fisher_z") == pytest.approx(0.7)
    assert by_name["sub-04"].motion_mm("gppi_faces") is None  # it has no such run
    two = PersonQuality("sub-9", "ok", (), {}, {}, {}, "", has_report=False)
    runs = {
        "rest": {"mean_framewise_displacement_mm": 0.1, "n_volumes_kept": 300.0},
        "rest_2": {"mean_framewise_displacement_mm": 0.5, "n_volumes_kept": 100.0},
    }
    weighted = PersonQuality(two.participant_id, "ok", (), runs, {}, {}, "", has_report=False)
    assert weighted.motion_mm("rest_partial") == pytest.approx(0.2)


def test_what_is_missing_is_told_once_per_kind_of_feature(write_measured_cohort: Write, tmp_path: Path) -> None:
    [without_faces] = [one for one in _people(write_measured_cohort, tmp_path) if one.participant_id == "sub-04"]
    assert set(without_faces.gaps.values()) == {"no faces run was found"}
    assert "gppi_faces" in without_faces.gaps
    assert len(without_faces.gaps) < 10


def test_a_damaged_result_is_named(write_measured_cohort: Write, tmp_path: Path) -> None:
    table = write_measured_cohort(tmp_path, n_people=2)
    result_path(tmp_path, "sub-01").write_text("{")
    with pytest.raises(TableError) as caught:
        read_people([str(name) for name in table.values.index], tmp_path)
    assert caught.value.where == "sub-01_features.json"
