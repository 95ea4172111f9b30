"""Connectivity in windows of time."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from predictor.errors import FeatureError
from predictor.features.dynamic_connectivity import (
    TimeWindow,
    sliding_windows,
    windowed_fisher_z,
)
from predictor.features.rest_connectivity import fisher_z_edges
from predictor.scan.cleaning import RegionTimeseries

REGIONS = ("amygdala_L", "vmPFC", "dmPFC")
TR_S = 2.0
N_VOLUMES = 300
MINUTES = tuple(TimeWindow(f"{start}-{start + 2} min", 60.0 * start, 60.0 * (start + 2)) for start in (0, 2, 4, 6, 8))


@pytest.fixture
def bold(rng: np.random.Generator) -> NDArray[np.float64]:
    """Return ten minutes in which amygdala and vmPFC let go of each other, minute by minute."""
    coupling = np.linspace(0.8, 0.0, N_VOLUMES)
    amygdala, other, dmpfc = rng.standard_normal((3, N_VOLUMES))
    return np.column_stack([amygdala, coupling * amygdala + np.sqrt(1 - coupling**2) * other, dmpfc])


def nothing_censored() -> NDArray[np.bool_]:
    return np.zeros(N_VOLUMES, dtype=np.bool_)


def series(bold: NDArray[np.float64], repetition_time_s: float | None = TR_S) -> RegionTimeseries:
    return RegionTimeseries(bold, REGIONS, repetition_time_s)


def test_a_window_is_the_fisher_z_of_its_volumes(bold: NDArray[np.float64]) -> None:
    found = windowed_fisher_z(series(bold), nothing_censored(), MINUTES)
    for number in range(len(MINUTES)):
        expected = fisher_z_edges(series(bold[60 * number : 60 * (number + 1)]))
        assert found.fisher_z[number] == pytest.approx(expected)
    assert found.edges == (("amygdala_L", "vmPFC"), ("amygdala_L", "dmPFC"), ("vmPFC", "dmPFC"))
    assert found.n_volumes.tolist() == [60] * 5
    assert not found.missing


def test_a_ramp_of_coupling_is_seen_as_a_ramp(bold: NDArray[np.float64]) -> None:
    found = windowed_fisher_z(series(bold), nothing_censored(), MINUTES, edges=[("vmPFC", "amygdala_L")])
    expected = np.arctanh([0.72, 0.56, 0.4, 0.24, 0.08])
    assert found.fisher_z[:, 0] == pytest.approx(expected, abs=3 / np.sqrt(57))
    assert np.polyfit(np.arange(5), found.fisher_z[:, 0], 1)[0] < -0.1


def test_censored_volumes_count_neither_as_signal_nor_as_time(
    bold: NDArray[np.float64], rng: np.random.Generator
) -> None:
    is_censored = nothing_censored()
    is_censored[rng.choice(N_VOLUMES, 60, replace=False)] = True
    ruined = np.where(is_censored[:, None], 1e6, bold)
    every = windowed_fisher_z(series(ruined), is_censored, MINUTES)
    kept_only = windowed_fisher_z(series(bold[~is_censored]), is_censored, MINUTES)
    assert every.fisher_z == pytest.approx(kept_only.fisher_z)
    third = bold[120:180][~is_censored[120:180]]
    assert kept_only.fisher_z[2] == pytest.approx(fisher_z_edges(series(third)))
    assert kept_only.n_volumes.tolist() == np.count_nonzero(~is_censored.reshape(5, 60), axis=1).tolist()


def test_windows_share_no_volume_when_they_meet_at_one() -> None:
    # .8 s times 75 is 60.00000000000001 s: the clock must not lose a volume to rounding.
    bold = np.random.default_rng(1).standard_normal((1500, 3))
    windows = [TimeWindow(str(start), 60.0 * start, 60.0 * (start + 1)) for start in range(20)]
    found = windowed_fisher_z(series(bold, 0.8), np.zeros(1500, dtype=bool), windows)
    assert found.n_volumes.tolist() == [75] * 20


def test_a_window_with_too_few_volumes_is_missing_and_says_how_few(bold: NDArray[np.float64]) -> None:
    is_censored = nothing_censored()
    is_censored[60:95] = True
    windows = (*MINUTES, TimeWindow("after the end", 590.0, 710.0))
    found = windowed_fisher_z(series(bold), is_censored, windows)
    assert np.isnan(found.fisher_z[[1, 5]]).all()
    assert np.isfinite(found.fisher_z[[0, 2, 3, 4]]).all()
    assert found.missing[1, 2] == "only 25 of 60 volumes of the window 2-4 min are usable; 30 are needed"
    assert found.missing[5, 0] == "only 5 of 60 volumes of the window after the end are usable; 30 are needed"
    assert set(found.missing) == {(window, edge) for window in (1, 5) for edge in range(3)}


def test_half_of_a_long_window_must_be_there_whatever_the_number_of_volumes(bold: NDArray[np.float64]) -> None:
    ten_minutes_from_six = [TimeWindow("6-16 min", 360.0, 960.0)]
    found = windowed_fisher_z(series(bold), nothing_censored(), ten_minutes_from_six)
    assert found.missing[0, 0].startswith("only 120 of 300 volumes")
    lenient = windowed_fisher_z(series(bold), nothing_censored(), ten_minutes_from_six, minimum_share=0.3)
    assert np.isfinite(lenient.fisher_z).all()


def test_a_lost_or_unknown_region_takes_only_its_own_edges_with_it(bold: NDArray[np.float64]) -> None:
    lost = bold.copy()
    lost[:, 2] = np.nan
    found = windowed_fisher_z(
        series(lost), nothing_censored(), MINUTES, edges=[("amygdala_L", "vmPFC"), ("vmPFC", "dmPFC"), ("PCC", "vmPFC")]
    )
    assert np.isfinite(found.fisher_z[:, 0]).all()
    assert found.missing[0, 1] == "vmPFC or dmPFC has no change of signal"
    assert found.missing[4, 2] == "region not recorded: PCC"


def test_one_signal_in_two_regions_is_no_infinite_connectivity(bold: NDArray[np.float64]) -> None:
    twins = bold.copy()
    twins[:, 1] = 2 * bold[:, 0]
    found = windowed_fisher_z(series(twins), nothing_censored(), MINUTES)
    assert np.isnan(found.fisher_z[:, 0]).all()
    assert found.missing[0, 0] == "amygdala_L and vmPFC carry the same signal"


def test_sliding_windows_lie_in_the_run_whole() -> None:
    windows = sliding_windows(600.0, 120.0, 30.0)
    assert len(windows) == 17
    assert (windows[0].start_s, windows[-1].end_s) == (0.0, 600.0)
    assert {window.duration_s for window in windows} == {120.0}
    assert len(sliding_windows(601.0, 120.0, 30.0)) == 17
    assert len(sliding_windows(0.3, 0.1, 0.1)) == 3


@pytest.mark.parametrize(("duration_s", "length_s", "step_s"), [(600, 0, 30), (600, 60, 0), (600, 60, np.nan)])
def test_windows_without_length_or_step_are_named_errors(duration_s: float, length_s: float, step_s: float) -> None:
    with pytest.raises(FeatureError, match="not possible"):
        sliding_windows(duration_s, length_s, step_s)


def test_a_run_shorter_than_a_window_is_a_named_error() -> None:
    with pytest.raises(FeatureError, match="a run of 60 s is shorter than one window of 120 s"):
        sliding_windows(60.0, 120.0, 30.0)


@pytest.mark.parametrize(("start_s", "end_s"), [(60.0, 60.0), (-1.0, 60.0), (0.0, np.inf), (np.nan, 60.0)])
def test_windows_that_go_nowhere_are_named_errors(start_s: float, end_s: float) -> None:
    with pytest.raises(FeatureError, match="window baseline"):
        TimeWindow("baseline", start_s, end_s)


def test_signals_of_another_run_and_an_unknown_clock_are_named_errors(bold: NDArray[np.float64]) -> None:
    with pytest.raises(FeatureError, match="all 300 volumes or of the 300 kept ones, got 299"):
        windowed_fisher_z(series(bold[:-1]), nothing_censored(), MINUTES)
    with pytest.raises(FeatureError, match="repetition time is unknown"):
        windowed_fisher_z(series(bold, None), nothing_censored(), MINUTES)
