"""Quality numbers by hand, and what the thresholds make of them."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from predictor.scan.confounds import select_confounds
from predictor.scan.quality import (
    QualityReport,
    QualityThresholds,
    RunQuality,
    judged_quality,
    quality_reasons,
    run_quality,
)
from predictor.scan.region_signals import RegionRecording
from predictor.scan.session import build_run
from predictor.scan.task_description import RunKind, load_task_description


def recording(n_volumes: int, repetition_time_s: float | None = 2.0) -> RegionRecording:
    return RegionRecording(
        region_names=("amygdala_L", "vmPFC", "dACC"),
        bold=np.full((n_volumes, 3), 100.0),
        coverage=np.array([1.0, 0.4, np.nan]),
        temporal_snr=np.array([10.0, 30.0, np.nan]),
        carpet=np.zeros((n_volumes, 0), dtype=np.float32),
        repetition_time_s=repetition_time_s,
        space="MNI152NLin2009cAsym",
        input_digest="sha256:1",
    )


def report_of(
    displacement_mm: list[float] | None,
    *,
    kind: RunKind = "rest",
    repetition_time_s: float | None = 2.0,
    n_volumes: int = 5,
) -> QualityReport:
    """Return the report of one run with the given displacements of all volumes but the first."""
    content = None
    if displacement_mm is not None:
        n_volumes = len(displacement_mm) + 1
        rows = "".join(f"{value}\t{10 * value}\t1.5\n" for value in displacement_mm)
        content = f"framewise_displacement\tdvars\tstd_dvars\nn/a\tn/a\tn/a\n{rows}".encode()
    run = build_run(
        kind,
        recording(n_volumes, repetition_time_s),
        confounds_tsv=content,
        confounds_sidecar=None,
        sidecar=None,
        events_tsv=None,
        tasks=load_task_description(),
    )
    confounds = select_confounds(run.confounds, "none", censor_framewise_displacement_mm=0.5, n_volumes=run.n_volumes)
    return judged_quality([run_quality(run, confounds)])


def clean_run() -> RunQuality:
    """Return a run that no threshold objects to."""
    [run] = report_of([0.1] * 239).runs
    return replace(run, coverage={"amygdala_L": 1.0}, median_temporal_snr=60.0)


def codes(run: RunQuality) -> list[tuple[str, str]]:
    return [(reason.code, reason.severity) for reason in judged_quality([run]).reasons]


def test_numbers_are_those_computed_by_hand() -> None:
    [run] = report_of([0.1, 0.2, 0.9, 0.4]).runs
    assert run.n_volumes == 5
    assert run.n_volumes_kept == 4
    assert run.minutes == pytest.approx(5 * 2 / 60)
    assert run.minutes_kept == pytest.approx(4 * 2 / 60)
    assert run.mean_framewise_displacement_mm == pytest.approx(0.4)
    assert run.share_censored == pytest.approx(0.2)
    assert run.median_temporal_snr == 20.0
    assert run.mean_dvars == pytest.approx(4.0)
    assert run.mean_std_dvars == 1.5
    assert run.coverage == {"amygdala_L": 1.0, "vmPFC": 0.4, "dACC": None}
    assert run.temporal_snr == {"amygdala_L": 10.0, "vmPFC": 30.0, "dACC": None}


def test_a_good_run_gives_no_reason() -> None:
    assert codes(clean_run()) == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"mean_framewise_displacement_mm": 0.5}, []),
        ({"mean_framewise_displacement_mm": 0.51}, [("motion-high", "flag")]),
        ({"mean_framewise_displacement_mm": 1.01}, [("motion-high", "refuse")]),
        ({"share_censored": 0.51}, [("censoring-high", "flag")]),
        ({"minutes_kept": 4.0}, []),
        ({"minutes_kept": 3.9}, [("too-short", "flag")]),
        ({"minutes_kept": 1.9}, [("too-short", "refuse")]),
        ({"minutes_kept": 1.9, "kind": "faces"}, []),
        ({"coverage": {"amygdala_L": 0.49, "vmPFC": 0.5}}, [("coverage-low", "flag")]),
        ({"median_temporal_snr": 19.0}, [("temporal-snr-low", "flag")]),
        ({"fallback_reason": "no table"}, [("confounds-fallback", "flag")]),
    ],
)
def test_each_threshold_gives_its_reason(change: dict[str, object], expected: list[tuple[str, str]]) -> None:
    assert codes(replace(clean_run(), **change)) == expected  # type: ignore[arg-type]


def test_what_is_unknown_gives_no_reason_but_a_missing_table_does() -> None:
    report = report_of(None, repetition_time_s=None, n_volumes=100)
    [run] = report.runs
    assert (run.minutes, run.minutes_kept, run.mean_framewise_displacement_mm, run.mean_dvars) == (None,) * 4
    assert [reason.code for reason in report.reasons] == ["coverage-low", "confounds-fallback"]
    assert not report.is_refused


def test_the_regions_that_are_not_covered_are_named() -> None:
    [detail] = [reason.detail for reason in report_of([0.1] * 200).reasons if reason.code == "coverage-low"]
    assert "vmPFC 0.40" in detail
    assert "amygdala" not in detail
    assert "dACC" not in detail


def test_a_visit_that_moved_too_much_is_refused() -> None:
    assert report_of([1.2] * 200).is_refused


def test_motion_over_several_runs_is_weighted_by_what_is_kept() -> None:
    first, other = clean_run(), clean_run()
    second = replace(other, number=2, n_volumes_kept=120, mean_framewise_displacement_mm=0.4)
    report = QualityReport((first, second), ())
    assert report.of_kind("rest") == (first, second)
    assert report.mean_framewise_displacement_mm("rest") == pytest.approx((240 * 0.1 + 120 * 0.4) / 360)
    assert report.mean_framewise_displacement_mm("faces") is None
    assert list(report.document()) == ["rest", "rest_2"]
    lost = replace(first, n_volumes_kept=0, mean_framewise_displacement_mm=2.0)
    assert QualityReport((lost,), ()).mean_framewise_displacement_mm("rest") == 2.0
    reasons = quality_reasons(replace(second, mean_framewise_displacement_mm=0.6), QualityThresholds())
    assert [reason.detail.split(":")[0] for reason in reasons] == ["rest_2"]


def test_resting_runs_are_long_enough_together() -> None:
    first = replace(clean_run(), minutes_kept=2.5)
    second = replace(first, number=2, minutes_kept=1.6)
    assert codes(first) == [("too-short", "flag")]
    assert judged_quality([first, second]).reasons == ()
    [reason] = judged_quality([replace(first, minutes_kept=0.3), second]).reasons
    assert (reason.code, reason.severity) == ("too-short", "refuse")
    assert "1.9 minutes are left after censoring in 2 runs together" in reason.detail


def test_the_document_is_json_by_run_without_nan() -> None:
    document = report_of([0.1] * 200, kind="faces").document()
    assert list(document) == ["faces"]
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert document["faces"]["coverage"]["dACC"] is None
