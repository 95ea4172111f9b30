"""What runs against a real service share: a bundle, a visit, and `krp serve` as a process of its own.

KRP_ROBUST=long in the environment makes the runs as long as their figures ask for; the default, short, fits into CI.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest

PROJECT = Path(__file__).resolve().parents[2]
IS_LONG = os.environ.get("KRP_ROBUST", "short") == "long"
SECONDS_TO_READY = 240  # of a machine that does much else; how long it took is printed where it matters


def _load(file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(file.stem + "_of_" + file.parent.name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


_serving = _load(PROJECT / "tests/serving/conftest.py")
bundle_dir, store, bundle = _serving.bundle_dir, _serving.store, _serving.bundle
visit, make_features = _serving.visit, _serving.make_features
sample_visit_dir = _serving.sample_visit_dir


@dataclass(frozen=True)
class ServiceProcess:
    """`krp serve`, running."""

    url: str
    process: subprocess.Popen[bytes]
    ready_s: float  # from its start to the first answer of /health/ready that says so
    ready_cpu_s: float  # what it computed meanwhile; on a busy machine the fairer number
    log: Path

    def client(self) -> httpx.Client:
        # Plain HTTP: reading the certificates of authorities takes 24 ms of processor each time.
        return httpx.Client(base_url=self.url, timeout=60, verify=False, trust_env=False)

    def kill(self) -> None:
        """Kill -9, and wait until it is gone."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def _cpu_seconds(process: subprocess.Popen[bytes]) -> float:
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _wait_until_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    until = time.monotonic() + SECONDS_TO_READY
    while time.monotonic() < until:
        assert process.poll() is None, f"the service ended: {log.read_text()}"
        try:
            if httpx.get(f"{url}/health/ready", timeout=5, verify=False, trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.02)
    raise AssertionError(f"not ready: {log.read_text()}")


@pytest.fixture(scope="session")
def run_long() -> bool:
    """Return whether the runs are as long as their figures ask for."""
    return IS_LONG


@pytest.fixture
def service_process(free_port: Callable[[], int], tmp_path: Path) -> Any:
    """Return what runs `krp serve` with arguments and environment, until its block ends."""
    return _runner(free_port, tmp_path)


@pytest.fixture(scope="session")
def run_service(free_port: Callable[[], int], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return the same for services that several tests share."""
    return _runner(free_port, tmp_path_factory.mktemp("service"))


def _runner(free_port: Callable[[], int], folder: Path) -> Callable[..., Any]:
    @contextmanager
    def run(
        *arguments: object, before: Callable[[], None] | None = None, **settings: object
    ) -> Iterator[ServiceProcess]:
        port, log = free_port(), folder / "service.log"
        given = {f"KRP_{name.upper()}": str(value) for name, value in settings.items()}
        place = {"KRP_DATABASE_URL": f"sqlite:///{folder}/service.db", "KRP_MODEL_CACHE": str(folder / "served")}
        environment = {name: value for name, value in os.environ.items() if not name.startswith("KRP_")}
        words = [sys.executable, "-m", "predictor", "serve", "--port", str(port), *map(str, arguments)]
        start = time.monotonic()
        with log.open("ab") as written:
            process = subprocess.Popen(
                words, cwd=folder, env=environment | place | given, stdout=written, stderr=written, preexec_fn=before
            )
        url = f"http://127.0.0.1:{port}"
        try:
            _wait_until_ready(process, url, log)
            yield ServiceProcess(url, process, time.monotonic() - start, _cpu_seconds(process), log)
        finally:
            process.kill()
            process.wait()

    return run


@pytest.fixture(scope="session")
def mutations() -> ModuleType:
    """Return what makes scans and tables with something wrong in them."""
    return _load(Path(__file__).with_name("mutated_inputs.py"))


@pytest.fixture(scope="session")
def small_study() -> ModuleType:
    """Return what writes a trial that is trained in seconds."""
    return _load(Path(__file__).with_name("small_study.py"))


@pytest.fixture(scope="session")
def measure_memory() -> Any:
    """Return what measures how far a process's resident memory rises above its start while a block runs (Linux)."""

    @contextmanager
    def measure(pid: int | None = None) -> Iterator[Callable[[], float]]:
        folder = Path("/proc") / str(pid or "self")
        (folder / "clear_refs").write_text("5")  # the peak starts again from what is resident now
        start = _status_mb(folder)["VmRSS"]
        yield lambda: _status_mb(folder)["VmHWM"] - start

    return measure


def _status_mb(folder: Path) -> dict[str, float]:
    lines = [line.split() for line in (folder / "status").read_text().splitlines()]
    return {words[0].rstrip(":"): int(words[1]) / 1024 for words in lines if words[-1] == "kB"}
