"""Regressions in the Fourier domain: which frequencies count, and what cannot be used."""

from __future__ import annotations

import numpy as np
import pytest

from predictor.errors import FeatureError
from predictor.features.balloon_response import balloon_response
from predictor.features.network_regression import informative_frequencies, network_regression, up_to_highest

REPETITION_TIME_S = 2.0
STEP_S = REPETITION_TIME_S / 16


def test_kept_frequencies_are_symmetric_and_hold_zero(rng: np.random.Generator) -> None:
    bold = rng.standard_normal((101, 2))
    kept = informative_frequencies(bold, balloon_response(101 * 16, STEP_S), None, filter_strength=5)
    assert kept[0].all()
    assert np.array_equal(kept[1:], kept[:0:-1])
    # 7 / 32 of the frequencies on either side.
    assert kept.sum(axis=0).tolist() == [2 * 22 + 1] * 2


def test_everything_below_the_highest_informative_frequency_is_used() -> None:
    informative = np.zeros((9, 2), dtype=bool)
    informative[0] = True
    informative[[3, 6], 0] = True
    assert np.flatnonzero(up_to_highest(informative)[:, 0]).tolist() == [0, 1, 2, 3, 6, 7, 8]
    assert np.flatnonzero(up_to_highest(informative)[:, 1]).tolist() == [0]


def test_gaps_and_inputs_of_another_length_are_named_errors(rng: np.random.Generator) -> None:
    bold = rng.standard_normal((50, 2))
    with pytest.raises(FeatureError, match="800 microtime bins"):
        network_regression(bold, REPETITION_TIME_S, inputs=np.zeros((799, 1)))
    bold[3, 1] = np.nan
    with pytest.raises(FeatureError, match="without gaps"):
        network_regression(bold, REPETITION_TIME_S)


def test_frequencies_that_a_regular_stimulus_leaves_empty_are_noise(rng: np.random.Generator) -> None:
    # Blocks every 20 volumes, 5 volumes long, exactly 10 times: only every 10th frequency is driven.
    inputs = np.tile(np.repeat([1.0, 0.0], [5 * 16, 15 * 16]), 10)[:, None]
    response = balloon_response(200 * 16, STEP_S)
    bold = rng.standard_normal((200, 1)) + 5 * np.convolve(inputs[:, 0], response)[: 200 * 16 : 16, None]
    kept = informative_frequencies(bold - bold.mean(axis=0), response, inputs, filter_strength=5)
    assert np.flatnonzero(kept[:101, 0])[1] == 10
    assert (np.flatnonzero(kept[:, 0]) % 10 == 0).all()
    assert np.count_nonzero(kept) < 20


def test_each_region_has_the_columns_of_its_masks_and_the_constant(rng: np.random.Generator) -> None:
    bold, inputs = rng.standard_normal((60, 3)), np.zeros((960, 2))
    inputs[100:300, 0] = inputs[500:700, 1] = 1
    connections = np.array([[True, False, True], [True, True, True], [False, False, True]])
    driven = np.array([[True, False], [False, False], [True, True]])
    regression = network_regression(
        bold, REPETITION_TIME_S, inputs=inputs, connection_mask=connections, input_mask=driven
    )
    assert [regression.of(region).regressors.shape[1] for region in range(3)] == [2 + 1 + 1, 3 + 0 + 1, 1 + 2 + 1]
    assert regression.of(0).prior_mean.tolist() == [-0.5, 0, 0, 0]
    assert regression.of(0).prior_precision.tolist() == [24, 3 / 8, 1, 1e-8]
    assert network_regression(bold, REPETITION_TIME_S).regressors.shape[1] == 3


def test_slopes_are_differences_from_volume_to_volume(rng: np.random.Generator) -> None:
    bold = np.cumsum(rng.standard_normal((64, 2)), axis=0)
    regression = network_regression(bold - bold.mean(axis=0), REPETITION_TIME_S)
    kept = np.fft.ifft(regression.regressors, axis=0)  # the signal, its fast frequencies taken away
    expected = (np.roll(kept, -1, axis=0) - kept) / REPETITION_TIME_S
    assert np.fft.ifft(regression.slopes, axis=0) == pytest.approx(expected)
