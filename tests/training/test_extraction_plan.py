from __future__ import annotations

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
    return code, rows | {"sum": next(line for line in lines if "visits:" in line), "last": lines[-1]}


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


def test_nothing_is_expected_to_take_time_once_all_are_done(
    small_trial: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call = ["extract", str(small_trial), str(tmp_path), "participant", "--participant-label", "001", "--jobs", "1"]
    assert main([*call, "--quiet"]) == 0
    _, said = plan_of(small_trial, tmp_path, capsys, "--participant-label", "001")
    assert said["last"] == "1 visits: 0 to do, 1 done before, 0 cannot be read"
