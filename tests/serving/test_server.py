"""How a service ends: as a process of its own, because signals reach only those."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest


class Process:
    """A running `krp serve`, and the port it listens on."""

    def __init__(self, bundle_dir: Path, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = int(free.getsockname()[1])
        self.log = folder / "log"
        command = [sys.executable, "-m", "predictor", "serve", "--bundle", str(bundle_dir), "--port", str(self.port)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "KRP_DATABASE_URL": f"sqlite:///{folder}/service.db"}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, stderr=log, env=environment)

    def status(self, path: str) -> int:
        """Return the status of an answer; 0 when nobody answers."""
        try:
            return httpx.get(
                f"http://127.0.0.1:{self.port}{path}", timeout=30, verify=False, trust_env=False
            ).status_code
        except httpx.TransportError:
            return 0

    def wait_for(self, path: str, status: int, *, at_most_s: float = 60) -> None:
        ends = time.monotonic() + at_most_s
        while self.status(path) != status:
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < ends, "it did not come about"
            time.sleep(0.02)

    def begin(self, body: bytes) -> socket.socket:
        """Send the head of a request and half of its body."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=60)
        head = (
            "POST /v1/predictions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        connection.sendall(head.encode() + body[: len(body) // 2])
        return connection

    def wait_until_under_way(self) -> None:
        """Wait until the half request has been read."""
        ends = time.monotonic() + 60
        address = f"http://127.0.0.1:{self.port}/metrics"
        while (
            'krp_requests_under_way{kind="request"} 1.0' not in httpx.get(address, verify=False, trust_env=False).text
        ):
            assert time.monotonic() < ends, "it did not come about"
            time.sleep(0.02)


@pytest.fixture
def running(bundle_dir: Path, tmp_path: Path) -> Iterator[Process]:
    started = Process(bundle_dir, tmp_path)
    try:
        started.wait_for("/health/ready", 200)
        yield started
    finally:
        started.process.kill()
        started.process.wait()


def test_told_to_stop_it_finishes_what_is_under_way_and_takes_nothing_new(running: Process, make_features: Any) -> None:
    body = json.dumps({"rows": [{"features": make_features(0.2)}]}).encode()
    with running.begin(body) as connection:
        running.wait_until_under_way()
        running.process.send_signal(signal.SIGTERM)
        running.wait_for("/health/ready", 503)
        assert running.status("/health/live") == 200
        assert running.status("/v1/models/current") == 503
        connection.sendall(body[len(body) // 2 :])
        answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 200")
    assert running.process.wait(timeout=30) == 0
    lines = [json.loads(line) for line in running.log.read_text().splitlines() if line.startswith("{")]
    assert [
        line["status"] for line in lines if line["message"] == "request" and line["route"] == "/v1/predictions"
    ] == [200]


def test_told_twice_it_ends_at_once(running: Process) -> None:
    with running.begin(b"x" * 1_000):
        running.wait_until_under_way()
        running.process.send_signal(signal.SIGTERM)
        running.wait_for("/health/ready", 503)
        running.process.send_signal(signal.SIGTERM)
        running.process.wait(timeout=15)
    assert running.process.returncode is not None


def test_an_idle_service_ends_by_itself_when_told_once(running: Process) -> None:
    with httpx.Client(base_url=f"http://127.0.0.1:{running.port}", verify=False, trust_env=False) as client:
        client.get("/health/live")  # the connection stays open
        running.process.send_signal(signal.SIGINT)
        assert running.process.wait(timeout=30) == 0
