from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import solve_continuous_lyapunov

from predictor.circuit.circuit import circuit_of_names, load_circuit
from predictor.errors import ConfigError
from training.simulation.neural_model import (
    LEAD_IN_VOLUMES,
    MICROTIME_BINS_PER_VOLUME,
    NEURONAL_NOISE,
    Coupling,
    Inhibition,
    bold_percent,
    condition_drive,
    draw_coupling,
    draw_inhibition,
    haemodynamic_response,
    inhibition_population_hz,
    neuronal_activity,
)

CIRCUIT = load_circuit()


def _activity(coupling: Coupling, rng: np.random.Generator, *, faces_on: float = 0.0, n_bins: int = 4000) -> np.ndarray:
    drive = np.zeros((n_bins, 2, len(coupling.region_names)))
    return neuronal_activity(coupling, faces_on=np.full((n_bins, 2), faces_on), drive=drive, bin_s=0.125, rng=rng)


def test_covariance_of_the_activity_is_that_of_the_stochastic_differential_equation(rng: np.random.Generator) -> None:
    coupling = draw_coupling(CIRCUIT, Inhibition(0.5, 0.5), rng)
    activity = _activity(coupling, rng, n_bins=120_000)[1000:].reshape(-1, 12)
    step = np.eye(12) + 0.125 * coupling.endogenous
    # The exact covariance of the discretised process solves P = S P S' + dt Q; the continuous one must be close.
    discrete = np.zeros((12, 12))
    for _ in range(2000):
        discrete = step @ discrete @ step.T + 0.125 * NEURONAL_NOISE**2 * np.eye(12)
    continuous = solve_continuous_lyapunov(coupling.endogenous, -(NEURONAL_NOISE**2) * np.eye(12))
    assert np.cov(activity, rowvar=False) == pytest.approx(discrete, abs=0.06)
    assert np.diag(discrete) == pytest.approx(np.diag(continuous), rel=0.1)


def test_dynamics_of_everyone_are_stable(rng: np.random.Generator) -> None:
    for mean_sd in (0.0, 0.5):
        drawn = [draw_coupling(CIRCUIT, draw_inhibition(rng, mean_sd=mean_sd), rng) for _ in range(400)]
        assert min(coupling.slowest_decay_hz for coupling in drawn) > 0


def test_population_figures_are_those_of_a_large_sample(rng: np.random.Generator) -> None:
    drawn = [draw_coupling(CIRCUIT, draw_inhibition(rng), rng).inhibition_hz(during_faces=True) for _ in range(3000)]
    mean_hz, sd_hz = inhibition_population_hz()
    assert np.mean(drawn) == pytest.approx(mean_hz, abs=4 * sd_hz / np.sqrt(3000))
    assert np.std(drawn) == pytest.approx(sd_hz, rel=0.06)


def test_inhibition_lowers_the_correlation_of_amygdala_and_vmpfc(rng: np.random.Generator) -> None:
    pair = [CIRCUIT.region_names.index(name) for name in ("amygdala_L", "vmPFC")]
    weak, strong = (
        np.corrcoef(_activity(draw_coupling(CIRCUIT, Inhibition(sd, 0), rng), rng, n_bins=60_000)[:, 0, pair].T)[0, 1]
        for sd in (-2.0, 2.0)
    )
    assert weak - strong > 0.2


def test_faces_change_the_coupling_only_while_they_are_shown() -> None:
    coupling = draw_coupling(CIRCUIT, Inhibition(0, 1), np.random.default_rng(1))
    without = Coupling(coupling.region_names, coupling.endogenous, np.zeros((12, 12)))
    shown = _activity(coupling, np.random.default_rng(2), faces_on=1.0)
    hidden = _activity(coupling, np.random.default_rng(2), faces_on=0.0)
    assert np.array_equal(hidden, _activity(without, np.random.default_rng(2)))
    assert not np.allclose(shown, hidden)


def test_rows_of_the_couplings_are_targets() -> None:
    coupling = draw_coupling(CIRCUIT, Inhibition(0, 0), np.random.default_rng(3))
    assert (
        coupling.hz("vmPFC", "amygdala_L", during_faces=False)
        < 0
        < coupling.hz("amygdala_L", "vmPFC", during_faces=False)
    )
    kicked = np.zeros(12)
    kicked[CIRCUIT.region_names.index("vmPFC")] = 1.0
    assert (coupling.endogenous @ kicked)[CIRCUIT.region_names.index("amygdala_L")] < 0


def test_each_condition_drives_its_regions() -> None:
    course = np.array([0.0, 1.0, 1.0, 0.0])
    drive = condition_drive(CIRCUIT, {"faces": course})
    assert drive[:, CIRCUIT.region_names.index("amygdala_R")] == pytest.approx(0.5 * course)
    assert not drive[:, CIRCUIT.region_names.index("dmPFC")].any()


def test_bold_follows_a_brief_burst_by_five_seconds() -> None:
    lead = LEAD_IN_VOLUMES * MICROTIME_BINS_PER_VOLUME
    activity = np.zeros((lead + 40 * MICROTIME_BINS_PER_VOLUME, 1))
    activity[lead + 10 * MICROTIME_BINS_PER_VOLUME] = 1.0
    bold = bold_percent(activity, n_volumes=40, repetition_time_s=2.0)[:, 0]
    # Volume k is sampled at 2 k + 1 s; the burst is at 20 s.
    assert 2 * np.argmax(bold) + 1 - 20 == pytest.approx(5, abs=1)
    assert bold[:10] == pytest.approx(0, abs=1e-12)


def test_haemodynamic_response_sums_to_one() -> None:
    assert haemodynamic_response(0.125).sum() == pytest.approx(1)


def test_circuit_without_vmpfc_is_refused(rng: np.random.Generator) -> None:
    with pytest.raises(ConfigError, match="vmPFC"):
        draw_coupling(circuit_of_names(["amygdala_L", "amygdala_R"], name="half"), Inhibition(0, 0), rng)
