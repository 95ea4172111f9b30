from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from predictor.__main__ import main
from serving.commands.serve import _listen
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
            with httpx.Client(base_url=address, timeout=30, trust_env=False) as client:
                assert client.get("/health/ready").status_code == 200
            curl = "\n".join(lines)
            assert f"{address}/v1/scans" in curl
            assert "faces_events=@" in curl
            assert "not promoted" in curl
        finally:
            process.send_signal(signal.SIGINT)
            code = process.wait(timeout=30)
    assert code in (0, 130)
