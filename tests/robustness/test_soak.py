"""Mixed traffic for a long time.

Asked: after warm-up resident memory grows by less than 1 MiB a minute, file descriptors and threads stay, p99 of the
last sixth is at most 1.2 times that of the first. Times are printed, never asserted.
`python -m pytest tests/robustness/test_soak.py -s`: eight seconds; KRP_ROBUST=long runs half an hour; KRP_SOAK_S
overrules both.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from predictor.console import emit
from predictor.model.bundle import ModelBundle

LONG_S, SHORT_S = 1_800.0, 8.0
SLOPE_ASKED_MB, LATE_ASKED = 1.0, 1.2
WARM_UP_SHARE, SAMPLE_S, LEAVES_AFTER_S = 0.3, 0.25, 0.2
# Pools of threads are bounded, but may still be filling up when the warm-up ends.
SPARE_THREADS, SPARE_DESCRIPTORS = 4, 4
PAGES = ("/", "/visit", "/table", "/history", "/models", "/docs", "/v1/models/current", "/metrics", "/static/page.css")
Do = Callable[[httpx.Client], int]


@dataclass
class Traffic:
    """What callers saw."""

    statuses: Counter[tuple[str, int]] = field(default_factory=Counter)
    times: list[tuple[float, float]] = field(default_factory=list)  # of features: when, and seconds to the answer
    faults: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, kind: str, status: int, begin: float) -> None:
        with self.lock:
            self.statuses[kind, status] += 1
            if kind == "features" and status == 200:
                self.times.append((begin, time.monotonic() - begin))

    def p99_ms(self, start: float, end: float) -> float:
        found = [seconds for when, seconds in self.times if start <= when < end]
        return 1000 * float(np.quantile(found, 0.99)) if found else float("nan")


@dataclass(frozen=True)
class Usage:
    """What a process holds at one moment (Linux)."""

    when: float
    memory_mb: float
    n_descriptors: int
    n_threads: int

    @classmethod
    def of(cls, pid: int) -> Usage:
        folder = Path(f"/proc/{pid}")
        pairs = (line.partition(":") for line in (folder / "status").read_text().splitlines())
        status = {name: value for name, _, value in pairs}
        memory_mb = int(status["VmRSS"].split()[0]) / 1024
        return cls(time.monotonic(), memory_mb, len(list((folder / "fd").iterdir())), int(status["Threads"]))


@contextmanager
def callers(url: str, do: dict[str, list[Do]], traffic: Traffic, *, pause_s: float) -> Iterator[None]:
    """Let callers ask again and again, each one its own connection, until the block ends."""
    is_over = threading.Event()

    def ask(kind: str, send: Do) -> None:
        try:
            with httpx.Client(base_url=url, timeout=60, verify=False, trust_env=False) as client:
                while not is_over.is_set():
                    begin = time.monotonic()
                    status = send(client)
                    traffic.note(kind, status, begin)
                    time.sleep(0.05 if status == 503 else pause_s)
        except Exception as error:  # a thread's own end is seen by nobody
            traffic.faults.append(f"{kind}: {error!r}")

    threads = [threading.Thread(target=ask, args=(kind, send)) for kind, sends in do.items() for send in sends]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        is_over.set()
        for thread in threads:
            thread.join()


@pytest.fixture
def traffic_of_all_kinds(bundle: ModelBundle, visit: Any, make_features: Any) -> dict[str, list[Do]]:
    """Return what callers of each kind do, each with a client of their own."""
    row = {"features": make_features(0.2), "covariates": {"caps5_total_baseline": 40}}
    rest = {name: visit[name] for name in visit if name.startswith("rest")}
    pages, bad = cycle(PAGES), cycle(bad_requests(bundle, rest))
    return {
        "features": [lambda client: client.post("/v1/predictions", json={"rows": [row]}).status_code] * 2,
        "rows": [lambda client: client.post("/v1/predictions", json={"rows": [row] * 40}).status_code],
        "scans": [lambda client: client.post("/v1/scans", files=rest).status_code],
        "pages": [lambda client: client.get(next(pages)).status_code],
        "bad": [lambda client: client.request(**next(bad)).status_code],
        "gone": [lambda client: leave_in_the_middle(client, rest)],
    }


def bad_requests(bundle: ModelBundle, rest: Any) -> list[dict[str, Any]]:
    name = bundle.feature_names[0]
    kinds = {"content-type": "application/json"}
    bodies = [b'{"rows": [{"features": {"%b": NaN}}]}' % name.encode(), b"{", b"[]", b"\xff" * 5_000]
    rows = [{"features": {"nonsense": 1.0}}, {"features": {name: 1e6}}, {"covariates": {"caps5_total_baseline": 400}}]
    bodies += [json.dumps({"rows": [row]}).encode() for row in rows]
    truncated = {**rest, "rest": (rest["rest"][0], rest["rest"][1][:5_000])}
    forms = [truncated, {**rest, "shoe": ("a", b"x")}, {"rest": ("a.nii.gz", b"\x1f\x8b" + b"\xff" * 4_000)}]
    return [
        *({"method": "POST", "url": "/v1/predictions", "content": body, "headers": kinds} for body in bodies),
        *({"method": "POST", "url": "/v1/scans", "files": form} for form in forms),
        {"method": "POST", "url": "/v1/predictions", "content": b"x"},
        {"method": "GET", "url": "/v1/explanations/" + "0" * 32},
    ]


def leave_in_the_middle(client: httpx.Client, rest: Any) -> int:
    """Send half of a visit and close; 499 is what the service writes down of it."""
    request = client.build_request("POST", "/v1/scans", files=rest)
    body = request.read()
    head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    url = client.base_url
    with socket.create_connection((url.host, url.port or 80), timeout=60) as connection:
        connection.sendall(f"POST /v1/scans HTTP/1.1\r\n{head}\r\n".encode() + body[: len(body) // 2])
        time.sleep(LEAVES_AFTER_S)
    return 499


def watch(pid: int, *, lasts_s: float) -> list[Usage]:
    ends, found = time.monotonic() + lasts_s, []
    while time.monotonic() < ends:
        found.append(Usage.of(pid))
        time.sleep(SAMPLE_S)
    return found


def slope_mb_per_minute(usages: list[Usage]) -> float:
    minutes = np.array([one.when for one in usages]) / 60
    return float(np.polyfit(minutes - minutes[0], [one.memory_mb for one in usages], 1)[0])


def test_nothing_piles_up_under_mixed_traffic(
    run_service: Any, bundle_dir: Path, traffic_of_all_kinds: dict[str, list[Do]], run_long: bool
) -> None:
    lasts_s = float(os.environ.get("KRP_SOAK_S", LONG_S if run_long else SHORT_S))
    traffic = Traffic()
    with run_service("--bundle", bundle_dir) as service:
        with callers(service.url, traffic_of_all_kinds, traffic, pause_s=0.005):
            warm_up = watch(service.process.pid, lasts_s=WARM_UP_SHARE * lasts_s)
            steady = watch(service.process.pid, lasts_s=(1 - WARM_UP_SHARE) * lasts_s)
        with service.client() as client:
            assert client.get("/health/ready").status_code == 200
    start, end = steady[0].when, steady[-1].when
    sixth = (end - start) / 6
    first, last = traffic.p99_ms(start, start + sixth), traffic.p99_ms(end - sixth, end)
    slope = slope_mb_per_minute(steady)
    emit(f"{len(steady)} looks in {end - start:.0f} s: {dict(sorted(traffic.statuses.items()))}")
    later = slope_mb_per_minute(steady[len(steady) // 2 :])
    emit(f"memory: {steady[0].memory_mb:.0f} to {steady[-1].memory_mb:.0f} MB, {slope:+.2f} MiB/min, asked below 1")
    emit(f"memory in the second half: {later:+.2f} MiB/min")
    emit(f"p99 of features: first sixth {first:.1f} ms, last {last:.1f} ms, {last / first:.2f}x, asked <= {LATE_ASKED}")
    for name, spare in (("n_descriptors", SPARE_DESCRIPTORS), ("n_threads", SPARE_THREADS)):
        before, after = (max(getattr(one, name) for one in part) for part in (warm_up, steady[len(steady) // 2 :]))
        emit(f"{name}: at most {before} at first, {after} at last")
        assert after <= before + spare
    assert not traffic.faults
    assert unexpected_statuses(traffic) == []
    if run_long:
        assert slope < SLOPE_ASKED_MB


def unexpected_statuses(traffic: Traffic) -> list[tuple[str, int]]:
    answered = {"features": (200,), "rows": (200,), "scans": (200, 503), "pages": (200,), "gone": (499,)}
    refused = (*range(400, 500), 503)
    return [(kind, status) for kind, status in traffic.statuses if status not in answered.get(kind, refused)]
