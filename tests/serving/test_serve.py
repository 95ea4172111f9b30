from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import cast

import httpx
import pytest

from predictor.__main__ import main
from predictor.errors import RegistryUnreachableError, SessionError
from serving.commands.serve import _confirm, _listen
from serving.model_store import ModelStore
from serving.settings import Settings


@pytest.fixture(autouse=True)
def _own_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KRP_DATABASE_URL", f"sqlite:///{tmp_path}/service.db")


def test_what_cannot_be_trusted_stops_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--bundle", str(tmp_path), "--port", "0"]) == 3
    assert "bundle-damaged" in capsys.readouterr().err
    assert main(["serve", "--host", "0.0.0.0"]) == 2
    assert "listener-open" in capsys.readouterr().err


def test_a_port_that_is_taken_or_impossible_is_wrong_use(
    bundle_dir: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert main(["serve", "--bundle", str(bundle_dir), "--port", port]) == 2
    shown = capsys.readouterr().err
    assert f"usage: cannot listen on port {port}" in shown
    assert "choose another port" in shown
    assert main(["serve", "--bundle", str(bundle_dir), "--port", "99999"]) == 2
    assert "--port or KRP_PORT" in capsys.readouterr().err
    monkeypatch.setenv("KRP_ALLOWED_HOSTS", "localhost")
    assert main(["serve", "--bundle", str(bundle_dir), "--port", "0"]) == 2
    assert "lists are JSON" in capsys.readouterr().err


def test_a_sample_visit_that_is_none_is_wrong_use(
    bundle_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "sub-file").touch()
    for wrong in (tmp_path, tmp_path / "sub-99", tmp_path / "sub-file"):
        assert main(["serve", "--bundle", str(bundle_dir), "--port", "0", "--sample-visit", str(wrong)]) == 2
        assert "where   --sample-visit" in capsys.readouterr().err


def test_a_sample_visit_that_a_fetched_model_does_not_take_is_an_error_on_screen_and_not_a_traceback(
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Store:
        is_loaded = True

        def refresh(self) -> None:
            raise RegistryUnreachableError("the registry does not answer.")

    def announce() -> None:
        raise SessionError("no run is known as rest, faces or conflict; tasks found: nback.", where="task")

    _confirm(cast(ModelStore, Store()), announce)
    shown = capsys.readouterr().err
    assert shown.startswith("session-not-found: no run is known")
    assert "Traceback" not in shown


def test_the_address_takes_connections_before_it_is_announced() -> None:
    with _listen(Settings(port=0)) as listener:
        socket.create_connection(listener.getsockname(), timeout=5).close()


def test_serves_says_what_to_open_and_stops_when_asked(bundle_dir: Path, sample_visit_dir: Path) -> None:
    command = [sys.executable, "-m", "predictor", "serve", "--bundle", str(bundle_dir), "--port", "0"]
    command += ["--sample-visit", str(sample_visit_dir)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        try:
            lines = []
            assert process.stderr is not None
            for line in process.stderr:
                lines.append(line.rstrip())
                if line.startswith("Research use only"):
                    break
            (address,) = [line.split()[1] for line in lines if line.startswith("Open")]
            with httpx.Client(base_url=address, timeout=30, verify=False, trust_env=False) as client:
                assert client.get("/health/ready").status_code == 200
            curl = "\n".join(lines)
            assert f"{address}/v1/scans" in curl
            assert "faces_events=@" in curl
            assert "not promoted" in curl
        finally:
            process.send_signal(signal.SIGINT)
            code = process.wait(timeout=30)
    assert code in (0, 130)
