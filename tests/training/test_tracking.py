from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from predictor.errors import ModelUnavailableError, UsageError
from training.experiment import ExperimentResult
from training.tracking import open_store, start_run


def test_nothing_is_sent_anywhere() -> None:
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert os.environ["DO_NOT_TRACK"] == "true"


def test_mlflow_is_told_so_before_it_is_imported() -> None:
    ask = "import training.registry, mlflow.telemetry.client as t; assert t.get_telemetry_client() is None"
    clean = {
        name: value for name, value in os.environ.items() if name not in ("MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK")
    }
    subprocess.run([sys.executable, "-c", ask], check=True, env=clean)


def test_a_store_that_cannot_be_opened_is_a_named_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be made"):
        open_store(tmp_path / "file" / "mlruns")
    (tmp_path / "mlflow.db").write_text("no database " * 100)
    with pytest.raises(UsageError, match="cannot be opened"):
        open_store(tmp_path)


def test_looking_for_a_store_that_must_exist_makes_none(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailableError):
        open_store(tmp_path / "nothing", must_exist=True)
    assert not list(tmp_path.iterdir())


def test_database_and_artifacts_stand_in_the_stores_folder(result: ExperimentResult, store_folder: Path) -> None:
    assert (store_folder / "mlflow.db").is_file()
    assert list((store_folder / "artifacts" / "small-trial").iterdir())


def test_a_run_that_an_error_ends_is_marked_as_failed(result: ExperimentResult, store_folder: Path) -> None:
    store = open_store(store_folder)
    with pytest.raises(ZeroDivisionError), start_run(store, "small-trial", name="broken") as log:
        raise ZeroDivisionError
    assert store.client.get_run(log.run_id).info.status == "FAILED"


def test_long_settings_are_cut_and_missing_numbers_left_out(result: ExperimentResult, store_folder: Path) -> None:
    store = open_store(store_folder)
    with start_run(store, "small-trial", name="edge cases") as log:
        log.params({"long": "x" * 10_000})
        log.metrics({"known": 1.5, "unknown": None})
    data = store.client.get_run(log.run_id).data
    assert len(data.params["long"]) == 500
    assert data.metrics == {"known": 1.5}
