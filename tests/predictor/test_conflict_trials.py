"""Conflict trials by what came before them."""

from __future__ import annotations

import numpy as np
import pytest

from predictor.features.conflict_trials import (
    ACCURACY_UNKNOWN,
    ConflictConditions,
    conflict_conditions,
    congruency_conditions,
)
from predictor.scan.events import EventsTable, read_events
from predictor.scan.task_description import load_task_description

LETTERS = {"c": "congruent", "i": "incongruent", ".": None}


def trials(sequence: str, answers: str | None = None) -> EventsTable:
    """Return one event every 5 s: c congruent, i incongruent, . neither; answers: + right, - wrong, ? not known."""
    n_events = len(sequence)
    known = {"+": True, "-": False, "?": None}
    return EventsTable(
        onset_s=5.0 * np.arange(n_events),
        duration_s=np.ones(n_events),
        event_names=tuple(sequence),
        condition=tuple(LETTERS[letter] for letter in sequence),
        is_correct=tuple(known[letter] for letter in answers or "?" * n_events),
    )


def numbers(found: ConflictConditions) -> dict[str, list[int]]:
    """Return positions in the sequence by condition."""
    return {condition.name: (condition.onsets_s / 5).astype(int).tolist() for condition in found.conditions}


def test_trials_are_sorted_by_their_own_congruency_and_the_one_before() -> None:
    found = conflict_conditions(trials("ciiccic", "+++++++"))
    assert numbers(found) == {"iI": [2], "cI": [1, 5], "iC": [3, 6], "cC": [4], "first_trial": [0]}
    assert found.n_left_out == 1
    assert found.note is None


def test_errors_and_the_trials_after_them_are_left_out_but_modelled() -> None:
    found = conflict_conditions(trials("ciiciici", "++-+++++"))
    assert numbers(found) == {
        "iI": [5],
        "cI": [1, 4, 7],
        "iC": [6],
        "cC": [],
        "first_trial": [0],
        "error": [2],
        "post_error": [3],
    }
    assert found.n_left_out == 3


def test_an_error_after_an_error_is_an_error_and_the_trial_after_both_a_post_error() -> None:
    found = numbers(conflict_conditions(trials("ciiii", "+--++")))
    assert found["error"] == [1, 2]
    assert found["post_error"] == [3]
    assert found["iI"] == [4]


def test_a_first_trial_that_is_an_error_is_an_error() -> None:
    found = numbers(conflict_conditions(trials("cii", "-++")))
    assert "first_trial" not in found
    assert (found["error"], found["post_error"], found["iI"]) == ([0], [1], [2])


def test_a_missing_answer_is_an_error() -> None:
    assert numbers(conflict_conditions(trials("ciii", "+?++")))["error"] == [1]


def test_without_any_known_answer_nothing_is_left_out_and_a_note_says_so() -> None:
    found = conflict_conditions(trials("ciic"))
    assert numbers(found) == {"iI": [2], "cI": [1], "iC": [3], "cC": [], "first_trial": [0]}
    assert found.note == ACCURACY_UNKNOWN
    assert congruency_conditions(trials("ciic")).note == ACCURACY_UNKNOWN


def test_rows_that_stand_for_no_condition_are_passed_over() -> None:
    found = conflict_conditions(trials("c.i.i", "+-+-+"))
    assert numbers(found) == {"iI": [4], "cI": [2], "iC": [], "cC": [], "first_trial": [0]}
    assert found.n_left_out == 1


def test_the_order_of_rows_does_not_matter(rng: np.random.Generator) -> None:
    sorted_rows = trials("ciiccicii", "++-++++++")
    order = rng.permutation(9)
    shuffled = EventsTable(
        sorted_rows.onset_s[order],
        sorted_rows.duration_s[order],
        tuple(sorted_rows.event_names[row] for row in order),
        tuple(sorted_rows.condition[row] for row in order),
        tuple(sorted_rows.is_correct[row] for row in order),
    )
    assert numbers(conflict_conditions(shuffled)) == numbers(conflict_conditions(sorted_rows))


def test_congruency_alone_follows_the_same_rule_for_errors_and_keeps_the_first_trial() -> None:
    found = congruency_conditions(trials("ciicic", "++-+++"))
    assert numbers(found) == {"congruent": [0, 5], "incongruent": [1, 4], "error": [2], "post_error": [3]}
    assert found.n_left_out == 2


@pytest.mark.parametrize("sort", [conflict_conditions, congruency_conditions])
def test_every_trial_stands_in_exactly_one_condition(rng: np.random.Generator, sort) -> None:
    sequence = "".join(rng.choice(list("ci."), 80))
    answers = "".join(rng.choice(list("+++-?"), 80))
    found = sort(trials(sequence, answers))
    rows = sorted(row for entry in numbers(found).values() for row in entry)
    assert rows == [row for row, letter in enumerate(sequence) if letter != "."]


def test_a_run_without_trials_has_empty_conditions() -> None:
    found = conflict_conditions(trials("..."))
    assert numbers(found) == {"iI": [], "cI": [], "iC": [], "cC": []}
    assert found.n_trials("iI") == found.n_trials("error") == 0


def test_trials_of_an_events_file_keep_their_durations() -> None:
    text = "onset\tduration\ttrial_type\taccuracy\n8\t1.5\tincon\thit\n0\t1\tCON\thit\n4\t1\tincon\thit\n"
    description = load_task_description().run("conflict")
    events = read_events(text.encode(), description, n_volumes=20, repetition_time_s=2.0)
    (after_conflict,) = (each for each in conflict_conditions(events).conditions if each.name == "iI")
    assert (after_conflict.onsets_s.tolist(), after_conflict.durations_s.tolist()) == ([8.0], [1.5])
