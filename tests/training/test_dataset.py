from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from predictor.errors import UsageError
from training.simulation import dataset
from training.simulation.dataset import simulate_dataset
from training.simulation.trial import TrialPlan

PLAN = TrialPlan(n_patients=2, n_controls=1, seed=5)


def _digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_same_seed_gives_the_same_bytes_with_any_number_of_processes(small_trial: Path, tmp_path: Path) -> None:
    simulate_dataset(tmp_path / "again", PLAN, n_jobs=2)  # small_trial was made with one
    assert _digests(tmp_path / "again") == _digests(small_trial)


def test_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="not empty"):
        simulate_dataset(tmp_path, PLAN)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_nothing_is_left_behind_when_it_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(dataset, "_write_visits", fail)
    with pytest.raises(OSError, match="no space"):
        simulate_dataset(tmp_path / "trial", PLAN)
    assert list(tmp_path.iterdir()) == []
