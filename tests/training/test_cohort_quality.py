from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from training.cohort_quality.cohort_quality import CohortQuality, cohort_quality
from training.extraction.feature_table import FailedVisit, FeatureTable

Write = Callable[..., FeatureTable]


def _quality(write: Write, out: Path, n_people: int = 24) -> CohortQuality:
    table = write(out, n_people=n_people)
    rows = "".join(
        f"sub-{number:02d}\t{'north' if number <= 12 else 'south'}\t{number}\n" for number in range(1, n_people + 2)
    )
    (out.parent / "participants.tsv").write_text("participant_id\tsite\tcaps5_total_followup\n" + rows)
    failed = [FailedVisit(f"sub-{n_people + 1:02d}", "scan-truncated", "the scan ends too early.", "rest", "Copy it.")]
    return cohort_quality(table, out, failed=failed, folders=[out])


@pytest.fixture
def quality(write_measured_cohort: Write, tmp_path: Path) -> CohortQuality:
    return _quality(write_measured_cohort, tmp_path / "features")


def test_everyone_stands_in_it_once(quality: CohortQuality) -> None:
    assert [quality.count(status) for status in ("ok", "flagged", "refused", "failed")] == [22, 1, 1, 1]
    assert len({one.participant_id for one in quality.people}) == len(quality.people) == 25
    assert list(quality.columns.index) == [one.participant_id for one in quality.people]


def test_one_input_under_two_names_is_found(quality: CohortQuality) -> None:
    assert quality.twins == (("sub-06", "sub-07"),)


def test_gaps_are_counted_by_family_with_their_reason(quality: CohortQuality) -> None:
    by_family = {one.family: one for one in quality.gaps}
    faces = by_family["gppi_faces"]
    assert (faces.n_whole, faces.n_in_part, faces.n_without) == (23, 0, 1)
    assert faces.common_reason == "no faces run was found"
    assert by_family["quality"].n_in_part == 1
    assert by_family["rest_fisher_z"].common_reason == ""
    assert quality.missing_counts["sub-04"] > faces.n_features
    assert quality.missing_counts["sub-01"] == 0


def test_groups_are_compared_and_outcomes_are_never_read(quality: CohortQuality) -> None:
    assert list(quality.columns) == ["site"]
    motion = next(one for one in quality.differences if one.measure.unit == "mm" and one.run == "rest")
    assert [(level.level, level.n_people) for level in motion.levels] == [("north", 12), ("south", 12)]
    assert motion.p_value is not None
    assert motion.levels[0].lower <= motion.levels[0].median <= motion.levels[0].upper


def test_a_person_whose_features_are_unlike_anybodys_is_found(write_measured_cohort: Write, tmp_path: Path) -> None:
    table = write_measured_cohort(tmp_path)
    assert cohort_quality(table, tmp_path).far_features == {}
    table.values.loc["sub-09"] += 3.0  # fifteen standard deviations, in every feature
    found = cohort_quality(table, tmp_path).far_features
    assert set(found) == {"sub-09"}
    assert found["sub-09"] > 0.9


def test_a_cohort_of_one_has_a_quality(write_measured_cohort: Write, tmp_path: Path) -> None:
    found = cohort_quality(write_measured_cohort(tmp_path, n_people=1), tmp_path)
    assert (len(found.people), found.motion, found.stand_out, found.differences) == (1, (), (), ())
