"""Cleaning against nilearn, and against signals whose clean form is known."""

from __future__ import annotations

import numpy as np
import pytest
from nilearn import signal
from numpy.typing import NDArray

from predictor.errors import FeatureError
from predictor.scan.cleaning import (
    MINIMUM_DEGREES_OF_FREEDOM,
    RegionTimeseries,
    clean,
    freedom_left,
    percent_signal_change,
)
from predictor.scan.confounds import Confounds
from predictor.scan.region_signals import RegionRecording

N_VOLUMES = 200
BAND = {"high_pass_hz": 0.01, "low_pass_hz": 0.1}


def recording_of(bold: NDArray[np.float64], repetition_time_s: float | None = 2.0) -> RegionRecording:
    n_volumes, n_regions = bold.shape
    return RegionRecording(
        region_names=tuple(f"region_{index}" for index in range(n_regions)),
        bold=bold,
        coverage=np.ones(n_regions),
        temporal_snr=np.full(n_regions, 50.0),
        carpet=np.zeros((n_volumes, 0), dtype=np.float32),
        repetition_time_s=repetition_time_s,
        space="MNI152NLin2009cAsym",
        input_digest="sha256:0",
    )


def timeseries_of(bold: NDArray[np.float64], repetition_time_s: float | None = 2.0) -> RegionTimeseries:
    return RegionTimeseries(bold, tuple(f"region_{index}" for index in range(bold.shape[1])), repetition_time_s)


def confounds_of(regressors: NDArray[np.float64], censored: tuple[int, ...] = ()) -> Confounds:
    is_censored = np.zeros(len(regressors), dtype=np.bool_)
    is_censored[list(censored)] = True
    names = tuple(f"regressor_{index}" for index in range(regressors.shape[1]))
    return Confounds(regressors, names, np.full(len(regressors), np.nan), is_censored, "none", "none", None)


def test_percent_signal_change_is_relative_to_the_mean() -> None:
    percent = percent_signal_change(recording_of(np.array([[90.0, 1.0], [110.0, 3.0]])))
    np.testing.assert_allclose(percent.bold, [[-10, -50], [10, 50]])
    assert percent.repetition_time_s == 2.0


def test_a_region_without_positive_mean_or_without_signal_becomes_nan() -> None:
    bold = np.array([[100.0, -1.0, np.nan, 0.0, 5.0], [102.0, 1.0, np.nan, 0.0, np.nan]])
    percent = percent_signal_change(recording_of(bold)).bold
    assert np.isfinite(percent[:, 0]).all()
    assert np.isnan(percent[:, 1:]).all()


# No pair of these is mirrored in time, which nilearn 0.14 does not fill.
@pytest.mark.parametrize("censored", [(), (5,), (0, 1, 40, 41), (150, 198, 199), (3, 10, 11, 12, 90)])
@pytest.mark.parametrize(
    "band", [BAND, {"high_pass_hz": 0.01, "low_pass_hz": None}, {"high_pass_hz": None, "low_pass_hz": None}]
)
def test_cleaning_is_nilearns_but_for_the_mean(
    rng: np.random.Generator, censored: tuple[int, ...], band: dict[str, float | None]
) -> None:
    bold = rng.standard_normal((N_VOLUMES, 4)).cumsum(axis=0)
    regressors = rng.standard_normal((N_VOLUMES, 6))
    kept = np.setdiff1d(np.arange(N_VOLUMES), censored)
    expected = signal.clean(
        bold,
        confounds=regressors,
        sample_mask=kept.copy(),
        high_pass=band["high_pass_hz"],
        low_pass=band["low_pass_hz"],
        t_r=2.0,
        standardize=None,
    )
    cleaned = clean(timeseries_of(bold), confounds_of(regressors, censored), **band)
    assert cleaned.bold.shape == (len(kept), 4)
    np.testing.assert_allclose(cleaned.bold, expected - expected.mean(axis=0), atol=1e-9)


@pytest.mark.parametrize("censored", [(60,), (60, 139), (0, 199), (0, 1, 2, 30, 198, 199)])
def test_what_happened_in_a_censored_volume_changes_nothing(
    rng: np.random.Generator, censored: tuple[int, ...]
) -> None:
    bold, regressors = rng.standard_normal((N_VOLUMES, 3)), rng.standard_normal((N_VOLUMES, 4))
    spoiled_bold, spoiled_regressors = bold.copy(), regressors.copy()
    spoiled_bold[list(censored)] += 1_000
    spoiled_regressors[list(censored)] -= 1_000
    reference = clean(timeseries_of(bold), confounds_of(regressors, censored), **BAND)
    cleaned = clean(timeseries_of(spoiled_bold), confounds_of(spoiled_regressors, censored), **BAND)
    np.testing.assert_allclose(cleaned.bold, reference.bold, atol=1e-9)


def test_a_wave_inside_the_band_stays_and_those_outside_go() -> None:
    n_volumes = 1_000  # long, so that the filter's edges can be left out
    time_s = np.arange(n_volumes) * 2.0
    waves = np.column_stack([np.sin(2 * np.pi * frequency * time_s) for frequency in (0.0025, 0.04, 0.2)])
    cleaned = clean(timeseries_of(waves), confounds_of(np.empty((n_volumes, 0))), **BAND).bold[200:-200]
    ratio = cleaned.std(axis=0) / waves[200:-200].std(axis=0)
    assert ratio[1] == pytest.approx(1, abs=0.02)
    assert ratio[0] < 0.01
    assert ratio[2] < 0.01


def test_a_confound_in_the_signal_is_removed(rng: np.random.Generator) -> None:
    regressor, brain = rng.standard_normal((N_VOLUMES, 1)), rng.standard_normal((N_VOLUMES, 1))
    mixed = clean(timeseries_of(brain + 5 * regressor), confounds_of(regressor), **BAND).bold
    pure = clean(timeseries_of(brain), confounds_of(regressor), **BAND).bold
    np.testing.assert_allclose(mixed, pure, atol=1e-9)


def test_the_unit_is_kept(rng: np.random.Generator) -> None:
    bold = rng.standard_normal((N_VOLUMES, 2))
    confounds = confounds_of(rng.standard_normal((N_VOLUMES, 3)))
    once, thrice = (clean(timeseries_of(factor * bold), confounds, **BAND).bold for factor in (1, 3))
    np.testing.assert_allclose(thrice, 3 * once, atol=1e-9)


def test_regions_without_signal_stay_nan_and_leave_the_others_alone(rng: np.random.Generator) -> None:
    bold, regressors = rng.standard_normal((N_VOLUMES, 3)), rng.standard_normal((N_VOLUMES, 2))
    with_gap = bold.copy()
    with_gap[:, 1] = np.nan
    cleaned = clean(timeseries_of(with_gap), confounds_of(regressors, (7,)), **BAND).bold
    reference = clean(timeseries_of(bold), confounds_of(regressors, (7,)), **BAND).bold
    assert np.isnan(cleaned[:, 1]).all()
    np.testing.assert_allclose(cleaned[:, [0, 2]], reference[:, [0, 2]], atol=1e-12)
    assert np.isnan(clean(timeseries_of(np.full((N_VOLUMES, 1), np.nan)), confounds_of(regressors), **BAND).bold).all()


def test_a_low_pass_above_the_nyquist_frequency_has_nothing_to_remove(rng: np.random.Generator) -> None:
    bold, nothing = rng.standard_normal((N_VOLUMES, 2)), confounds_of(np.empty((N_VOLUMES, 0)))
    slow = timeseries_of(bold, repetition_time_s=5.0)
    with_low_pass = clean(slow, nothing, high_pass_hz=0.01, low_pass_hz=0.1).bold
    np.testing.assert_array_equal(with_low_pass, clean(slow, nothing, high_pass_hz=0.01, low_pass_hz=None).bold)


def test_a_filter_without_repetition_time_is_a_named_error(rng: np.random.Generator) -> None:
    bold, nothing = rng.standard_normal((N_VOLUMES, 2)), confounds_of(np.empty((N_VOLUMES, 0)))
    with pytest.raises(FeatureError, match="repetition time"):
        clean(timeseries_of(bold, None), nothing, **BAND)
    assert clean(timeseries_of(bold, None), nothing, high_pass_hz=None, low_pass_hz=None).bold.shape == (N_VOLUMES, 2)


@pytest.mark.parametrize(("high", "low"), [(0.1, 0.01), (0.3, None), (-0.01, 0.1), (0.1, 0.1)])
def test_an_empty_pass_band_is_a_named_error(rng: np.random.Generator, high: float, low: float | None) -> None:
    with pytest.raises(FeatureError, match="pass band"):
        clean(
            timeseries_of(rng.standard_normal((N_VOLUMES, 2))),
            confounds_of(np.empty((N_VOLUMES, 0))),
            high_pass_hz=high,
            low_pass_hz=low,
        )


def test_too_few_degrees_of_freedom_are_a_named_error(rng: np.random.Generator) -> None:
    # 100 volumes at 2 s, 36 % of the spectrum: 36, minus the regressors.
    bold = timeseries_of(rng.standard_normal((100, 2)))
    most = 36 - MINIMUM_DEGREES_OF_FREEDOM
    assert clean(bold, confounds_of(rng.standard_normal((100, most))), **BAND).bold.shape == (100, 2)
    with pytest.raises(FeatureError, match=f"{most + 1} regressors 9 degrees of freedom"):
        clean(bold, confounds_of(rng.standard_normal((100, most + 1))), **BAND)


def test_regressors_that_repeat_each_other_count_once(rng: np.random.Generator) -> None:
    bold, one = timeseries_of(rng.standard_normal((100, 2))), rng.standard_normal((100, 1))
    constant, drift = np.full((100, 1), 1e5), 1e4 + np.arange(100.0)[:, None]
    repeats = [one * factor + factor for factor in range(40)]
    repeated = clean(bold, confounds_of(np.hstack([constant, drift, *repeats])), **BAND)
    np.testing.assert_allclose(repeated.bold, clean(bold, confounds_of(one), **BAND).bold, atol=1e-8)


@pytest.mark.parametrize("n_kept", [0, 1, 5])
def test_a_run_that_is_censored_away_is_a_named_error(rng: np.random.Generator, n_kept: int) -> None:
    censored = tuple(range(n_kept, 100))
    for band in (BAND, {"high_pass_hz": None, "low_pass_hz": None}):
        with pytest.raises(FeatureError, match=f"{n_kept} of 100 volumes"):
            clean(timeseries_of(rng.standard_normal((100, 2))), confounds_of(np.empty((100, 0)), censored), **band)


def test_a_run_shorter_than_the_filter_is_a_named_error(rng: np.random.Generator) -> None:
    with pytest.raises(FeatureError):
        clean(
            timeseries_of(rng.standard_normal((14, 2))),
            confounds_of(np.empty((14, 0))),
            high_pass_hz=0.01,
            low_pass_hz=0.24,
        )


def test_confounds_of_another_run_are_a_named_error(rng: np.random.Generator) -> None:
    with pytest.raises(FeatureError, match="200 volumes, got 100"):
        clean(timeseries_of(rng.standard_normal((200, 2))), confounds_of(np.empty((100, 0))), **BAND)


@pytest.mark.parametrize("band", [BAND, {"high_pass_hz": None, "low_pass_hz": None}])
def test_freedom_left_is_the_share_of_noise_that_regressing_out_noise_leaves(
    rng: np.random.Generator, band: dict[str, float | None]
) -> None:
    noise = timeseries_of(rng.standard_normal((N_VOLUMES, 300)))
    unrelated, nothing = confounds_of(rng.standard_normal((N_VOLUMES, 25))), confounds_of(np.empty((N_VOLUMES, 0)))
    left = clean(noise, unrelated, **band).bold.var() / clean(noise, nothing, **band).bold.var()
    assert freedom_left(2.0, unrelated, **band) == pytest.approx(left, abs=0.05)
    assert freedom_left(2.0, nothing, **band) == 1


def test_more_regressors_than_freedom_leave_none(rng: np.random.Generator) -> None:
    assert freedom_left(2.0, confounds_of(rng.standard_normal((N_VOLUMES, 90))), **BAND) < 0
