"""Stimuli, convolution and drift."""

from __future__ import annotations

import numpy as np
import pytest
from nilearn.glm.first_level import make_first_level_design_matrix
from pandas import DataFrame

from predictor.errors import FeatureError
from predictor.features.hrf import ResponseModel, canonical_hrf, orthogonal_hrf_basis
from predictor.features.task_design import (
    PRELUDE_BINS,
    Condition,
    DesignMatrix,
    MicrotimeGrid,
    condition_regressors,
    convolve_hrf,
    cosine_drift,
    remove_drift,
    stimulus,
)

GRID = MicrotimeGrid(100, 2.0)


def condition(onsets: list[float], durations: list[float], name: str = "faces") -> Condition:
    return Condition(name, np.array(onsets), np.array(durations))


def test_a_block_lasts_one_bin_longer_than_its_duration() -> None:
    shown = stimulus(condition([10.0], [4.0]), GRID)[PRELUDE_BINS:]
    assert np.flatnonzero(shown).tolist() == list(range(80, 80 + 32 + 1))
    assert set(shown) == {0.0, 1.0}


def test_events_without_length_have_an_area_of_one_second() -> None:
    shown = stimulus(condition([10.0, 20.0], [0.0, 0.0]), GRID)
    assert shown.sum() * GRID.step_s == pytest.approx(2.0)
    assert np.count_nonzero(shown) == 2


def test_one_event_with_length_makes_all_of_its_condition_boxes() -> None:
    shown = stimulus(condition([10.0, 20.0], [0.0, 1.0]), GRID)
    assert shown.max() == 1.0


def test_overlapping_events_add_up() -> None:
    shown = stimulus(condition([10.0, 12.0], [4.0, 4.0]), GRID)
    assert shown.max() == 2.0


def test_half_bins_are_rounded_away_from_zero_on_both_sides() -> None:
    step = GRID.step_s
    after = stimulus(condition([2.5 * step], [1.0]), GRID)
    before = stimulus(condition([-2.5 * step], [1.0]), GRID)
    assert np.flatnonzero(after)[0] == PRELUDE_BINS + 3
    assert np.flatnonzero(before)[0] == PRELUDE_BINS - 3


def test_an_event_just_before_the_run_shows_in_the_design_but_not_in_the_run_s_bins() -> None:
    early = condition([-1.0], [0.5])
    assert stimulus(early, GRID)[PRELUDE_BINS:].sum() == 0
    assert condition_regressors((early,), GRID).columns.max() > 0.05


def test_an_event_that_outlasts_the_run_is_cut_off() -> None:
    shown = stimulus(condition([190.0], [1000.0]), GRID)
    assert shown.size == GRID.n_bins + PRELUDE_BINS
    assert shown[-1] == 1.0


def test_a_long_block_reaches_a_height_of_one() -> None:
    regressor = condition_regressors((condition([10.0], [100.0]),), GRID).columns[:, 0]
    assert regressor[40] == pytest.approx(1.0, abs=1e-6)


def test_convolution_is_that_of_numpy(rng: np.random.Generator) -> None:
    signal = rng.standard_normal((GRID.n_bins, 2))
    expected = np.convolve(signal[:, 1], canonical_hrf(GRID.step_s))[: GRID.n_bins]
    assert convolve_hrf(signal, GRID)[:, 1] == pytest.approx(expected, abs=1e-12)


def test_regressor_agrees_with_nilearn_s_up_to_its_time_grid() -> None:
    frame_times = (np.arange(100) + 7 / 16) * 2.0
    events = DataFrame({"onset": [10.0, 60.0, 120.0], "duration": [20.0] * 3, "trial_type": ["faces"] * 3})
    matrix = make_first_level_design_matrix(frame_times, events, hrf_model="spm", drift_model=None)
    ours = condition_regressors((condition([10.0, 60.0, 120.0], [20.0] * 3),), GRID).columns[:, 0]
    assert np.corrcoef(ours, matrix["faces"])[0, 1] > 0.999


def test_drift_is_orthonormal_slow_and_without_the_mean() -> None:
    drift = cosine_drift(200, 2.0, 128.0)
    assert drift.T @ drift == pytest.approx(np.eye(6), abs=1e-12)
    assert drift.mean(axis=0) == pytest.approx(np.zeros(6), abs=1e-12)
    crossings = np.count_nonzero(np.diff(np.sign(drift[:, -1])))
    assert 2 * 200 * 2.0 / crossings >= 128.0


def test_a_run_shorter_than_half_the_period_has_no_drift() -> None:
    drift = cosine_drift(30, 2.0, 128.0)
    assert drift.shape == (30, 0)
    signal = np.arange(30.0)[:, None]
    assert remove_drift(signal, drift) == pytest.approx(signal)


def test_drift_is_removed_and_the_mean_stays(rng: np.random.Generator) -> None:
    drift = cosine_drift(200, 2.0, 128.0)
    signal = 100 + drift @ rng.standard_normal(6)
    assert remove_drift(signal, drift) == pytest.approx(np.full(200, 100.0))


def test_impossible_grids_conditions_and_contrasts_are_named_errors() -> None:
    with pytest.raises(FeatureError, match="positive repetition time"):
        MicrotimeGrid(10, 0.0)
    with pytest.raises(FeatureError, match="onset bin of 1 to 16"):
        MicrotimeGrid(10, 2.0, 16, 17)
    with pytest.raises(FeatureError, match="one duration per onset"):
        condition([1.0], [1.0, 2.0])
    with pytest.raises(FeatureError, match="not finite"):
        condition([1.0], [np.nan])
    with pytest.raises(FeatureError, match="no column shapes"):
        DesignMatrix(np.ones((5, 1)), ("faces",)).weights({"faces": 1.0, "shapes": -1.0})


def test_derivatives_follow_the_conditions_under_their_names() -> None:
    conditions = (condition([10.0], [4.0]), condition([60.0], [4.0], name="control"))
    plain = condition_regressors(conditions, GRID)
    both = condition_regressors(conditions, GRID, response=ResponseModel(n_derivatives=2))
    assert both.names == (
        "faces",
        "control",
        "faces_time_derivative",
        "control_time_derivative",
        "faces_dispersion_derivative",
        "control_dispersion_derivative",
    )
    assert both.columns[:, :2] == pytest.approx(plain.columns, abs=1e-12)
    shown = stimulus(conditions[1], GRID)
    kernel = orthogonal_hrf_basis(GRID.step_s)[:, 1]
    expected = np.convolve(shown, kernel)[GRID.sampled_bins + PRELUDE_BINS]
    assert both.columns[:, 3] == pytest.approx(expected, abs=1e-10)


def test_a_time_derivative_takes_up_a_late_response() -> None:
    early, late = (condition_regressors((condition([onset], [4.0]),), GRID).columns[:, 0] for onset in (10.0, 10.5))
    basis = condition_regressors((condition([10.0], [4.0]),), GRID, response=ResponseModel(n_derivatives=1)).columns
    left = [late - columns @ np.linalg.lstsq(columns, late)[0] for columns in (early[:, None], basis)]
    assert np.linalg.norm(left[1]) < 0.2 * np.linalg.norm(left[0])


def test_the_shape_of_the_response_reaches_the_design() -> None:
    regressors = [
        condition_regressors((condition([10.0], [1.0]),), GRID, response=ResponseModel(shape)).columns[:, 0]
        for shape in ("spm", "glover")
    ]
    assert np.abs(regressors[0] - regressors[1]).max() > 0.1 * regressors[0].max()
    impulse = np.zeros(GRID.n_bins)
    impulse[0] = 1.0
    kernel = canonical_hrf(GRID.step_s, shape="glover")
    assert convolve_hrf(impulse, GRID, shape="glover")[: kernel.size] == pytest.approx(kernel, abs=1e-12)
