from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from predictor import scratch_folder as scratch
from predictor.scratch_folder import is_in_use, purpose_of, scratch_folder

MAKES_ONE = """
import sys, time
from predictor.scratch_folder import scratch_folder, scratch_folder_until_exit
if sys.argv[1] == "until-exit":
    print(scratch_folder_until_exit("bundle"), flush=True)
    sys.stdin.read()
else:
    with scratch_folder("confounds") as folder:
        print(folder, flush=True)
        sys.stdin.read()
"""


def test_a_folder_tells_whose_it_is_and_is_gone_afterwards() -> None:
    with scratch_folder("ci-check") as folder:
        assert purpose_of(folder) == "ci-check"
        (folder / "part").write_text("")
    assert not folder.exists()
    assert purpose_of(Path("confounds-0a1b2c3d")) == ""


@pytest.mark.parametrize("kind", ["until-exit", "with"])
@pytest.mark.parametrize("is_killed", [True, False])
def test_a_folder_is_in_use_until_its_process_has_ended(kind: str, is_killed: bool) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", MAKES_ONE, kind], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        folder = Path(process.stdout.readline().strip())
        assert is_in_use(folder)
        if is_killed:
            process.send_signal(signal.SIGKILL)
        process.communicate("")
    assert folder.exists() == is_killed
    if is_killed:
        assert not is_in_use(folder)
        folder.rmdir()


def test_what_cannot_be_found_out_counts_as_in_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_in_use(tmp_path / "gone")
    assert not is_in_use(tmp_path)
    monkeypatch.setattr(scratch, "fcntl", None)
    assert is_in_use(tmp_path)
    with scratch_folder("bundle") as folder:
        assert os.listdir(folder) == []
