"""From runs to the arrays that features are computed from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from predictor.circuit.circuit import load_circuit
from predictor.errors import FeatureError
from predictor.features.recipe import default_recipe
from predictor.features.run_preparation import (
    nuisance_design,
    prepare_rest_run,
    prepare_task_run,
    run_confounds,
    task_conditions,
    usable_signals,
)
from predictor.features.task_design import cosine_drift
from predictor.scan.cleaning import clean, percent_signal_change
from predictor.scan.confounds import Confounds
from predictor.scan.events import EventsTable
from predictor.scan.region_signals import RegionRecording
from predictor.scan.session import Run
from predictor.scan.task_description import RunKind

NAMES = load_circuit().region_names


@pytest.fixture
def run(rng: np.random.Generator):
    """Return a maker of runs of 120 volumes without confounds."""

    def make(kind: RunKind = "rest", repetition_time_s: float | None = 2.0) -> Run:
        recording = RegionRecording(
            region_names=NAMES,
            bold=1000 + 10 * rng.standard_normal((120, len(NAMES))) + np.linspace(0, 20, 120)[:, None],
            coverage=np.ones(len(NAMES)),
            temporal_snr=np.full(len(NAMES), 100.0),
            carpet=np.zeros((120, 0), dtype=np.float32),
            repetition_time_s=repetition_time_s,
            space="MNI152NLin2009cAsym",
            input_digest="sha256:0",
        )
        condition = ("faces", "control", None, "faces")
        events = EventsTable(
            onset_s=np.array([10.0, 40.0, 60.0, 80.0]),
            duration_s=np.array([15.0, 15.0, np.nan, 15.0]),
            event_names=("face", "shape", "button", "face"),
            condition=condition,
            is_correct=(None,) * 4,
        )
        return Run(kind, recording, None, events if kind == "faces" else None, repetition_time_s, "sha256:0")

    return make


def confounds_of(regressors, is_censored) -> Confounds:
    return Confounds(
        regressors=regressors,
        names=tuple(f"trans_{column}" for column in range(regressors.shape[1])),
        framewise_displacement_mm=np.zeros(len(regressors)),
        is_censored=is_censored,
        strategy_asked="motion6",
        strategy_used="motion6",
        fallback_reason=None,
    )


def nothing() -> Confounds:
    return confounds_of(np.empty((120, 0)), np.zeros(120, dtype=bool))


def test_rest_is_percent_signal_change_cleaned_in_circuit_order(run) -> None:
    recipe, made = default_recipe(), run()
    confounds = run_confounds(made, recipe)
    prepared = prepare_rest_run(made, confounds, recipe)
    expected = clean(percent_signal_change(made.recording), confounds, high_pass_hz=0.008, low_pass_hz=0.1)
    assert prepared.timeseries.region_names == NAMES
    assert prepared.timeseries.bold == pytest.approx(expected.bold, abs=1e-9)


def test_a_recipe_that_removes_nothing_leaves_even_the_trend(run) -> None:
    recipe = replace(default_recipe(), high_pass_hz=None, low_pass_hz=None, confound_strategy="none", bold_scale="none")
    made = run()
    is_censored = np.zeros(120, dtype=bool)
    is_censored[[3, 50]] = True
    confounds = confounds_of(np.empty((120, 0)), is_censored)
    prepared = prepare_rest_run(made, confounds, recipe)
    assert np.array_equal(prepared.timeseries.bold, made.recording.bold[~is_censored])


def test_a_task_run_keeps_censored_volumes_and_gives_each_a_spike(run, rng: np.random.Generator) -> None:
    is_censored = np.zeros(120, dtype=bool)
    is_censored[[7, 8]] = True
    prepared = prepare_task_run(
        run("faces"), confounds_of(rng.standard_normal((120, 6)), is_censored), default_recipe()
    )
    assert prepared.timeseries.bold.shape == (120, len(NAMES))
    assert prepared.confounds.names[-2:] == ("spike_7", "spike_8")
    assert np.flatnonzero(prepared.confounds.columns[:, -1]).tolist() == [8]


def test_nuisance_regressors_are_scaled_and_constant_ones_dropped(rng: np.random.Generator) -> None:
    regressors = np.column_stack([1e4 * rng.standard_normal(120) + 9e5, np.full(120, 3.0), rng.standard_normal(120)])
    design = nuisance_design(confounds_of(regressors, np.zeros(120, dtype=bool)))
    assert design.names == ("trans_0", "trans_2")
    assert design.columns.std(axis=0) == pytest.approx([1.0, 1.0])
    assert design.columns.mean(axis=0) == pytest.approx([0.0, 0.0], abs=1e-9)


def test_only_events_of_conditions_are_modelled(run) -> None:
    events, (faces, control) = task_conditions(run("faces"))
    assert len(events.onset_s) == 4
    assert (faces.name, control.name) == ("faces", "control")
    assert faces.onsets_s.tolist() == [10.0, 80.0]
    assert control.durations_s.tolist() == [15.0]


@pytest.mark.parametrize("kind", ["rest", "faces"])
def test_unbroken_signals_keep_every_volume_and_lose_what_is_regressed_out(run, rng: np.random.Generator, kind) -> None:
    is_censored = np.zeros(120, dtype=bool)
    is_censored[[7, 8]] = True
    motion, recipe = rng.standard_normal((120, 3)), default_recipe()
    made, confounds = run(kind), confounds_of(motion, is_censored)
    prepare = prepare_rest_run if kind == "rest" else prepare_task_run
    unbroken = prepare(made, confounds, recipe).unbroken
    period_s = 1 / 0.008 if kind == "rest" else recipe.drift_period_s
    spikes = np.eye(120)[:, [7, 8]]
    removed = np.column_stack([np.ones(120), cosine_drift(120, 2.0, period_s), motion, spikes])
    signals = percent_signal_change(made.recording).bold
    expected = signals - removed @ np.linalg.lstsq(removed, signals)[0]
    assert unbroken.bold == pytest.approx(expected, abs=1e-9)
    assert unbroken.bold[7:9] == pytest.approx(np.zeros((2, len(NAMES))), abs=1e-12)


def test_more_regressors_than_volumes_bear_are_a_named_error(run, rng: np.random.Generator) -> None:
    confounds = confounds_of(rng.standard_normal((120, 112)), np.zeros(120, dtype=bool))
    with pytest.raises(FeatureError, match="leave 4 degrees of freedom"):
        prepare_task_run(run("faces"), confounds, default_recipe())


def test_signals_of_a_recipe_without_percent_are_left_as_they_are(run) -> None:
    made = run()
    signals, missing = usable_signals(made, nothing(), replace(default_recipe(), bold_scale="none"))
    assert np.array_equal(signals.bold, made.recording.bold)
    assert missing == {}


def test_signals_around_zero_have_no_percent_and_say_so(run) -> None:
    made = run()
    bold = made.recording.bold.copy()
    bold[:, 3] -= bold[:, 3].mean() + 1.0
    made = replace(made, recording=replace(made.recording, bold=bold))
    signals, missing = usable_signals(made, nothing(), default_recipe())
    assert NAMES[3] not in signals.region_names
    assert "positive mean" in missing[NAMES[3]]


def test_a_region_that_moves_only_in_censored_volumes_does_not_count(run) -> None:
    made = run()
    bold = made.recording.bold.copy()
    bold[:, 2] = 700.0
    bold[40, 2] = 900.0
    is_censored = np.arange(120) == 40
    made = replace(made, recording=replace(made.recording, bold=bold))
    _, missing = usable_signals(made, confounds_of(np.empty((120, 0)), is_censored), default_recipe())
    assert missing == {NAMES[2]: f"region without any change of signal: {NAMES[2]}"}


def test_a_region_with_gaps_or_not_recorded_says_so(run) -> None:
    made = run()
    bold = made.recording.bold.copy()
    bold[5, 1] = np.nan
    recording = replace(
        made.recording,
        bold=bold[:, :-1],
        region_names=NAMES[:-1],
        coverage=np.ones(len(NAMES) - 1),
        temporal_snr=np.ones(len(NAMES) - 1),
    )
    _, missing = usable_signals(replace(made, recording=recording), nothing(), default_recipe())
    assert missing == {
        NAMES[1]: f"region without signal in some volumes: {NAMES[1]}",
        NAMES[-1]: f"region not recorded: {NAMES[-1]}",
    }


def test_a_filter_without_repetition_time_is_a_named_error(run) -> None:
    recipe, made = default_recipe(), run(repetition_time_s=None)
    with pytest.raises(FeatureError, match="repetition time is unknown"):
        prepare_rest_run(made, run_confounds(made, recipe), recipe)
