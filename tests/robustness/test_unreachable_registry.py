"""`krp serve` follows a real `mlflow server`, which hangs, is killed, is replaced by something else, and comes back.

Asked: a clear error, the old model goes on serving, nothing corrupt; and once the registry is back, what was promoted
meanwhile is served, without anybody's help. Between, the service itself starts without registry from its kept copy.
Seconds are printed.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest

from predictor.console import emit
from predictor.model.bundle import ModelBundle, load_bundle

REGISTER = Path(__file__).resolve().parents[1] / "training/killed_registration.py"
MODEL = "models:/ketamine-response@champion"
LOOKS_EVERY_S, WAITS_S, SECONDS_TO_FOLLOW = 0.2, 1.5, 60


@dataclass
class Registry:
    """A tracking server of MLflow on loopback that can be stopped, killed and started again at the same address."""

    folder: Path
    port: int
    _server: subprocess.Popen[bytes] | None = None
    _log: Path = field(init=False)

    def __post_init__(self) -> None:
        self._log = self.folder / "log"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        words = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", f"sqlite:///{self.folder}/server.db"]
        words += ["--artifacts-destination", str(self.folder / "files"), "--host", "127.0.0.1"]
        words += ["--port", str(self.port), "--workers", "1"]
        known = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_TRACKING")}
        # MLflow calls uvicorn by name; the environment need not be activated.
        known["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
        with self._log.open("ab") as log:
            self._server = subprocess.Popen(
                words, cwd=self.folder, env=known, stdout=log, stderr=log, start_new_session=True
            )
        wait_for(lambda: answers(f"{self.url}/health"), seconds=120)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the server and its workers."""
        if self._server is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._server.pid, number)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        if self._server is not None:
            self._server.wait()
            self._server = None


class Stranger(BaseHTTPRequestHandler):
    """Something at the registry's address that is no registry."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"<html>It works!</html>")

    do_POST = do_GET  # noqa: N815

    def log_message(self, *given: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """Return what registers and promotes a bundle as training does."""
    spec = importlib.util.spec_from_file_location("killed_registration", REGISTER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def registry(tmp_path: Path, free_port: Callable[[], int]) -> Iterator[Registry]:
    folder = tmp_path / "registry"
    folder.mkdir()
    running = Registry(folder, free_port())
    running.start()
    yield running
    running.kill()


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5, verify=False, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def wait_for(look: Callable[[], bool], *, seconds: float) -> float:
    """Look until it is so; returns the seconds that it took."""
    begin = time.monotonic()
    while not look():
        assert time.monotonic() < begin + seconds
        time.sleep(0.05)
    return time.monotonic() - begin


def model_of(client: httpx.Client) -> tuple[str, bool]:
    """Version that answers, and whether it is the kept copy."""
    document = client.get("/v1/models/current").json()
    return document["version"], document["from_cache"]


def check_goes_on(client: httpx.Client, body: dict[str, Any], *, version: str, what: str) -> None:
    """For some looks at the registry long, every request is answered by the same model, and quickly."""
    slowest_s, ends, n_asked = 0.0, time.monotonic() + WAITS_S, 0
    while time.monotonic() < ends:
        begin = time.monotonic()
        assert client.post("/v1/predictions", json=body).status_code == 200
        assert client.get("/health/ready").status_code == 200
        slowest_s, n_asked = max(slowest_s, time.monotonic() - begin), n_asked + 1
        assert model_of(client)[0] == version
    assert client.get("/v1/models").status_code == 200  # which asks the registry
    emit(f"registry {what}: {n_asked} of {n_asked} requests answered by version {version}, slowest {slowest_s:.2f} s")


def test_the_old_model_answers_until_the_registry_is_back(
    service_process: Any, registry: Registry, script: ModuleType, bundle_dir: Path, make_features: Any
) -> None:
    bundle: ModelBundle = load_bundle(bundle_dir)
    body = {"rows": [{"features": make_features(0.2), "covariates": {"caps5_total_baseline": 40}}]}
    script.register_and_promote(bundle, registry.url, version=1)
    settings = {"tracking_uri": registry.url, "refresh_s": LOOKS_EVERY_S}
    with ExitStack() as stack:
        service = stack.enter_context(service_process("--model", MODEL, **settings))
        client = stack.enter_context(service.client())
        wait_for(lambda: model_of(client) == ("1", False), seconds=SECONDS_TO_FOLLOW)
        registry.signal(signal.SIGSTOP)
        check_goes_on(client, body, version="1", what="hangs")
        registry.kill()
        check_goes_on(client, body, version="1", what="killed")
        with ThreadingHTTPServer(("127.0.0.1", registry.port), Stranger) as stranger:
            threading.Thread(target=stranger.serve_forever, daemon=True).start()
            check_goes_on(client, body, version="1", what="replaced by a page")
            stranger.shutdown()
        assert 'krp_model_refresh_failures_total{code="registry-unreachable"}' in client.get("/metrics").text
        with (
            service_process("--model", MODEL, **settings) as restarted,
            restarted.client() as other,
        ):
            assert model_of(other) == ("1", True)
            assert other.post("/v1/predictions", json=body).status_code == 200
            emit(f"started without registry: ready after {restarted.ready_s:.1f} s from the kept copy")
        registry.start()
        script.register_and_promote(bundle, registry.url, version=2)
        took_s = wait_for(lambda: model_of(client) == ("2", False), seconds=SECONDS_TO_FOLLOW)
        emit(f"registry back with a new champion: served {took_s:.1f} s after it was promoted")
        log = service.log.read_text()
        registry.signal(signal.SIGSTOP)
        time.sleep(2 * LOOKS_EVERY_S)  # it is asking now
        begin = time.monotonic()
        service.process.terminate()
        assert service.process.wait(timeout=SECONDS_TO_FOLLOW) == 0
        emit(f"told to stop while the registry hangs: ended after {time.monotonic() - begin:.1f} s")
    assert "Traceback" not in log
    assert "registry-unreachable" in log
    assert not list(bundle_dir.parent.rglob(".unfinished-*"))
