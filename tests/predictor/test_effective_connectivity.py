"""Directed connectivity."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from predictor.errors import FeatureError
from predictor.features.balloon_response import balloon_response
from predictor.features.effective_connectivity import (
    fit_effective_connectivity,
    informative_frequencies,
    up_to_highest,
)

REPETITION_TIME_S = 2.0
STEP_S = REPETITION_TIME_S / 16
N_VOLUMES = 300


def simulate(
    rng: np.random.Generator, connections: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return BOLD and input of a linear system that a stimulus drives through its first region."""
    n_bins, n_regions = N_VOLUMES * 16, len(connections)
    # Irregular blocks and own fluctuations in every region: with one slow, regular input all regions look alike.
    switches = np.cumsum(rng.uniform(4.0, 20.0, size=2 * N_VOLUMES))
    inputs = (np.searchsorted(switches, np.arange(n_bins) * STEP_S) % 2).astype(np.float64)[:, None]
    state = np.zeros((n_bins, n_regions))
    noise = 0.4 * np.sqrt(STEP_S) * rng.standard_normal((n_bins, n_regions))
    for step in range(n_bins - 1):
        drive = connections @ state[step]
        drive[0] += inputs[step, 0]
        state[step + 1] = state[step] + STEP_S * drive + noise[step]
    response = balloon_response(n_bins, STEP_S)
    bold = np.column_stack([np.convolve(column, response)[:n_bins:16] for column in state.T])
    bold -= bold.mean(axis=0)
    bold /= bold.std(axis=0)
    return bold + 0.3 * rng.standard_normal(bold.shape), inputs


def test_planted_direction_and_sign_are_recovered(rng: np.random.Generator) -> None:
    planted = np.array([[-0.5, 0.0, 0.0], [0.4, -0.5, 0.0], [0.0, -0.4, -0.5]])
    found = np.zeros((3, 3))
    for _ in range(5):
        bold, inputs = simulate(rng, planted)
        fit = fit_effective_connectivity(
            bold, REPETITION_TIME_S, inputs=inputs, input_mask=np.array([[True], [False], [False]])
        )
        found += fit.connections_hz / 5
    assert found[1, 0] > 0.1
    assert found[2, 1] < -0.05
    # Sizes come out at about half of the truth, and a chain leaks into its short cut; direction is what can be trusted.
    assert found[1, 0] > 2 * abs(found[0, 1])
    assert abs(found[2, 1]) > abs(found[1, 2])
    assert (np.diag(found) < 0).all()


def test_connections_left_out_are_zero_and_cost_evidence_when_they_exist(rng: np.random.Generator) -> None:
    bold, inputs = simulate(rng, np.array([[-0.5, 0.0], [0.4, -0.5]]))
    full = fit_effective_connectivity(bold, REPETITION_TIME_S, inputs=inputs)
    mask = np.array([[True, True], [False, True]])
    without = fit_effective_connectivity(bold, REPETITION_TIME_S, inputs=inputs, connection_mask=mask)
    assert without.connections_hz[1, 0] == 0
    assert without.variance[1, 0] == 0
    no_help = np.array([[True], [False]])
    strict = {"inputs": inputs, "input_mask": no_help}
    with_it = fit_effective_connectivity(bold, REPETITION_TIME_S, **strict).log_evidence
    without_it = fit_effective_connectivity(bold, REPETITION_TIME_S, connection_mask=mask, **strict).log_evidence
    assert with_it > without_it
    assert full.input_weights.shape == (2, 1)


def test_rest_needs_no_inputs(rng: np.random.Generator) -> None:
    fit = fit_effective_connectivity(rng.standard_normal((200, 3)), REPETITION_TIME_S)
    assert fit.input_weights.shape == (3, 0)
    assert np.isfinite(fit.connections_hz).all()
    assert fit.variance.min() > 0


def test_kept_frequencies_are_symmetric_and_hold_zero(rng: np.random.Generator) -> None:
    bold = rng.standard_normal((101, 2))
    kept = informative_frequencies(bold, balloon_response(101 * 16, STEP_S), np.empty((101, 0)), filter_strength=5)
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
        fit_effective_connectivity(bold, REPETITION_TIME_S, inputs=np.zeros((799, 1)))
    bold[3, 1] = np.nan
    with pytest.raises(FeatureError, match="without gaps"):
        fit_effective_connectivity(bold, REPETITION_TIME_S)
