from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from unittest.mock import patch

import pytest

from predictor.errors import ModelUnavailableError, RunDeletedError, StoreReadOnlyError, UsageError
from training.experiment import ExperimentResult
from training.log_book.run_process import RunProcess
from training.log_book.tracking import RunLog, find_runs, open_store, read_document, start_run

# Opens a run with a run below it, says so, and then works for ever.
WRITER = """
import sys, time
from training.log_book.tracking import open_store, start_run
store = open_store(sys.argv[1])
with start_run(store, "stopped", name="parent") as log, start_run(store, "stopped", name="child", parent=log):
    print(log.run_id, flush=True)
    while True:
        time.sleep(0.05)
"""


def test_nothing_is_sent_anywhere() -> None:
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert os.environ["DO_NOT_TRACK"] == "true"


def test_mlflow_is_told_so_before_it_is_imported() -> None:
    ask = "import training.shelf.registry, mlflow.telemetry.client as t; assert t.get_telemetry_client() is None"
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


def test_a_store_is_the_same_by_folder_and_by_address(result: ExperimentResult, store_folder: Path) -> None:
    by_folder = find_runs(open_store(store_folder), experiments=["small-trial"])
    by_address = find_runs(open_store(f"sqlite:///{store_folder}/mlflow.db"), experiments=["small-trial"])
    assert by_folder
    assert by_address == by_folder


def test_a_run_that_an_error_ends_is_marked_as_failed(result: ExperimentResult, store_folder: Path) -> None:
    store = open_store(store_folder)
    with pytest.raises(ZeroDivisionError), start_run(store, "small-trial", name="broken") as log:
        raise ZeroDivisionError
    assert store.client.get_run(log.run_id).info.status == "FAILED"


def test_ctrl_c_closes_a_run_and_the_runs_above_it_as_killed(result: ExperimentResult, store_folder: Path) -> None:
    store = open_store(store_folder)
    with (
        pytest.raises(KeyboardInterrupt),
        start_run(store, "small-trial", name="stopped") as above,
        start_run(store, "small-trial", name="stopped", parent=above) as below,
    ):
        raise KeyboardInterrupt
    assert [store.client.get_run(one.run_id).info.status for one in (above, below)] == ["KILLED", "KILLED"]
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.parametrize(
    ("number", "statuses", "exit_code"),
    [(signal.SIGTERM, {"KILLED"}, 128 + signal.SIGTERM), (signal.SIGKILL, {"RUNNING"}, -signal.SIGKILL)],
)
def test_a_stopped_program_closes_its_runs_and_a_killed_one_can_be_told_from_one_at_work(
    result: ExperimentResult, store_folder: Path, number: signal.Signals, statuses: set[str], exit_code: int
) -> None:
    with subprocess.Popen([sys.executable, "-c", WRITER, str(store_folder)], stdout=subprocess.PIPE, text=True) as one:
        assert one.stdout is not None
        run_id = one.stdout.readline().strip()
        store = open_store(store_folder)
        writer = RunProcess.of_text(store.client.get_run(run_id).data.tags["process"])
        assert writer is not None
        assert writer.is_alive() is True
        one.send_signal(number)
    runs = [run for run in find_runs(store, experiments=["stopped"], status="") if run_id in (run.run_id, run.parent)]
    assert one.returncode == exit_code
    assert len(runs) == 2
    assert {run.status for run in runs} == statuses
    assert writer.is_alive() is False


def test_long_settings_are_cut_and_missing_numbers_left_out(result: ExperimentResult, store_folder: Path) -> None:
    store = open_store(store_folder)
    with start_run(store, "small-trial", name="edge cases") as log:
        log.params({"long": "x" * 10_000} | {f"p{number}": number for number in range(150)})
        log.metrics({"known": 1.5, "unknown": None})
    data = store.client.get_run(log.run_id).data
    assert len(data.params["long"]) == 500
    assert len(data.params) == 151
    assert data.metrics == {"known": 1.5}


def test_settings_numbers_and_facts_are_logged_by_one_call_of_the_store(tmp_path: Path) -> None:
    store = open_store(tmp_path / "mlruns")
    with (
        start_run(store, "together", name="together") as log,
        patch.object(log.client, "log_batch", wraps=log.client.log_batch) as called,
    ):
        log.entries(params={"folds": 10}, metrics={"r2": 0.5, "unknown": None}, tags={"role": "primary"})
    data = store.client.get_run(log.run_id).data
    assert called.call_count == 1
    assert (data.params, data.metrics, data.tags["role"]) == ({"folds": "10"}, {"r2": 0.5}, "primary")


def test_files_are_logged_by_name_and_by_folder(result: ExperimentResult, store_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "two.json").write_text('{"two": 2}')
    store = open_store(store_folder)
    with start_run(store, "small-trial", name="files", kind="trying") as log:
        log.files({"figures/one.svg": "<svg/>", "three.json": b'{"three": 3}'})
        log.files(tmp_path, "copied")
    assert read_document(store, log.run_id, "three.json") == {"three": 3}
    assert read_document(store, log.run_id, "copied/inner/two.json") == {"two": 2}
    assert store.client.get_run(log.run_id).data.tags["kind"] == "trying"


def test_a_run_that_is_deleted_under_way_is_a_named_error(result: ExperimentResult, store_folder: Path) -> None:
    store = open_store(store_folder)
    with pytest.raises(RunDeletedError), start_run(store, "small-trial", name="deleted") as log:
        log_after_deletion(log)
    with pytest.raises(RunDeletedError, match="while it was written"), start_run(store, "small-trial", name="d") as log:
        store.client.delete_run(log.run_id)


def test_a_database_that_cannot_be_written_is_a_named_error(
    result: ExperimentResult, store_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sqlalchemy.exc import OperationalError

    def refuse(*_: object, **__: object) -> None:
        raise OperationalError("INSERT", {}, Exception("attempt to write a readonly database"))

    store = open_store(store_folder)
    monkeypatch.setattr(store.client, "create_run", refuse)
    with pytest.raises(StoreReadOnlyError) as caught, start_run(store, "small-trial", name="refused"):
        pass
    assert caught.value.code == "store-read-only"
    assert "INSERT" not in str(caught.value)


def test_a_bug_inside_a_run_stays_the_bug_even_when_the_store_is_gone(
    result: ExperimentResult, store_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise ConnectionError

    store = open_store(store_folder)
    monkeypatch.setattr(store.client, "set_terminated", refuse)
    with pytest.raises(ZeroDivisionError), start_run(store, "small-trial", name="broken"):
        raise ZeroDivisionError


def log_after_deletion(log: RunLog) -> None:
    log.client.delete_run(log.run_id)
    log.metrics({"r2": 0.5})
