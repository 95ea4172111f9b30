from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from predictor.errors import PredictorError, SessionError, UnknownParticipantError
from predictor.features.recipe import default_recipe
from predictor.scan.task_description import load_task_description
from training.cohort.derivatives import find_derivatives_visits

TASKS = load_task_description()


def _with_sessions(trial: Path, out: Path, sessions: list[str]) -> Path:
    """Copy one person's resting run into several sessions."""
    folder = trial / "derivatives/fmriprep/sub-001/func"
    for session in sessions:
        target = out / "sub-001" / session / "func"
        target.mkdir(parents=True)
        for path in folder.glob("*task-rest*"):
            shutil.copy(path, target / path.name.replace("sub-001_", f"sub-001_{session}_"))
    return out


def test_everyone_has_one_visit_with_all_runs(small_trial: Path) -> None:
    visits = find_derivatives_visits(small_trial, tasks=TASKS)
    assert [visit.participant_id for visit in visits] == ["sub-001", "sub-002", "sub-003"]
    session = visits[0].read(default_recipe())
    assert [run.kind for run in session.runs] == ["rest", "faces", "conflict"]


def test_labels_may_come_with_or_without_sub(small_trial: Path) -> None:
    for label in ("002", "sub-002"):
        (visit,) = find_derivatives_visits(small_trial, tasks=TASKS, participant_labels=[label])
        assert visit.participant_id == "sub-002"
    with pytest.raises(UnknownParticipantError, match="099"):
        find_derivatives_visits(small_trial, tasks=TASKS, participant_labels=["099"])


def test_raw_tree_may_stand_elsewhere(small_trial: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(small_trial / "derivatives/fmriprep", tmp_path / "prepared")
    alone = find_derivatives_visits(moved, tasks=TASKS)[0]
    with_raw = find_derivatives_visits(moved, bids_dir=small_trial, tasks=TASKS)[0]
    assert [run.events is not None for run in alone.files.runs] == [False, False, False]
    assert [run.events is not None for run in with_raw.files.runs] == [False, True, True]


@pytest.mark.parametrize("sessions", [["ses-baseline", "ses-followup"], ["ses-post", "ses-pre"], ["ses-02", "ses-01"]])
def test_of_several_sessions_the_baseline_is_taken(sessions: list[str], small_trial: Path, tmp_path: Path) -> None:
    (visit,) = find_derivatives_visits(_with_sessions(small_trial, tmp_path, sessions), tasks=TASKS)
    assert visit.session_id in ("ses-baseline", "ses-pre", "ses-01")


def test_the_session_asked_for_is_taken(small_trial: Path, tmp_path: Path) -> None:
    folder = _with_sessions(small_trial, tmp_path, ["ses-baseline", "ses-post"])
    (visit,) = find_derivatives_visits(folder, tasks=TASKS, session_label="post")
    assert visit.session_id == "ses-post"
    with pytest.raises(SessionError, match="ses-baseline, ses-post"):
        find_derivatives_visits(folder, tasks=TASKS, session_label="week2")


def test_sessions_without_a_baseline_are_not_guessed(small_trial: Path, tmp_path: Path) -> None:
    (visit,) = find_derivatives_visits(_with_sessions(small_trial, tmp_path, ["ses-a", "ses-b"]), tasks=TASKS)
    with pytest.raises(SessionError, match="ses-a, ses-b"):
        visit.read(default_recipe())


def test_folder_without_scans_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PredictorError):
        find_derivatives_visits(tmp_path, tasks=TASKS)
