"""Events of task runs."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from predictor.errors import ConditionMissingError, EventsBeyondRunError, MissingColumnError, TableError
from predictor.scan.events import EventsTable, read_events
from predictor.scan.task_description import RunKind, load_task_description


def events_of(text: str, *, kind: RunKind = "faces", repetition_time_s: float | None = 2.0) -> EventsTable:
    description = load_task_description().run(kind)
    return read_events(text.encode(), description, n_volumes=100, repetition_time_s=repetition_time_s)


def test_events_are_mapped_to_conditions() -> None:
    events = events_of("onset\tduration\ttrial_type\n0\t2\tFear\n10\t3.5\tshape\n15\tn/a\tinstruction\n20\t2\tangry\n")
    assert events.condition == ("faces", "control", None, "faces")
    assert events.event_names == ("Fear", "shape", "instruction", "angry")
    onset_s, duration_s = events.of("faces")
    assert onset_s.tolist() == [0, 20]
    assert duration_s.tolist() == [2, 2]


def test_accuracy_is_kept_where_the_task_has_it() -> None:
    text = "onset\tduration\ttrial_type\taccuracy\n0\t1\tcongruent\t1\n5\t1\tincongruent\t0\n9\t1\tcongruent\tn/a\n"
    assert events_of(text, kind="conflict").is_correct == (True, False, None)


@pytest.mark.parametrize("row", ["n/a\t2\tface", "x\t2\tface", "5\tn/a\tface", "5\t-1\tface", "5\tinf\tface"])
def test_an_event_without_time_is_named_by_row_and_column(row: str) -> None:
    with pytest.raises(TableError, match=r"row 3, column (onset|duration)"):
        events_of(f"onset\tduration\ttrial_type\n0\t1\tface\n2\t1\tshape\n{row}\n")


@pytest.mark.parametrize(("onset", "side"), [(-0.1, "before the first volume"), (200, "after the run's end, at 200 s")])
def test_events_outside_the_run_are_an_error(onset: float, side: str) -> None:
    text = f"onset\tduration\ttrial_type\n0\t1\tface\n2\t1\tshape\n{onset}\t1\tface\n"
    with pytest.raises(EventsBeyondRunError, match=side) as caught:
        events_of(text)
    assert "row 3" in caught.value.where


def test_durations_in_milliseconds_are_an_error_though_the_onsets_are_in_seconds() -> None:
    text = "onset\tduration\ttrial_type\n0\t1\tface\n2\t1000\tshape\n"
    with pytest.raises(EventsBeyondRunError, match="1 events last longer than the run of 200 s") as caught:
        events_of(text)
    assert "row 2, column duration" in caught.value.where
    assert events_of(text.replace("1000", "199")).conditions == ("faces", "control")


def test_a_negative_duration_is_called_negative() -> None:
    with pytest.raises(TableError, match="found a negative number in row 2, column duration"):
        events_of("onset\tduration\ttrial_type\n0\t1\tface\n2\t-1\tshape\n")


def test_without_repetition_time_the_end_of_the_run_is_not_checked() -> None:
    text = "onset\tduration\ttrial_type\n0\t1\tface\n5000\t1\tshape\n"
    assert events_of(text, repetition_time_s=None).conditions == ("faces", "control")
    with pytest.raises(EventsBeyondRunError):
        events_of(text)


def test_a_row_that_stands_for_no_condition_may_lie_anywhere() -> None:
    text = "onset\tduration\ttrial_type\n-8\t8\tdummy\n0\t1\tface\n2\t1\tshape\n200\t10\tfixation\n"
    assert len(events_of(text).condition) == 4


def test_a_missing_column_is_named() -> None:
    with pytest.raises(MissingColumnError, match="missing: duration, trial_type"):
        events_of("onset\tcondition\n0\tface\n")


def test_names_that_nobody_mapped_are_listed_with_the_way_to_map_them() -> None:
    with pytest.raises(ConditionMissingError, match=r"no event stands for control; .* holds: face, neutral") as caught:
        events_of("onset\tduration\ttrial_type\n0\t1\tface\n2\t1\tneutral\n")
    assert "[faces.conditions]" in caught.value.remedy
    assert caught.value.unquoted == "no event stands for control; column trial_type holds 2 other names."
    assert "--tasks" in caught.value.remedy


@pytest.mark.parametrize("participant", [f"sub-{number:04d}" for number in range(2, 10)])
def test_real_emotion_matching_events_agree_with_pandas(shared: Path, participant: str) -> None:
    path = shared / f"data/aomic_piop2/{participant}/func/{participant}_task-emomatching_acq-seq_events.tsv"
    events = read_events(path.read_bytes(), load_task_description().run("faces"), n_volumes=135, repetition_time_s=2.0)
    frame = pd.read_csv(path, sep="\t")
    for condition, name in (("faces", "emotion"), ("control", "control")):
        rows = frame[frame["trial_type"] == name]
        onset_s, duration_s = events.of(condition)
        assert onset_s == pytest.approx(rows["onset"].to_numpy(), abs=1e-12)
        assert duration_s == pytest.approx(rows["duration"].to_numpy(), abs=1e-12)
        assert len(onset_s) == 24
