"""A real `krp serve` in a process of its own, started, watched from outside, and stopped."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

START_LIMIT_S = 60.0
_ADDRESS = re.compile(r"http://127\.0\.0\.1:(\d+)")


@dataclass(frozen=True)
class ServiceProcess:
    """A service that is ready."""

    pid: int
    port: int
    seconds_to_ready: float

    def forget_peak_memory(self) -> None:
        """Let the peak start again from what is resident now (Linux)."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def memory_mb(self) -> tuple[float, float]:
        """Return resident memory now and at its peak."""
        found = {}
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            name, _, value = line.partition(":")
            found[name] = value
        return tuple(int(found[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM"))  # type: ignore[return-value]

    def cpu_s(self) -> float:
        """Return processor time so far, of all threads."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def serve(bundle: Path | None, folder: Path, **settings: str) -> Iterator[ServiceProcess]:
    """Run `krp serve` on a free port of loopback until the block ends.

    Parameters
    ----------
    bundle
        Bundle folder; None takes the model of the registry that the settings name.
    folder
        Where the service's database lies.
    settings
        Further settings by name, as environment variables KRP_....
    """
    environment = os.environ | {"KRP_DATABASE_URL": f"sqlite:///{folder}/service.db"}
    environment |= {f"KRP_{name.upper()}": value for name, value in settings.items()}
    command = [str(Path(sys.executable).with_name("krp")), "serve", "--port", "0"]
    command += [] if bundle is None else ["--bundle", str(bundle)]
    begin = time.perf_counter()
    log = folder / f"service-{time.monotonic_ns()}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output, cwd=folder)
    try:
        port = _port_of(process, log)
        wait_until_answered(f"http://127.0.0.1:{port}/health/ready")
        yield ServiceProcess(process.pid, port, time.perf_counter() - begin)
    finally:
        stop(process)


def stop(process: subprocess.Popen[bytes], *, whole_session: bool = False) -> None:
    """End a process, and with `whole_session` everything it started; by force where it does not end by itself."""
    send = (lambda number: os.killpg(process.pid, number)) if whole_session else process.send_signal
    send(signal.SIGTERM)
    try:
        process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        send(signal.SIGKILL)
        process.wait()


def _port_of(process: subprocess.Popen[bytes], log: Path) -> int:
    """Return where it listens, which it says on the terminal."""
    end = time.perf_counter() + START_LIMIT_S
    while process.poll() is None and time.perf_counter() < end:
        if found := _ADDRESS.search(log.read_text()):
            return int(found.group(1))
        time.sleep(0.01)
    raise SystemExit(f"the service did not say where it listens:\n{log.read_text()}")


def wait_until_answered(url: str) -> None:
    """Ask until the answer is 200."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    end = time.perf_counter() + START_LIMIT_S
    while time.perf_counter() < end:
        try:
            with opener.open(url, timeout=5) as reply:
                if reply.status == 200:
                    return
        except OSError:
            pass
        time.sleep(0.01)
    raise SystemExit("the service did not become ready")
