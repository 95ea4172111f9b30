"""Conflict trials by what came before them: what contrasts of emotional conflict are made of.

In a face-word conflict task an incongruent trial is easier after an incongruent one. The difference, incongruent after
incongruent (iI) minus incongruent after congruent (cI), is read as the regulation of conflict. Errors and the trials
after them differ for other reasons, and the first trial has no predecessor; all of these are modelled, so that they do
not count as rest, but stand in no contrast.

References
----------
Etkin et al. (2006), Neuron 51:871-882, doi 10.1016/j.neuron.2006.07.029.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from predictor.features.task_design import Condition
from predictor.scan.events import EventsTable

# Small letter: the trial before; capital: the trial itself.
SEQUENCE_CONDITIONS = ("iI", "cI", "iC", "cC")
CONGRUENCY_CONDITIONS = ("congruent", "incongruent")
FIRST_TRIAL, ERROR, POST_ERROR = "first_trial", "error", "post_error"
NUISANCE_CONDITIONS = (FIRST_TRIAL, ERROR, POST_ERROR)
ACCURACY_UNKNOWN = (
    "the events do not say which answers were right, so errors and the trials after them are not left out"
)


@dataclass(frozen=True, slots=True, eq=False)
class ConflictConditions:
    """Trials of a conflict run, sorted into conditions."""

    conditions: tuple[Condition, ...]  # those that contrasts are made of, then nuisance conditions that occur
    n_left_out: int  # trials in nuisance conditions
    note: str | None  # what was decided, in plain words; None: nothing out of the ordinary

    def n_trials(self, name: str) -> int:
        """Return the number of trials of a condition, 0 if it does not occur."""
        return next((condition.onsets_s.size for condition in self.conditions if condition.name == name), 0)


def conflict_conditions(events: EventsTable) -> ConflictConditions:
    """Return conflict trials by their own congruency and that of the trial before.

    Parameters
    ----------
    events
        Events of a conflict run, in any order. Rows that stand for no condition (fixation, buttons) are passed over.

    Returns
    -------
    ConflictConditions
        `iI`, `cI`, `iC`, `cC` (each may be empty), then `first_trial`, `error` and `post_error` as far as they occur.
        A trial without a right answer counts as an error, also when the answer is missing; when no trial says whether
        the answer was right, none is left out and the note says so.
    """
    return _sorted_trials(events, SEQUENCE_CONDITIONS, by_sequence=True)


def congruency_conditions(events: EventsTable) -> ConflictConditions:
    """Return conflict trials by their own congruency, errors and the trials after them left out in the same way.

    Returns
    -------
    ConflictConditions
        `congruent` and `incongruent`, then `error` and `post_error` as far as they occur.
    """
    return _sorted_trials(events, CONGRUENCY_CONDITIONS, by_sequence=False)


def _sorted_trials(events: EventsTable, conditions: tuple[str, ...], *, by_sequence: bool) -> ConflictConditions:
    is_trial = np.array([name in CONGRUENCY_CONDITIONS for name in events.condition], dtype=np.bool_)
    rows = np.flatnonzero(is_trial)
    rows = rows[np.argsort(events.onset_s[rows], kind="stable")]
    congruency = [events.condition[row] or "" for row in rows]
    is_known = any(events.is_correct[row] is not None for row in rows)
    is_right = [not is_known or events.is_correct[row] is True for row in rows]
    labels = np.array(list(_labels(congruency, is_right, by_sequence=by_sequence)), dtype=np.str_)
    occurring = [name for name in NUISANCE_CONDITIONS if name in labels]
    made = tuple(
        Condition(name, events.onset_s[rows[labels == name]], events.duration_s[rows[labels == name]])
        for name in (*conditions, *occurring)
    )
    n_left_out = int(np.count_nonzero(np.isin(labels, NUISANCE_CONDITIONS)))
    return ConflictConditions(made, n_left_out, None if is_known else ACCURACY_UNKNOWN)


def _labels(congruency: list[str], is_right: list[bool], *, by_sequence: bool) -> Iterable[str]:
    """Return the condition of each trial, in order of onset."""
    for trial, name in enumerate(congruency):
        if not is_right[trial]:
            yield ERROR
        elif trial > 0 and not is_right[trial - 1]:
            yield POST_ERROR
        elif not by_sequence:
            yield name
        elif trial == 0:
            yield FIRST_TRIAL
        else:
            yield congruency[trial - 1][0] + name[0].upper()
