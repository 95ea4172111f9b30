"""Effective connectivity as features."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import signal

from predictor.circuit.circuit import load_circuit
from predictor.errors import FeatureError
from predictor.features.balloon_response import balloon_response
from predictor.features.effective_connectivity import fit_effective_connectivity
from predictor.features.network_regression import network_regression
from predictor.features.rdcm_family import driving_inputs, rdcm_faces, rdcm_rest
from predictor.features.recipe import Recipe, default_recipe
from predictor.features.run_preparation import RestRun, TaskRun
from predictor.features.task_design import Condition, DesignMatrix, MicrotimeGrid
from predictor.scan.cleaning import RegionTimeseries
from predictor.scan.events import EventsTable

NAMES = load_circuit().region_names
N_VOLUMES, TR_S = 200, 2.0
FACES = Condition("faces", np.array([20.0, 100.0, 180.0, 260.0, 340.0]), np.full(5, 20.0))
CONTROL = Condition("control", np.array([60.0, 140.0, 220.0, 300.0]), np.full(4, 20.0))


@pytest.fixture
def recipe() -> Recipe:
    return replace(default_recipe(), rdcm_filter_strength=5.0)


@pytest.fixture
def unbroken(rng: np.random.Generator) -> RegionTimeseries:
    """Return signals in which vmPFC holds the left amygdala down; the other regions keep to themselves."""
    step_s = TR_S / 16
    connections = -0.5 * np.eye(12)
    connections[NAMES.index("amygdala_L"), NAMES.index("vmPFC")] = -0.5
    shocks = 0.4 * np.sqrt(step_s) * rng.standard_normal((16 * N_VOLUMES, 12))
    state = np.zeros_like(shocks)
    for step in range(len(state) - 1):
        state[step + 1] = state[step] + step_s * connections @ state[step] + shocks[step]
    response = balloon_response(len(state), step_s)[:, None]
    bold = signal.fftconvolve(state, response, axes=0)[: len(state) : 16]
    return RegionTimeseries(bold - bold.mean(axis=0), NAMES, TR_S)


def rest_run(unbroken: RegionTimeseries, **changed) -> RestRun:
    fields = {"timeseries": unbroken, "unbroken": unbroken, "missing_regions": {}, "freedom_left": 1.0}
    return RestRun(**(fields | changed))


def faces_run(unbroken: RegionTimeseries, *conditions: Condition) -> TaskRun:
    return TaskRun(
        kind="faces",
        timeseries=unbroken,
        unbroken=unbroken,
        missing_regions={},
        conditions=conditions or (FACES, CONTROL),
        events=EventsTable(np.empty(0), np.empty(0), (), (), ()),
        grid=MicrotimeGrid(N_VOLUMES, TR_S),
        drift=np.empty((N_VOLUMES, 0)),
        confounds=DesignMatrix(np.empty((N_VOLUMES, 0)), ()),
    )


def z_scored(unbroken: RegionTimeseries):
    return unbroken.bold / unbroken.bold.std(axis=0)


def test_both_directions_of_every_pair_are_named_from_and_to(unbroken: RegionTimeseries, recipe: Recipe) -> None:
    found = rdcm_rest(rest_run(unbroken), recipe)
    fit = fit_effective_connectivity(network_regression(z_scored(unbroken), TR_S, filter_strength=5.0))
    amygdala, vmpfc = NAMES.index("amygdala_L"), NAMES.index("vmPFC")
    assert found.values["rdcm_rest__vmPFC__amygdala_L"] == pytest.approx(fit.connections_hz[amygdala, vmpfc])
    assert found.values["rdcm_rest__amygdala_L__vmPFC"] == pytest.approx(fit.connections_hz[vmpfc, amygdala])
    expected_error = np.sqrt(fit.variance[amygdala, vmpfc])
    assert found.standard_errors["rdcm_rest__vmPFC__amygdala_L"] == pytest.approx(expected_error)
    assert len(found.values) == len(found.standard_errors) == 2 * len(recipe.circuit.edges)
    assert not found.missing


def test_planted_inhibition_is_the_strongest_connection_and_negative(
    unbroken: RegionTimeseries, recipe: Recipe
) -> None:
    found = rdcm_rest(rest_run(unbroken), recipe)
    planted = "rdcm_rest__vmPFC__amygdala_L"
    assert min(found.values, key=found.values.__getitem__) == planted
    assert found.values[planted] < -3 * found.standard_errors[planted]


def test_scale_of_the_recipe_decides_what_the_priors_meet(unbroken: RegionTimeseries, recipe: Recipe) -> None:
    louder = replace(unbroken, bold=unbroken.bold * np.linspace(0.1, 9, 12))
    as_percent = replace(recipe, rdcm_scale="percent")
    planted = "rdcm_rest__vmPFC__amygdala_L"
    assert rdcm_rest(rest_run(louder), recipe).values == pytest.approx(rdcm_rest(rest_run(unbroken), recipe).values)
    assert rdcm_rest(rest_run(louder), as_percent).values[planted] != pytest.approx(
        rdcm_rest(rest_run(unbroken), as_percent).values[planted], rel=0.05
    )
    fit = fit_effective_connectivity(network_regression(louder.bold, TR_S, filter_strength=5.0))
    expected = fit.connections_hz[NAMES.index("amygdala_L"), NAMES.index("vmPFC")]
    assert rdcm_rest(rest_run(louder), as_percent).values[planted] == pytest.approx(expected)


def test_faces_and_control_reach_every_region(unbroken: RegionTimeseries, recipe: Recipe) -> None:
    found = rdcm_faces(faces_run(unbroken), recipe)
    inputs = driving_inputs((FACES, CONTROL), N_VOLUMES, TR_S)
    fit = fit_effective_connectivity(network_regression(z_scored(unbroken), TR_S, inputs=inputs, filter_strength=5.0))
    expected = fit.connections_hz[NAMES.index("amygdala_L"), NAMES.index("vmPFC")]
    assert found.values["rdcm_faces__vmPFC__amygdala_L"] == pytest.approx(expected)
    assert set(found.names) == {
        name.replace("rdcm_rest", "rdcm_faces") for name in rdcm_rest(rest_run(unbroken), recipe).names
    }
    assert found.values["rdcm_faces__vmPFC__amygdala_L"] < 0


def test_a_connection_of_which_the_data_say_nothing_has_a_reason_and_not_the_prior_s_zero(
    unbroken: RegionTimeseries, recipe: Recipe
) -> None:
    found = rdcm_faces(faces_run(unbroken), recipe)
    inputs = driving_inputs((FACES, CONTROL), N_VOLUMES, TR_S)
    regression = network_regression(z_scored(unbroken), TR_S, inputs=inputs, filter_strength=5.0)
    # Of a silent region only the zero frequency is kept.
    silent = {NAMES[region] for region in np.flatnonzero(regression.is_used.sum(axis=0) == 1)}
    assert 0 < len(silent) < len(NAMES)
    assert all(name in found.missing for name in found.names if silent & set(name.split("__")))
    assert all("less about this connection than the prior" in reason for reason in found.missing.values())
    assert 0 < max(found.standard_errors.values()) <= np.sqrt(0.5 * 8 / len(NAMES))
    assert len(found.values) > len(found.missing)


def test_too_few_faces_are_a_named_error(unbroken: RegionTimeseries, recipe: Recipe) -> None:
    once = Condition("faces", np.array([20.0]), np.array([20.0]))
    with pytest.raises(FeatureError, match="only 1 events of the condition faces; 2 are needed"):
        rdcm_faces(faces_run(unbroken, once, CONTROL), recipe)


def test_a_lost_region_takes_its_own_pairs_with_it_and_leaves_the_model(
    unbroken: RegionTimeseries, recipe: Recipe
) -> None:
    kept = [position for position, name in enumerate(NAMES) if name != "dACC"]
    fewer = RegionTimeseries(unbroken.bold[:, kept], tuple(NAMES[position] for position in kept), TR_S)
    found = rdcm_rest(rest_run(fewer, missing_regions={"dACC": "region not covered (0%): dACC"}), recipe)
    assert found.missing["rdcm_rest__dACC__amygdala_L"] == "region not covered (0%): dACC"
    assert all("dACC" in name for name in found.missing)
    fit = fit_effective_connectivity(network_regression(z_scored(fewer), TR_S, filter_strength=5.0))
    index = fewer.region_names.index
    assert found.values["rdcm_rest__amPFC__amygdala_R"] == pytest.approx(
        fit.connections_hz[index("amygdala_R"), index("amPFC")]
    )


def test_an_unknown_repetition_time_and_an_empty_signal_are_named_errors(
    unbroken: RegionTimeseries, recipe: Recipe
) -> None:
    with pytest.raises(FeatureError, match="repetition time is unknown"):
        rdcm_rest(rest_run(replace(unbroken, repetition_time_s=None)), recipe)
    bold = unbroken.bold.copy()
    bold[:, NAMES.index("dmPFC")] = 0
    with pytest.raises(FeatureError, match="nothing is left of the signal of dmPFC"):
        rdcm_rest(rest_run(replace(unbroken, bold=bold)), recipe)


def test_inputs_last_as_long_as_their_events_and_never_leave_the_run() -> None:
    events = Condition("faces", np.array([-3.0, 2.0, 3.0, 9.0, 19.0]), np.array([4.0, 2.0, 2.0, 0.0, 20.0]))
    inputs = driving_inputs((events,), n_volumes=10, repetition_time_s=2.0)
    on_s = np.flatnonzero(inputs[:, 0]) * 0.125
    expected = np.concatenate([np.arange(0, 1, 0.125), np.arange(2, 5, 0.125), [9.0], np.arange(19, 20, 0.125)])
    assert on_s.tolist() == expected.tolist()
    assert set(np.unique(inputs)) == {0.0, 1.0}
