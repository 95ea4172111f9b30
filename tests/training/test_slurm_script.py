"""The array job of docs/how_to/slurm.md, run as Slurm would: several tasks at once into one folder."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from predictor.__main__ import main

PAGE = Path(__file__).resolve().parents[2] / "docs/how_to/slurm.md"


def script() -> str:
    """Return the text that users copy."""
    (text,) = re.findall(r"```bash\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    return str(text)


def start(folder: Path, task: int) -> subprocess.Popen[str]:
    environment = os.environ | {
        "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])),
        "SLURM_ARRAY_TASK_ID": str(task),
        "PER_TASK": "1",
    }
    return subprocess.Popen(
        ["bash", "extract.sbatch"], cwd=folder, env=environment, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )  # fmt: skip


def test_tasks_that_run_at_once_leave_one_complete_folder(
    small_trial: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "extract.sbatch").write_text(script())
    (tmp_path / "derivatives").symlink_to(small_trial / "derivatives")
    (tmp_path / "raw").symlink_to(small_trial)
    (tmp_path / "participants.txt").write_text("sub-001\nsub-002\n")
    tasks = [start(tmp_path, number) for number in (1, 2, 3)]  # the array is longer than the list
    said = [task.communicate(timeout=600)[0] for task in tasks]
    assert [task.returncode for task in tasks] == [0, 0, 0], said
    assert "no participant has a number from 3 to 3" in said[2]

    monkeypatch.chdir(tmp_path)
    written = {path: path.stat().st_ino for path in Path("features").glob("sub-*/*")}
    assert len(written) == 2
    call = ["extract", "derivatives/fmriprep", "features", "group", "--bids-dir", "raw", "--jobs", "1"]
    assert main([*call, "--participant-label", "001", "002"]) == 0
    assert "2 participants were done before" in capsys.readouterr().err
    assert {path: path.stat().st_ino for path in Path("features").glob("sub-*/*")} == written
    table = pd.read_csv("features/features.tsv", sep="\t")
    assert list(table["participant_id"]) == ["sub-001", "sub-002"]
    assert not list(Path("features").rglob(".*"))


def test_the_script_asks_slurm_for_what_the_page_says() -> None:
    asked = dict(re.findall(r"^#SBATCH --([a-z-]+)=(.+)$", script(), re.MULTILINE))
    assert (asked["array"], asked["cpus-per-task"]) == ("1-16", "1")
    assert "160 participants are 16 tasks" in PAGE.read_text(encoding="utf-8")
