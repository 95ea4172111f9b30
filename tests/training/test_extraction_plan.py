from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from predictor.__main__ import main


def plan_of(trial: Path, out: Path, capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, dict[str, str]]:
    """Return the exit code of a dry run, and what it says of every participant; the sum stands under "expected"."""
    capsys.readouterr()
    code = main(["extract", str(trial), str(out), "group", "--jobs", "1", "--dry-run", *options])
    lines = capsys.readouterr().out.splitlines()
    rows = {line.split()[0]: " ".join(line.split()[1:]) for line in lines if line.startswith("  sub-")}
    return code, rows | {"sum": next(line for line in lines if " to do, " in line), "last": lines[-1]}


def test_a_dry_run_says_whose_turn_it_is_and_writes_nothing(
    small_trial: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    code, said = plan_of(small_trial, out, capsys)
    assert code == 0
    assert said["sub-002"] == "- rest faces conflict to do new"
    assert said["sum"] == "3 visits: 3 to do, 0 done before, 0 cannot be read"
    assert said["last"].startswith("expected: about ")
    assert not out.exists()


def test_a_dry_run_says_why_a_visit_is_computed_again(
    small_trial: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tree, out = shutil.copytree(small_trial, tmp_path / "tree"), tmp_path / "out"
    assert main(["extract", str(tree), str(out), "participant", "--jobs", "1", "--quiet"]) == 0
    before = {path: path.read_bytes() for path in out.rglob("*.json")}
    changed = next(tree.glob("derivatives/fmriprep/sub-001/func/*task-rest_desc-confounds_timeseries.tsv"))
    os.utime(changed, ns=(2**62, 2**62))
    (out / "sub-003" / "sub-003_features.json").write_text("{}")
    code, said = plan_of(tree, out, capsys)
    assert code == 0
    assert said["sub-001"].endswith("to do a file changed since")
    assert said["sub-002"].endswith("conflict done")
    assert said["sub-003"].endswith("to do its result is damaged")
    assert plan_of(tree, out, capsys, "--force")[1]["sub-002"].endswith("to do --force")
    assert plan_of(tree, out, capsys, "--reports")[1]["sub-002"].endswith("to do no report yet")
    other = plan_of(tree, out, capsys, "--confound-strategy", "motion6")[1]
    assert other["sub-002"].endswith("to do made with another recipe")
    del before[out / "sub-003" / "sub-003_features.json"]
    assert {path: path.read_bytes() for path in before} == before


def test_a_visit_that_cannot_be_read_is_named_with_the_reason(
    small_trial: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = shutil.copytree(small_trial, tmp_path / "tree")
    for scan in tree.glob("derivatives/fmriprep/sub-002/func/*desc-preproc_bold.nii.gz"):
        scan.rename(scan.with_name(scan.name.replace("space-MNI152NLin2009cAsym_", "space-T1w_")))
    code, said = plan_of(tree, tmp_path / "out", capsys)
    assert code == 1
    assert said["sub-002"].startswith("- - cannot scan-not-mni: ")
    assert said["sum"] == "3 visits: 2 to do, 0 done before, 1 cannot be read"


def test_a_dry_run_decides_as_the_real_run_does_where_files_came_and_went(
    small_trial: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tree, out = shutil.copytree(small_trial, tmp_path / "tree"), tmp_path / "out"
    faces = next(tree.glob("sub-001/func/*task-faces_events.tsv"))
    faces.rename(tmp_path / faces.name)  # whoever forgets --bids-dir has no events either
    call = ["extract", str(tree), str(out), "participant", "--jobs", "1", "--quiet"]
    assert main(call) == 0
    (tmp_path / faces.name).rename(faces)  # keeps its date, which is before the result's
    for scan in tree.glob("derivatives/fmriprep/sub-002/func/*desc-preproc_bold.nii.gz"):
        scan.unlink()
    code, said = plan_of(tree, out, capsys)
    assert code == 1
    assert said["sub-001"].endswith("to do other files than before")
    assert said["sub-002"].startswith("- - cannot session-not-found: ")
    assert said["sub-003"].endswith("done")
    done = (out / "sub-003" / "sub-003_features.json").stat().st_ino
    assert main(call) == 1
    assert not (out / "sub-002").exists()
    assert (out / "sub-003" / "sub-003_features.json").stat().st_ino == done
    missing = json.loads((out / "sub-001" / "sub-001_features.json").read_text())["missing_reasons"]
    assert not any(name.startswith("faces") or "events" in reason for name, reason in missing.items())


def test_a_folder_that_can_take_no_table_is_refused_before_hours_are_spent(
    small_trial: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the dry run and by the real one alike: a file in the way, and others' results of another recipe."""
    file, out = tmp_path / "file", tmp_path / "out"
    file.write_text("in the way")
    assert main(["extract", str(small_trial), str(file / "below"), "group", "--dry-run"]) == 2
    assert main(["extract", str(small_trial), str(file / "below"), "group", "--jobs", "1"]) == 2
    one = ["--participant-label", "001", "--jobs", "1", "--quiet"]
    assert main(["extract", str(small_trial), str(out), "participant", *one]) == 0
    recipe = (out / "recipe.json").read_bytes()
    other = ["extract", str(small_trial), str(out), "group", "--participant-label", "002", "--censor-mm", "0.4"]
    assert main([*other, "--dry-run"]) == 3
    assert main([*other, "--jobs", "1"]) == 3
    assert capsys.readouterr().err.count("1 participant in it have results of another recipe: sub-001") == 2
    assert (out / "recipe.json").read_bytes() == recipe
    assert not (out / "sub-002").exists()


def test_on_a_cluster_the_work_is_told_and_no_number_of_processes(
    small_trial: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call = ["extract", str(small_trial), str(tmp_path / "out"), "group", "--dry-run"]
    assert main([*call, "--backend", "dask", "--scheduler", "tcp://127.0.0.1:9"]) == 0
    said = capsys.readouterr().out
    assert "shared by the cluster's workers" in said
    assert "processes" not in said


def test_nothing_is_expected_to_take_time_once_all_are_done(
    small_trial: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call = ["extract", str(small_trial), str(tmp_path), "participant", "--participant-label", "001", "--jobs", "1"]
    assert main([*call, "--quiet"]) == 0
    _, said = plan_of(small_trial, tmp_path, capsys, "--participant-label", "001")
    assert said["last"] == "1 visit: 0 to do, 1 done before, 0 cannot be read"
