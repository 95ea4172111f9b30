"""Whether health is answered in time while the service has more to do than it takes on at once.

`python tests/benchmarks/bench_overload.py` starts a real `krp serve`, sends it twice as many visits at once as it
takes, and requests of many rows beside them, and asks /health/live from another process all the while. Asked: the 99th
percentile of health's answers is at most 100 ms.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from bench_scan_upload import form_of, send, write_run
from bench_service import request_to, rows_of
from made_up_bundle import save_made_up_bundle
from measurement import Measurement, conclude, parser_of
from service_process import serve

MAX_HEALTH_S = 0.1
GROUP = "The service under more load than it takes"
N_UPLOADS_TAKEN, N_UPLOADS_SENT, N_ROW_CLIENTS, N_ROWS = 4, 8, 4, 200
# Asks for a time, pausing in between, and prints the seconds of every answer.
WATCHER = """
import http.client, sys, time
port, lasts_s = int(sys.argv[1]), float(sys.argv[2])
ends, seconds = time.perf_counter() + lasts_s, []
while time.perf_counter() < ends:
    begin = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", "/health/live")
    assert connection.getresponse().status == 200
    connection.close()
    seconds.append(time.perf_counter() - begin)
    time.sleep(0.02)
print(seconds)
"""


def run(folder: Path, *, lasts_s: float, n_volumes: int) -> dict[str, Any]:
    """Load the service, watch it, and return seconds of health and statuses of everything else."""
    save_made_up_bundle(folder / "bundle", rest_only=True)
    visit = form_of(write_run(folder, n_volumes))
    rows = request_to("/v1/predictions", {"rows": [{"features": rows_of(folder / "bundle")[0]}] * N_ROWS})
    settings = {"max_uploads_at_once": str(N_UPLOADS_TAKEN)}
    with serve(folder / "bundle", folder, **settings) as service, ThreadPoolExecutor(32) as threads:
        idle = watch(service.port, lasts_s=2.0)
        ends = time.perf_counter() + lasts_s
        uploads = [threads.submit(_repeat, lambda: _upload(service.port, visit), ends) for _ in range(N_UPLOADS_SENT)]
        tables = [threads.submit(_repeat, lambda: _post(service.port, rows), ends) for _ in range(N_ROW_CLIENTS)]
        busy = watch(service.port, lasts_s=lasts_s)
        return {
            "idle_s": _spread(idle),
            "busy_s": _spread(busy),
            "uploads": dict(sum((one.result() for one in uploads), Counter())),
            "tables": dict(sum((one.result() for one in tables), Counter())),
        }


def watch(port: int, *, lasts_s: float) -> list[float]:
    """Return seconds of answers of /health/live, asked by a process of its own."""
    command = [sys.executable, "-c", WATCHER, str(port), str(lasts_s)]
    found: list[float] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return found


def _repeat(do: Any, ends: float) -> Counter[str]:
    counted: Counter[str] = Counter()
    while time.perf_counter() < ends:
        counted[do()] += 1
    return counted


def _upload(port: int, visit: bytes) -> str:
    try:
        status = send(port, visit).status
    except (OSError, SystemExit):  # before all was sent, or afterwards
        status = "turned away"
    time.sleep(0.2)  # less than Retry-After asks for
    return status


def _post(port: int, request: bytes) -> str:
    head, _, body = request.partition(b"\r\n\r\n")
    path = head.split(b" ")[1].decode()
    asked = urllib.request.Request(f"http://127.0.0.1:{port}{path}", body, {"Content-Type": "application/json"})
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(asked, timeout=120) as reply:
        reply.read()
        return str(reply.status)


def _spread(seconds: list[float]) -> dict[str, float]:
    return {
        "n": len(seconds),
        "median": float(np.median(seconds)),
        "p99": float(np.quantile(seconds, 0.99)),
        "largest": max(seconds),
    }


def main() -> int:
    """Run the benchmark."""
    parser = parser_of(__doc__)
    parser.add_argument("--seconds", type=float, help="how long the load lasts (20; quick 5)")
    parser.add_argument("--volumes", type=int, default=60, help="length of the runs that are sent (60)")
    arguments = parser.parse_args()
    lasts_s = arguments.seconds or (5.0 if arguments.quick else 20.0)
    with tempfile.TemporaryDirectory(prefix="krp-overload-") as folder:
        found = run(Path(folder), lasts_s=lasts_s, n_volumes=arguments.volumes)
    return conclude(measurements(found, lasts_s=lasts_s), as_json=arguments.json)


def measurements(found: dict[str, Any], *, lasts_s: float) -> list[Measurement]:
    """Return what was asked beside what was measured."""
    busy, idle = found["busy_s"], found["idle_s"]
    sent = f"{N_UPLOADS_SENT} visits at once where {N_UPLOADS_TAKEN} are taken, {N_ROW_CLIENTS} tables of {N_ROWS} rows"
    answers = f"visits {found['uploads']}, tables {found['tables']}"
    return [
        Measurement(
            GROUP, "99th percentile of /health/live", "ms", 1e3 * busy["p99"], at_most=1e3 * MAX_HEALTH_S,
            detail=f"{sent}, {lasts_s:.0f} s; {busy['n']} answers, longest {1e3 * busy['largest']:.0f} ms; {answers}",
        ),
        Measurement(
            GROUP, "99th percentile of /health/live without load", "ms", 1e3 * idle["p99"],
            detail=f"{idle['n']} answers",
        ),
    ]  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
