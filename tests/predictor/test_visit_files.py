"""Finding the files of a visit; the trees hold empty files, only names matter."""

from __future__ import annotations

from pathlib import Path

import pytest

from predictor.errors import ScanSpaceError, SessionError, UnknownParticipantError
from predictor.scan.task_description import TaskDescription, load_task_description
from predictor.scan.visit_files import VisitFiles, find_visits

MNI = "space-MNI152NLin2009cAsym"


def tree(root: Path, *names: str) -> Path:
    """Create empty files; their folders follow from their names, as BIDS has it."""
    for name in names:
        parts = dict(part.split("-", 1) for part in name.split("_") if "-" in part)
        folder = root / f"sub-{parts['sub']}" / (f"ses-{parts['ses']}" if "ses" in parts else "") / "func"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return root


def visits_of(
    derivatives: Path,
    bids: Path | None = None,
    *,
    labels: list[str] | None = None,
    tasks: TaskDescription | None = None,
) -> tuple[VisitFiles, ...]:
    return find_visits(derivatives, bids_dir=bids, tasks=tasks or load_task_description(), participant_labels=labels)


def test_all_parts_of_a_visit_are_found(tmp_path: Path) -> None:
    derivatives = tree(
        tmp_path / "derivatives",
        f"sub-01_ses-pre_task-rest_{MNI}_res-2_desc-preproc_bold.nii.gz",
        f"sub-01_ses-pre_task-rest_{MNI}_res-2_desc-preproc_bold.json",
        "sub-01_ses-pre_task-rest_desc-confounds_timeseries.tsv",
        "sub-01_ses-pre_task-rest_desc-confounds_timeseries.json",
        f"sub-01_ses-pre_task-rest_{MNI}_res-2_desc-brain_mask.nii.gz",
        f"sub-01_ses-pre_task-emomatching_run-1_{MNI}_res-2_desc-preproc_bold.nii",
        "sub-01_ses-pre_task-emomatching_run-1_desc-confounds_regressors.tsv",
    )
    raw = tree(tmp_path / "raw", "sub-01_ses-pre_task-emomatching_run-01_events.tsv")
    [visit] = visits_of(derivatives, raw)
    assert (visit.participant_id, visit.session_id, visit.problem) == ("sub-01", "ses-pre", None)
    rest, faces = visit.runs
    assert (rest.kind, faces.kind) == ("rest", "faces")
    assert rest.space == "MNI152NLin2009cAsym"
    assert rest.confounds is not None
    assert rest.confounds_sidecar == rest.confounds.with_suffix(".json")
    assert rest.sidecar is not None
    assert rest.events is None
    assert faces.scan.name.endswith(".nii")
    assert faces.confounds is not None
    assert faces.confounds.name.endswith("regressors.tsv")
    assert faces.confounds_sidecar is None
    assert faces.events is not None
    assert faces.events.name == "sub-01_ses-pre_task-emomatching_run-01_events.tsv"


def test_sessions_and_participants_are_kept_apart(tmp_path: Path) -> None:
    tree(
        tmp_path,
        f"sub-1_task-rest_{MNI}_desc-preproc_bold.nii.gz",
        f"sub-11_ses-a_task-rest_{MNI}_desc-preproc_bold.nii.gz",
        f"sub-11_ses-b_task-rest_{MNI}_desc-preproc_bold.nii.gz",
    )
    found = [(visit.participant_id, visit.session_id) for visit in visits_of(tmp_path)]
    assert found == [("sub-1", None), ("sub-11", "ses-a"), ("sub-11", "ses-b")]
    assert [visit.participant_id for visit in visits_of(tmp_path, labels=["1"])] == ["sub-1"]
    assert len(visits_of(tmp_path, labels=["sub-11", "11"])) == 2


@pytest.mark.parametrize("label", ["02", "sub-02", "*", "../01", ""])
def test_an_unknown_participant_is_named(tmp_path: Path, label: str) -> None:
    tree(tmp_path, f"sub-01_task-rest_{MNI}_desc-preproc_bold.nii.gz")
    with pytest.raises(UnknownParticipantError):
        visits_of(tmp_path, labels=[label])


def test_the_preferred_space_is_taken_and_any_mni_space_otherwise(tmp_path: Path) -> None:
    names = [f"sub-01_task-rest_space-{space}_desc-preproc_bold.nii.gz" for space in ("MNI152Lin", "T1w")]
    tree(tmp_path, *names, "sub-01_task-rest_desc-preproc_bold.nii.gz")
    assert visits_of(tmp_path)[0].runs[0].space == "MNI152Lin"
    tree(tmp_path, f"sub-01_task-rest_{MNI}_desc-preproc_bold.nii.gz")
    [run] = visits_of(tmp_path)[0].runs
    assert run.space == "MNI152NLin2009cAsym"
    assert run.notes == ()


def test_scans_in_other_spaces_only_are_a_named_error(tmp_path: Path) -> None:
    tree(tmp_path, "sub-01_task-rest_space-T1w_desc-preproc_bold.nii.gz", "sub-01_task-rest_desc-preproc_bold.nii.gz")
    with pytest.raises(ScanSpaceError, match="found only T1w, the scanner's own space"):
        visits_of(tmp_path)


def test_unknown_tasks_are_listed_with_the_way_to_name_them(tmp_path: Path) -> None:
    tree(tmp_path, f"sub-01_task-nback_{MNI}_desc-preproc_bold.nii.gz")
    with pytest.raises(SessionError, match="tasks found: nback") as caught:
        visits_of(tmp_path)
    assert "--tasks" in caught.value.remedy


def test_of_several_runs_the_first_is_taken_and_noted(tmp_path: Path) -> None:
    tree(
        tmp_path,
        *[f"sub-01_task-faces_run-{run}_{MNI}_desc-preproc_bold.nii.gz" for run in (10, 2)],
        *[f"sub-01_task-faces_run-{run}_desc-confounds_timeseries.tsv" for run in (10, 2)],
    )
    [run] = visits_of(tmp_path)[0].runs
    assert "run-2_" in run.scan.name
    assert run.confounds is not None
    assert "run-2_" in run.confounds.name
    assert run.notes == ("2 faces runs were found; task-faces_run-2 is used",)


def test_one_bad_visit_does_not_stop_the_others(tmp_path: Path) -> None:
    tree(
        tmp_path,
        f"sub-01_task-rest_{MNI}_desc-preproc_bold.nii.gz",
        "sub-02_task-rest_space-T1w_desc-preproc_bold.nii.gz",
    )
    (tmp_path / "sub-03").mkdir()
    good, native, empty = visits_of(tmp_path)
    assert good.problem is None
    assert isinstance(native.problem, ScanSpaceError)
    assert isinstance(empty.problem, SessionError)
    with pytest.raises(ScanSpaceError):
        visits_of(tmp_path, labels=["02"])


@pytest.mark.parametrize("below", ["derivatives/fmriprep", "derivatives/fmriprep_like", "fmriprep", ""])
def test_the_dataset_that_holds_the_derivatives_may_be_named(tmp_path: Path, below: str) -> None:
    tree(tmp_path, "sub-01_task-faces_events.tsv")
    tree(tmp_path / below, f"sub-01_task-faces_{MNI}_desc-preproc_bold.nii.gz")
    [run] = visits_of(tmp_path)[0].runs
    assert run.events is not None


def test_events_of_another_run_are_not_taken(tmp_path: Path) -> None:
    derivatives = tree(tmp_path / "d", f"sub-01_task-faces_run-1_{MNI}_desc-preproc_bold.nii.gz")
    raw = tree(
        tmp_path / "raw",
        "sub-01_task-faces_run-2_events.tsv",
        "sub-01_task-rest_run-1_events.tsv",
        "sub-01_task-faces_run-1_acq-x_events.tsv",
        "sub-02_task-faces_run-1_events.tsv",
    )
    assert visits_of(derivatives, raw)[0].runs[0].events is None


def test_events_and_side_cars_are_inherited_from_further_up(tmp_path: Path) -> None:
    derivatives = tree(tmp_path / "d", f"sub-01_task-faces_acq-seq_{MNI}_desc-preproc_bold.nii.gz")
    for name in (
        "task-faces_events.tsv",
        "task-faces_acq-seq_events.tsv",
        "task-rest_events.tsv",
        "task-faces_bold.json",
    ):
        (tmp_path / name).touch()
    [run] = visits_of(derivatives, tmp_path)[0].runs
    assert run.events == tmp_path / "task-faces_acq-seq_events.tsv"
    assert run.sidecar == tmp_path / "task-faces_bold.json"
    tree(tmp_path, "sub-01_task-faces_acq-seq_events.tsv")
    assert visits_of(derivatives, tmp_path)[0].runs[0].events == (
        tmp_path / "sub-01/func/sub-01_task-faces_acq-seq_events.tsv"
    )


def test_leftovers_and_folders_with_odd_names_do_no_harm(tmp_path: Path) -> None:
    root = tree(
        tmp_path / "study [1]*",
        f"sub-01_task-rest_{MNI}_desc-preproc_bold.nii.gz",
        f"sub-01_task-rest_{MNI}_desc-preproc_bold.nii.gz.part",
        f"sub-02_task-rest_{MNI}_desc-preproc_bold.nii.gz.part",
    )
    visits = visits_of(root)
    assert [visit.problem is None for visit in visits] == [True, False]


def test_folders_that_hold_nothing_are_a_named_error_without_their_path(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "absent"):
        with pytest.raises(SessionError) as caught:
            visits_of(folder)
        assert str(tmp_path.parent) not in f"{caught.value}{caught.value.where}"
    tree(tmp_path, f"sub-01_task-rest_{MNI}_desc-preproc_bold.nii.gz")
    with pytest.raises(SessionError, match="raw dataset"):
        visits_of(tmp_path, tmp_path / "absent")


def test_the_real_localizer_is_found_with_a_task_description(shared: Path, tmp_path: Path) -> None:
    dataset = shared / "data/studyforrest_localizer"
    with pytest.raises(SessionError, match="oneback"):
        visits_of(dataset)
    (tmp_path / "tasks.toml").write_text('[faces]\ntasks = ["oneback"]\n')
    tasks = load_task_description(tmp_path / "tasks.toml")
    for derivatives, bids in ((dataset / "derivatives/fmriprep_like", dataset), (dataset, None)):
        [visit] = visits_of(derivatives, bids, tasks=tasks)
        [run] = visit.runs
        assert (run.kind, run.space) == ("faces", "MNI152Lin")
        for part in (run.confounds, run.sidecar, run.events):
            assert part is not None
            assert part.is_file()


def test_the_real_tables_without_images_are_a_named_error(shared: Path) -> None:
    with pytest.raises(SessionError, match="desc-preproc_bold"):
        visits_of(shared / "data/aomic_piop2")
