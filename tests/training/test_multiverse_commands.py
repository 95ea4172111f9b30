from __future__ import annotations

from pathlib import Path

import pytest

from predictor.__main__ import main


def test_a_dry_run_lists_the_universes_and_whose_tables_are_missing(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["multiverse", str(project / "experiments" / "multiverse.toml"), "--dry-run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("16 universes of ")
    assert sum(line.startswith("  registered ") for line in lines) == 1
    assert sum(" missing " in line for line in lines) == 16
    assert list(tmp_path.iterdir()) == []
