"""Finding the files of a visit; the trees hold empty files, only names matter."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from predictor.errors import ScanSpaceError, SessionError, UnknownParticipantError
from predictor.scan import visit_files
from predictor.scan.bids_name import BidsName, parse_bids_name
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


def test_all_runs_of_a_task_are_found_in_their_order_with_their_own_tables(tmp_path: Path) -> None:
    raw = tree(tmp_path / "raw", *[f"sub-01_task-faces_run-{run}_events.tsv" for run in (2, 10)])
    tree(
        tmp_path,
        f"sub-01_task-rest_{MNI}_desc-preproc_bold.nii.gz",
        *[f"sub-01_task-faces_run-{run}_{MNI}_desc-preproc_bold.nii.gz" for run in (10, 2)],
        *[f"sub-01_task-faces_run-{run}_desc-confounds_timeseries.tsv" for run in (10, 2)],
    )
    rest, second, tenth = visits_of(tmp_path, raw)[0].runs
    assert [run.name for run in (rest, second, tenth)] == ["rest", "faces", "faces_2"]
    for run, label in ((second, "run-2_"), (tenth, "run-10_")):
        assert run.confounds is not None
        assert run.events is not None
        assert all(label in path.name for path in (run.scan, run.confounds, run.events))
        assert run.notes == ()


def test_directions_and_sequences_are_runs_of_their_own(tmp_path: Path) -> None:
    names = [f"task-rest_acq-{acq}_dir-{way}" for acq in ("mb", "seq") for way in ("AP", "PA")]
    tree(tmp_path, *[f"sub-01_{name}_{MNI}_res-2_desc-preproc_bold.nii.gz" for name in names])
    assert [name in run.scan.name for name, run in zip(names, visits_of(tmp_path)[0].runs, strict=True)] == [True] * 4


def test_each_run_is_taken_once_in_its_best_image(tmp_path: Path) -> None:
    spaces = ("space-MNI152NLin6Asym_res-1", f"{MNI}_res-1", f"{MNI}_res-2", "space-T1w")
    tree(
        tmp_path,
        *[f"sub-01_task-rest_run-{run}_{space}_desc-preproc_bold.nii.gz" for run in (1, 2) for space in spaces],
        "sub-01_task-rest_run-3_space-MNI152NLin6Asym_desc-preproc_bold.nii.gz",
    )
    scans = [run.scan.name for run in visits_of(tmp_path)[0].runs]
    assert [name.split("_space-")[1].removesuffix("_desc-preproc_bold.nii.gz") for name in scans] == [
        "MNI152NLin2009cAsym_res-1",
        "MNI152NLin2009cAsym_res-1",
        "MNI152NLin6Asym",
    ]


def test_another_version_of_a_run_does_not_count_twice(tmp_path: Path) -> None:
    tree(tmp_path, *[f"sub-01_task-rest_rec-{rec}_{MNI}_desc-preproc_bold.nii.gz" for rec in ("dis2d", "norm")])
    [run] = visits_of(tmp_path)[0].runs
    assert "rec-dis2d" in run.scan.name
    assert run.notes == ("2 versions of this run were found; the first is used",)


def test_of_several_tasks_of_a_kind_the_preferred_one_is_taken_and_noted(tmp_path: Path) -> None:
    tasks = ("hariri", "faces")
    tree(tmp_path, *[f"sub-01_task-{task}_{MNI}_desc-preproc_bold.nii.gz" for task in tasks])
    [run] = visits_of(tmp_path)[0].runs
    assert "task-faces" in run.scan.name
    assert run.notes == ("the task hariri was found too and is not used",)


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


def test_who_asks_for_one_participant_does_not_walk_through_the_whole_tree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree(tmp_path, *(f"sub-{number:02d}_task-rest_{MNI}_desc-preproc_bold.nii.gz" for number in range(30)))
    whole = visits_of(tmp_path)
    read: list[str] = []

    def counted(path: str | Path) -> BidsName:
        read.append(Path(path).name)
        return parse_bids_name(path)

    monkeypatch.setattr(visit_files, "parse_bids_name", counted)
    assert visits_of(tmp_path, labels=["07", "sub-03"]) == (whole[7], whole[3])
    assert {name[:6] for name in read} == {"sub-07", "sub-03"}


def test_folders_with_everyone_in_them_are_listed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    derivatives = tree(
        tmp_path / "derivatives",
        *(f"sub-{number:02d}_task-emomatching_{MNI}_desc-preproc_bold.nii.gz" for number in range(30)),
    )
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / "task-emomatching_events.tsv").touch()
    listed: list[Path] = []
    look = os.listdir

    def counted(folder: Path) -> list[str]:
        listed.append(folder)
        return look(folder)

    monkeypatch.setattr(visit_files.os, "listdir", counted)
    events = {run.events for visit in visits_of(derivatives, raw) for run in visit.runs}
    assert events == {raw / "task-emomatching_events.tsv"}
    assert sorted(listed) == [derivatives, raw]


def test_a_folder_that_may_not_be_read_is_not_taken_for_an_empty_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sub-01").mkdir()
    # Rights do not hold for whoever runs the tests as root.
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "sub-01")
    with pytest.raises(SessionError, match="found one that may not") as caught:
        visits_of(tmp_path)
    assert caught.value.where == "sub-01"
