from __future__ import annotations

import numpy as np
import pytest

from predictor.circuit.circuit import load_circuit
from training.simulation.trial import TrialPlan, simulate_people
from training.simulation.visit import (
    LEAD_IN_VOLUMES,
    MICROTIME_BINS_PER_VOLUME,
    N_VOLUMES,
    REPETITION_TIME_S,
    condition_courses,
    conflict_events,
    faces_events,
    simulate_visit,
)

CIRCUIT = load_circuit()


def test_both_halves_of_the_faces_run_hold_as_many_blocks_of_each_condition() -> None:
    events = faces_events()
    middle_s = N_VOLUMES["faces"] * REPETITION_TIME_S / 2
    counts = events.groupby([events["onset"] < middle_s, "trial_type"]).size()
    assert set(counts) == {4}


def test_events_do_not_overlap_and_end_before_the_run(rng: np.random.Generator) -> None:
    for kind, events in (("faces", faces_events()), ("conflict", conflict_events(rng))):
        ends = events["onset"] + events["duration"]
        assert (events["onset"].to_numpy()[1:] >= ends.to_numpy()[:-1]).all()
        assert ends.max() < N_VOLUMES[kind] * REPETITION_TIME_S  # type: ignore[index]


def test_conflict_trials_are_balanced_and_mostly_correct(rng: np.random.Generator) -> None:
    events = conflict_events(rng)
    counts = events["trial_type"].value_counts()
    assert abs(counts["congruent"] - counts["incongruent"]) <= 1
    assert (events["response_accuracy"] == "correct").mean() > 0.75


def test_condition_lasts_as_long_as_its_blocks() -> None:
    n_bins = (LEAD_IN_VOLUMES + N_VOLUMES["faces"]) * MICROTIME_BINS_PER_VOLUME
    course = condition_courses(faces_events(), n_bins)["faces"]
    assert course.sum() * REPETITION_TIME_S / MICROTIME_BINS_PER_VOLUME == pytest.approx(8 * 18.0)
    assert np.flatnonzero(course)[0] == LEAD_IN_VOLUMES * MICROTIME_BINS_PER_VOLUME + 10.0 * 8


def test_a_person_can_be_simulated_twice_with_the_same_result() -> None:
    (person, _) = simulate_people(TrialPlan(n_patients=2, n_controls=0, seed=1), CIRCUIT)
    first, second = (next(simulate_visit(person, CIRCUIT)) for _ in range(2))
    assert np.array_equal(first.image.voxels, second.image.voxels)
    assert np.array_equal(first.motion.parameters, second.motion.parameters)
