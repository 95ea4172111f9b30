from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from training.cohort_quality.person_quality import PersonQuality, read_people
from training.cohort_quality.quality_measures import MEASURES, bad_fence, far_from_cohort, known_measures
from training.extraction.feature_table import FeatureTable

Write = Callable[..., FeatureTable]


@pytest.fixture
def people(write_measured_cohort: Write, tmp_path: Path) -> tuple[PersonQuality, ...]:
    table = write_measured_cohort(tmp_path)
    return read_people([str(name) for name in table.values.index], tmp_path)


def test_who_lies_far_from_the_cohort_is_found_on_the_bad_side_only(people: tuple[PersonQuality, ...]) -> None:
    found = {(one.participant_id, one.measure.key, one.run) for one in far_from_cohort(people)}
    assert ("sub-05", "median_temporal_snr", "faces") in found
    assert ("sub-05", "median_temporal_snr", "rest") not in found
    values = np.r_[np.linspace(90, 110, 20), 300.0, 5.0]
    fence = bad_fence(values, is_low_good=False)
    assert fence is not None
    assert (values < fence).sum() == 1  # 300 is unusual, and no reason for worry


@pytest.mark.parametrize("values", [np.ones(30), np.arange(7.0), np.full(9, np.nan)], ids=["same", "few", "unknown"])
def test_where_nobody_can_tell_there_is_no_fence(values: np.ndarray) -> None:  # type: ignore[type-arg]
    assert bad_fence(values, is_low_good=True) is None


def test_limits_are_about_the_runs_that_they_are_meant_for() -> None:
    minutes = next(one for one in MEASURES if one.key == "minutes_kept")
    assert minutes.limits_for("rest_2") == (("flag", 4.0), ("refuse", 2.0))
    assert minutes.limits_for("faces") == ()
    assert minutes.is_beyond(3.9, "rest")
    assert not minutes.is_beyond(3.9, "faces")
    assert minutes.worst([3.0, 8.0]) == 3.0
    motion = next(one for one in MEASURES if one.unit == "mm")
    assert motion.is_beyond(0.51, "faces")
    assert motion.worst([0.1, 0.2]) == 0.2
    assert motion.worst([]) is None


def test_measures_that_tables_do_not_know_are_left_out(write_measured_cohort: Write, tmp_path: Path) -> None:
    table = write_measured_cohort(tmp_path, n_people=3, knows_scans=False)
    known = known_measures(read_people([str(name) for name in table.values.index], tmp_path))
    assert "median_temporal_snr" not in {one.key for one in known}
    assert "lowest_coverage" not in {one.key for one in known}
    assert len(known) == len(MEASURES) - 2
