"""Quality numbers as features."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from predictor.features.quality_family import quality
from predictor.scan.confounds import Confounds
from predictor.scan.region_signals import RegionRecording
from predictor.scan.session import Run


def run_and_confounds() -> tuple[Run, Confounds]:
    recording = RegionRecording(
        region_names=("a", "b", "c"),
        bold=np.ones((10, 3)),
        coverage=np.ones(3),
        temporal_snr=np.array([50.0, 70.0, np.nan]),
        carpet=np.zeros((10, 0), dtype=np.float32),
        repetition_time_s=2.0,
        space="MNI152NLin2009cAsym",
        input_digest="sha256:0",
    )
    confounds = Confounds(
        regressors=np.empty((10, 0)),
        names=(),
        framewise_displacement_mm=np.array([np.nan, *[0.1] * 8, 1.0]),
        is_censored=np.arange(10) == 9,
        strategy_asked="none",
        strategy_used="none",
        fallback_reason=None,
    )
    return Run("faces", recording, None, None, 2.0, "sha256:0", number=2), confounds


def test_numbers_carry_the_kind_of_run_and_no_standard_error() -> None:
    found = quality(*run_and_confounds())
    assert found.values == {
        "quality_mean_framewise_displacement_mm__faces": pytest.approx(0.2),
        "quality_share_censored__faces": pytest.approx(0.1),
        "quality_median_temporal_snr__faces": pytest.approx(60.0),
    }
    assert found.standard_errors == {}


def test_numbers_that_nobody_knows_are_missing() -> None:
    run, confounds = run_and_confounds()
    unknown = replace(confounds, framewise_displacement_mm=np.full(10, np.nan))
    assert quality(run, unknown).missing == {
        "quality_mean_framewise_displacement_mm__faces": "not known for the faces run"
    }
