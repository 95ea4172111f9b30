"""Directed connectivity."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import signal

from predictor.features.balloon_response import balloon_response
from predictor.features.effective_connectivity import fit_effective_connectivity
from predictor.features.network_regression import network_regression

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
            network_regression(bold, REPETITION_TIME_S, inputs=inputs, input_mask=np.array([[True], [False], [False]]))
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
    full = fit_effective_connectivity(network_regression(bold, REPETITION_TIME_S, inputs=inputs))
    mask = np.array([[True, True], [False, True]])
    without = fit_effective_connectivity(
        network_regression(bold, REPETITION_TIME_S, inputs=inputs, connection_mask=mask)
    )
    assert without.connections_hz[1, 0] == 0
    assert without.variance[1, 0] == 0
    no_help = np.array([[True], [False]])
    strict = {"inputs": inputs, "input_mask": no_help}
    with_it = fit_effective_connectivity(network_regression(bold, REPETITION_TIME_S, **strict)).log_evidence
    without_it = fit_effective_connectivity(
        network_regression(bold, REPETITION_TIME_S, connection_mask=mask, **strict)
    ).log_evidence
    assert with_it > without_it
    assert full.input_weights.shape == (2, 1)


def test_rest_needs_no_inputs(rng: np.random.Generator) -> None:
    fit = fit_effective_connectivity(network_regression(rng.standard_normal((200, 3)), REPETITION_TIME_S))
    assert fit.input_weights.shape == (3, 0)
    assert np.isfinite(fit.connections_hz).all()
    assert fit.variance.min() > 0


def test_weight_of_an_input_is_in_hertz_whoever_made_the_signals(rng: np.random.Generator) -> None:
    _, inputs = simulate(rng, np.array([[-0.5]]))
    # A leaky integrator that the stimulus drives with .6 Hz; one bin of it is a 16th of a volume.
    state = np.zeros(len(inputs))
    for step in range(len(state) - 1):
        state[step + 1] = state[step] + STEP_S * (0.6 * inputs[step, 0] / 16 - 0.5 * state[step])
    bold = np.convolve(state, balloon_response(len(state), STEP_S))[: len(state) : 16, None]
    bold = bold + 0.05 * bold.std() * rng.standard_normal(bold.shape)
    generated = fit_effective_connectivity(
        network_regression(bold, REPETITION_TIME_S, inputs=inputs, is_model_output=True)
    )
    measured = fit_effective_connectivity(network_regression(bold, REPETITION_TIME_S, inputs=inputs))
    assert generated.input_weights[0, 0] == pytest.approx(0.6, rel=0.5)
    assert measured.input_weights[0, 0] == pytest.approx(generated.input_weights[0, 0], rel=0.1)
    assert measured.input_variance[0, 0] == pytest.approx(generated.input_variance[0, 0], rel=0.5)


def test_posterior_narrows_with_longer_runs(rng: np.random.Generator) -> None:
    short, long = (
        fit_effective_connectivity(network_regression(rng.standard_normal((n, 3)), REPETITION_TIME_S))
        for n in (100, 400)
    )
    assert (long.variance < short.variance).all()
    assert (long.n_frequencies > 3 * short.n_frequencies).all()


def test_posterior_standard_deviation_is_the_spread_over_repeated_runs(rng: np.random.Generator) -> None:
    n_runs, n_bins, lead_bins = 120, 200 * 16, 320
    planted = np.array([[-0.6, 0.0, 0.2], [0.3, -0.6, 0.0], [0.0, -0.3, -0.6]])
    shocks = np.sqrt(STEP_S) * rng.standard_normal((lead_bins + n_bins, n_runs, 3))
    state = np.zeros_like(shocks)
    for step in range(len(state) - 1):
        state[step + 1] = state[step] + STEP_S * state[step] @ planted.T + shocks[step]
    bold = signal.fftconvolve(state, balloon_response(n_bins, STEP_S)[:, None, None], axes=0)[lead_bins::16][:200]
    bold = bold - bold.mean(axis=0)
    bold = bold / bold.std(axis=0) + 0.5 * rng.standard_normal(bold.shape)
    fits = [
        fit_effective_connectivity(network_regression(run, REPETITION_TIME_S, filter_strength=5))
        for run in bold.transpose(1, 0, 2)
    ]
    spread = np.std([fit.connections_hz for fit in fits], axis=0, ddof=1)
    posterior = np.sqrt(np.mean([fit.variance for fit in fits], axis=0))
    is_edge = ~np.eye(3, dtype=bool)
    assert np.mean(posterior[is_edge] / spread[is_edge]) == pytest.approx(1, abs=0.2)
    found = np.mean([fit.connections_hz for fit in fits], axis=0)
    planted_edges = is_edge & (planted != 0)
    assert (np.sign(found[planted_edges]) == np.sign(planted[planted_edges])).all()
