"""Runs cut in two."""

from __future__ import annotations

import numpy as np
import pytest

from predictor.errors import FeatureError
from predictor.features.run_halves import rest_halves, run_halves
from predictor.features.run_preparation import RestRun
from predictor.scan.cleaning import RegionTimeseries
from predictor.scan.confounds import Confounds
from predictor.scan.events import EventsTable
from predictor.scan.region_signals import RegionRecording
from predictor.scan.session import Run

N_VOLUMES = 101


@pytest.fixture
def run(rng: np.random.Generator) -> Run:
    recording = RegionRecording(
        region_names=("a", "b"),
        bold=rng.standard_normal((N_VOLUMES, 2)),
        coverage=np.ones(2),
        temporal_snr=np.array([50.0, 60.0]),
        carpet=np.zeros((N_VOLUMES, 3), dtype=np.float32),
        repetition_time_s=2.0,
        space="MNI152NLin2009cAsym",
        input_digest="sha256:0",
    )
    events = EventsTable(
        onset_s=np.array([0.0, 95.0, 99.9, 100.0, 150.0]),
        duration_s=np.array([15.0, 15.0, np.nan, 15.0, 80.0]),
        event_names=("face", "face", "button", "shape", "face"),
        condition=("faces", "faces", None, "control", "faces"),
        is_correct=(True, False, None, None, True),
    )
    return Run("faces", recording, None, events, 2.0, "sha256:0")


@pytest.fixture
def confounds(rng: np.random.Generator) -> Confounds:
    return Confounds(
        regressors=rng.standard_normal((N_VOLUMES, 2)),
        names=("trans_x", "trans_y"),
        framewise_displacement_mm=np.arange(N_VOLUMES, dtype=np.float64),
        is_censored=np.arange(N_VOLUMES) == 60,
        strategy_asked="motion6",
        strategy_used="motion6",
        fallback_reason=None,
    )


def test_halves_together_are_the_run(run: Run, confounds: Confounds) -> None:
    (first, first_confounds), (second, second_confounds) = run_halves(run, confounds)
    assert (first.n_volumes, second.n_volumes) == (50, 51)
    assert np.array_equal(np.vstack([first.recording.bold, second.recording.bold]), run.recording.bold)
    assert len(second.recording.carpet) == 51
    assert np.array_equal(second_confounds.regressors, confounds.regressors[50:])
    assert second_confounds.framewise_displacement_mm[0] == 50
    assert not first_confounds.is_censored.any()
    assert np.flatnonzero(second_confounds.is_censored).tolist() == [10]


def test_events_belong_to_the_half_in_which_they_begin(run: Run, confounds: Confounds) -> None:
    (first, _), (second, _) = run_halves(run, confounds)
    assert first.events is not None
    assert second.events is not None
    assert first.events.event_names == ("face", "face", "button")
    assert first.events.duration_s.tolist()[:2] == [15.0, 5.0]  # the second one is cut at 100 s
    assert np.isnan(first.events.duration_s[2])
    assert second.events.onset_s.tolist() == [0.0, 50.0]
    assert second.events.duration_s.tolist() == [15.0, 80.0]  # what lasts beyond the scanner was accepted before
    assert second.events.condition == ("control", "faces")
    assert first.events.is_correct == (True, False, None)


def test_what_is_known_of_the_whole_run_only_is_unknown_of_a_half(run: Run, confounds: Confounds) -> None:
    for half, _ in run_halves(run, confounds):
        assert np.isnan(half.recording.temporal_snr).all()
        assert half.recording.coverage.tolist() == [1.0, 1.0]
        assert half.confounds is None


def test_a_resting_run_is_cut_after_cleaning_at_the_same_moment(rng: np.random.Generator) -> None:
    is_censored = np.zeros(N_VOLUMES, dtype=np.bool_)
    is_censored[[3, 10, 70]] = True
    signals = rng.standard_normal((N_VOLUMES, 2))
    rest = RestRun(
        timeseries=RegionTimeseries(signals[~is_censored], ("a", "b"), 2.0),
        unbroken=RegionTimeseries(signals, ("a", "b"), 2.0),
        missing_regions={},
        freedom_left=0.5,
    )
    first, second = rest_halves(rest, is_censored, minimum_volumes=48)
    assert [len(part.timeseries.bold) for part in (first, second)] == [48, 50]
    assert [len(part.unbroken.bold) for part in (first, second)] == [50, 51]
    expected = np.corrcoef(signals[50:][~is_censored[50:]], rowvar=False)
    assert np.corrcoef(second.timeseries.bold, rowvar=False) == pytest.approx(expected)
    assert second.unbroken.bold.mean(axis=0) == pytest.approx(0, abs=1e-12)
    with pytest.raises(FeatureError, match="only 48 volumes of one half"):
        rest_halves(rest, is_censored, minimum_volumes=49)
