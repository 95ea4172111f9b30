from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from predictor.scratch_folder import scratch_folder
from training.shelf import scratch_folders
from training.shelf.scratch_folders import OLD_S, forgotten_scratch


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = tmp_path / "krp-log-0a1b2c3d"
    folder.mkdir()
    return folder


def test_finds_what_nobody_has_touched_for_an_hour(scratch: Path) -> None:
    touched_s = scratch.stat().st_mtime
    assert list(forgotten_scratch(touched_s + OLD_S + 1)) == [scratch]
    assert list(forgotten_scratch(touched_s + OLD_S - 1)) == []


def test_what_was_written_inside_counts_as_touched(scratch: Path) -> None:
    (scratch / "inside").mkdir()
    (scratch / "inside" / "part").write_text("")
    written_s = scratch.stat().st_mtime
    os.utime(scratch, (0, 0))
    assert list(forgotten_scratch(written_s + OLD_S - 10)) == []
    assert list(forgotten_scratch(written_s + OLD_S + 10)) == [scratch]


def test_a_folder_that_a_process_holds_is_not_forgotten_however_old(scratch: Path) -> None:
    scratch.rmdir()
    with scratch_folder("bundle") as held:
        assert list(forgotten_scratch(held.stat().st_mtime + 1000 * OLD_S)) == []


def test_a_folder_that_its_training_removes_meanwhile_is_no_finding(
    scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = scratch_folders._folders

    def list_then_lose(place: Path) -> list[Path]:
        found = listed(place)
        os.rmdir(scratch)
        return found

    monkeypatch.setattr(scratch_folders, "_folders", list_then_lose)
    assert list(forgotten_scratch(scratch.stat().st_mtime + 2 * OLD_S)) == []
