"""Which connections exist, and how strong they are."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import signal

from predictor.errors import FeatureError
from predictor.features.balloon_response import balloon_response
from predictor.features.effective_connectivity import fit_effective_connectivity
from predictor.features.network_regression import NetworkRegression, network_regression
from predictor.features.sparse_connectivity import fit_sparse_connectivity

TR_S, N_VOLUMES, N_REGIONS = 0.5, 900, 6
PLANTED = {(1, 0): 0.5, (2, 1): -0.5, (4, 3): 0.5, (0, 5): -0.4}  # (to, from): Hz


@pytest.fixture
def regression(rng: np.random.Generator) -> NetworkRegression:
    """Return a long, quiet recording of six regions with four connections, each region with a stimulus of its own."""
    step_s, n_bins = TR_S / 16, 16 * N_VOLUMES
    connections = -0.6 * np.eye(N_REGIONS)
    for edge, strength in PLANTED.items():
        connections[edge] = strength
    inputs = np.repeat(rng.random((n_bins // 48, N_REGIONS)) < 0.3, 48, axis=0).astype(np.float64)
    state = np.zeros_like(inputs)
    for step in range(n_bins - 1):
        state[step + 1] = state[step] + step_s * (connections @ state[step] + inputs[step] / 16)
    bold = signal.fftconvolve(state, balloon_response(n_bins, step_s)[:, None], axes=0)[:n_bins:16]
    bold += bold.std() / 10 * rng.standard_normal(bold.shape)
    is_driven = np.eye(N_REGIONS, dtype=bool)
    return network_regression(bold, TR_S, inputs=inputs, input_mask=is_driven, is_model_output=True)


def test_planted_connections_are_switched_on_with_their_sign_and_the_others_mostly_off(
    regression: NetworkRegression,
) -> None:
    found = fit_sparse_connectivity(regression, n_starts=10)
    exists = np.zeros((N_REGIONS, N_REGIONS), dtype=bool)
    for edge, strength in PLANTED.items():
        exists[edge] = True
        assert found.inclusion[edge] > 0.9
        assert np.sign(found.connections_hz[edge]) == np.sign(strength)
    is_absent = ~exists & ~np.eye(N_REGIONS, dtype=bool)
    assert np.mean(found.inclusion[is_absent] < 0.5) > 0.75
    assert (found.connections_hz[is_absent & (found.inclusion < 0.5)] == 0).all()
    assert (np.diag(found.inclusion) == 1).all()


def test_with_every_switch_on_the_strengths_are_those_of_the_plain_model(regression: NetworkRegression) -> None:
    everything = np.ones((N_REGIONS, N_REGIONS))
    found = fit_sparse_connectivity(regression, prior_inclusion=1 - 1e-15, start=everything)
    plain = fit_effective_connectivity(regression)
    assert found.inclusion == pytest.approx(everything, abs=1e-3)
    assert found.connections_hz == pytest.approx(plain.connections_hz, abs=2e-3)


def test_more_starts_never_end_lower_and_a_seed_repeats_itself(regression: NetworkRegression) -> None:
    few, again = (fit_sparse_connectivity(regression, n_starts=2, random_state=3) for _ in range(2))
    many = fit_sparse_connectivity(regression, n_starts=12)
    assert np.array_equal(few.connections_hz, again.connections_hz)
    assert many.objective >= few.objective - 1e-3


def test_a_connection_that_is_masked_out_stays_out(rng: np.random.Generator) -> None:
    mask = np.ones((3, 3), dtype=bool)
    mask[2, 0] = False
    inputs = np.zeros((16 * 120, 1))
    inputs[160:480] = inputs[900:1300] = 1
    found = fit_sparse_connectivity(
        network_regression(rng.standard_normal((120, 3)), 2.0, inputs=inputs, connection_mask=mask), n_starts=3
    )
    assert found.inclusion[2, 0] == found.connections_hz[2, 0] == 0
    assert found.input_weights.shape == (3, 1)
    assert np.isfinite(found.objective)


@pytest.mark.parametrize("wrong", [{"prior_inclusion": 0.0}, {"prior_inclusion": 1.0}, {"n_starts": 0}])
def test_an_impossible_prior_or_no_start_is_a_named_error(
    regression: NetworkRegression, wrong: dict[str, float]
) -> None:
    with pytest.raises(FeatureError, match="not possible"):
        fit_sparse_connectivity(regression, **wrong)
