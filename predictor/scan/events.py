"""When which condition was shown, and whether the answer was right."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from predictor.errors import ConditionMissingError, EventsBeyondRunError, MissingColumnError, TableError
from predictor.scan.task_description import CONDITIONS, RunDescription
from predictor.scan.tsv_table import MISSING_CELLS, TableLimits, TsvTable, parse_tsv


@dataclass(frozen=True, slots=True, eq=False)
class EventsTable:
    """Events of one run in the table's order; times in seconds from the first volume."""

    onset_s: NDArray[np.float64]  # (n_events,)
    duration_s: NDArray[np.float64]  # (n_events,); NaN only where the event stands for no condition
    event_names: tuple[str, ...]  # as in the table
    condition: tuple[str | None, ...]  # as the task description maps it; None: not needed
    is_correct: tuple[bool | None, ...]  # None: the table does not say

    def __post_init__(self) -> None:
        lengths = {len(column) for column in (self.onset_s, self.duration_s, self.event_names, self.condition)}
        if lengths != {len(self.is_correct)}:
            raise TableError(f"expected event columns of one length, got {sorted(lengths)}.")

    @property
    def conditions(self) -> tuple[str, ...]:
        """Conditions that occur, in order of first appearance."""
        return tuple(dict.fromkeys(name for name in self.condition if name is not None))

    def of(self, condition: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return onsets and durations (s) of one condition, each of shape (n_events_of_condition,)."""
        rows = np.array([name == condition for name in self.condition], dtype=np.bool_)
        return self.onset_s[rows], self.duration_s[rows]


def read_events(
    content: bytes,
    description: RunDescription,
    *,
    n_volumes: int,
    repetition_time_s: float | None,
    where: str = "events",
    limits: TableLimits | None = None,
) -> EventsTable:
    """Return the events of a task run from the bytes of its `*_events.tsv`.

    Rows that stand for no condition (instructions, fixation, buttons) are kept but not judged.

    Parameters
    ----------
    content
        The table, with the columns `onset`, `duration` and the one that names the condition.
    description
        What the event names mean.
    n_volumes, repetition_time_s
        Length of the run; without a repetition time the end of the run is unknown and not checked.
    where
        The part of the visit, for messages.
    limits
        Largest accepted table.

    Raises
    ------
    TableError
        If an event of a condition has no onset, or no duration of zero or more seconds.
    MissingColumnError
        If a column is absent.
    ConditionMissingError
        If a condition of the run has no event.
    EventsBeyondRunError
        If an event of a condition starts before the first volume or after the last, or lasts longer than the run.
    """
    table = parse_tsv(content, where=where, limits=limits)
    _check_columns(table, description)
    names = table.text(description.column)
    condition = tuple(description.condition_of(name) for name in names)
    _check_conditions(condition, names, description, where)
    events = EventsTable(
        onset_s=_seconds(table, "onset", condition),
        duration_s=_seconds(table, "duration", condition),
        event_names=names,
        condition=condition,
        is_correct=_accuracy(table, description),
    )
    _check_times(events, table, None if repetition_time_s is None else n_volumes * repetition_time_s)
    return events


def _check_columns(table: TsvTable, description: RunDescription) -> None:
    missing = [name for name in ("onset", "duration", description.column) if name not in table.columns]
    if missing:
        raise MissingColumnError(
            f"expected the columns onset, duration and {description.column}; missing: {', '.join(missing)}.",
            where=table.where,
            remedy="Add the columns; if another one names the condition, set `column` in a task description (--tasks).",
        )


def _check_conditions(
    condition: tuple[str | None, ...], names: tuple[str, ...], description: RunDescription, where: str
) -> None:
    absent = [name for name in CONDITIONS[description.kind] if name not in condition]
    if not absent:
        return
    found = [name for name in dict.fromkeys(names) if name not in MISSING_CELLS]
    raise ConditionMissingError(
        f"no event stands for {' or '.join(absent)}; column {description.column}",
        found=found,
        where=f"{where}, column {description.column}",
        remedy=(
            f"Write a task description with [{description.kind}.conditions] and "
            f'{absent[0]} = ["your name"], and pass it with --tasks.'
        ),
    )


def _seconds(table: TsvTable, name: str, condition: tuple[str | None, ...]) -> NDArray[np.float64]:
    """Return times, finite for every event of a condition."""
    seconds = table.lenient_numbers(name)
    is_needed = np.array([entry is not None for entry in condition])
    is_bad = is_needed & np.isnan(seconds)
    if name == "duration":
        is_bad |= is_needed & (seconds < 0)
    if is_bad.any():
        expected = "seconds" if name == "onset" else "seconds, 0 or more (0 means an instant)"
        raise table.cell_error(int(np.argmax(is_bad)), name, expected=expected)
    return seconds


def _check_times(events: EventsTable, table: TsvTable, run_end_s: float | None) -> None:
    is_needed = np.array([name is not None for name in events.condition])
    is_before = is_needed & (events.onset_s < 0)
    is_after = is_needed & (events.onset_s >= (np.inf if run_end_s is None else run_end_s))
    for is_outside, limit in (
        (is_before, "the first volume, at 0 s"),
        (is_after, f"the run's end, at {run_end_s or 0:g} s"),
    ):
        if is_outside.any():
            row = int(np.argmax(is_outside))
            side = "before" if is_outside is is_before else "after"
            raise EventsBeyondRunError(
                f"{int(is_outside.sum())} events start {side} {limit}; the first of them at {events.onset_s[row]:g} s.",
                where=f"{table.where}, row {row + 1}, column onset",
            )
    # The last event may outlast the scanner by a little; one longer than the run is in milliseconds.
    is_too_long = is_needed & (events.duration_s > (np.inf if run_end_s is None else run_end_s))
    if is_too_long.any():
        row = int(np.argmax(is_too_long))
        raise EventsBeyondRunError(
            f"{int(is_too_long.sum())} events last longer than the run of {run_end_s:g} s; the first of them "
            f"{events.duration_s[row]:g} s.",
            where=f"{table.where}, row {row + 1}, column duration",
        )


def _accuracy(table: TsvTable, description: RunDescription) -> tuple[bool | None, ...]:
    column = next((name for name in description.accuracy_columns if name in table.columns), None)
    if column is None:
        return (None,) * table.n_rows
    return tuple(description.is_correct(cell) for cell in table.text(column))
