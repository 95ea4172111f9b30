"""How many feature rows a second the service answers, beside `mlflow models serve` of the same bundle.

`python tests/benchmarks/bench_service.py` starts a real `krp serve` (audit log on, SQLite on disk) with a linear model
of made-up people as large as the demo's (or `--bundle DIR`), and sends one row per request to `/v1/predictions` from a
process of its own: raw sockets, kept alive, requests built before. Every answer holds both arms with intervals, SHAP
contributions and reasons. Then the same bundle is logged as an MLflow model in a temporary store and served by
`mlflow models serve` (one worker, this environment), and asked in the same way; its answers hold the number only.
It prints what was asked beside what was measured, or with --json a document. The exit code is 1 when a target is
missed.
"""

from __future__ import annotations

import argparse
import json
import os
import selectors
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import pandas as pd
from fresh_process import say
from made_up_bundle import COVARIATE_VALUES, save_made_up_bundle
from service_process import serve, stop, wait_until_answered

N_CONNECTIONS = 8
N_DIFFERENT = 64  # rows, so that nothing could be remembered from one request to the next
MIN_PER_S = {"linear": 1_000.0, "trees": 500.0}
MAX_P99_S = 0.025
MIN_RATIO_TO_MLFLOW = 3.0
MAX_START_S = 3.0
MAX_SECONDS = 120.0


@dataclass(frozen=True)
class Load:
    """What one run of requests met."""

    n_requests: int
    n_failed: int
    seconds: float
    p50_s: float
    p99_s: float

    @property
    def per_s(self) -> float:
        """Requests answered per second."""
        return (self.n_requests - self.n_failed) / self.seconds


def rows_of(bundle: Path) -> list[dict[str, float]]:
    """Return feature rows within the model's training range."""
    from predictor.model.bundle import load_bundle

    model = load_bundle(bundle)
    rng = np.random.default_rng(0)
    n_features = len(model.definitions)
    mean, sd = model.training_range.mean[:n_features], model.training_range.sd[:n_features]
    rows = mean + 0.7 * sd * rng.standard_normal((N_DIFFERENT, n_features))
    return [dict(zip(model.feature_names, row.tolist(), strict=True)) for row in rows]


def covariates_of(bundle: Path) -> dict[str, str | float]:
    """Return a value for every covariate but the arm."""
    from predictor.model.bundle import load_bundle

    covariates = [item for item in load_bundle(bundle).covariates if item.role != "arm"]
    return {
        item.name: item.levels[0] if item.kind == "category" else COVARIATE_VALUES.get(item.name, 40.0)
        for item in covariates
    }


def request_to(path: str, document: Mapping[str, Any]) -> bytes:
    """Return a whole request."""
    body = json.dumps(document).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def ask(port: int, requests: list[bytes], *, n_requests: int) -> Load:
    """Keep every connection busy with one request at a time until all are answered."""
    selector = selectors.DefaultSelector()
    begun: dict[socket.socket, float] = {}
    buffers: dict[socket.socket, bytes] = {}
    n_sent = n_failed = 0
    waits: list[float] = []

    def send_next(connection: socket.socket) -> None:
        nonlocal n_sent
        if n_sent == n_requests:
            selector.unregister(connection)
            connection.close()
            return
        buffers[connection], begun[connection] = b"", time.perf_counter()
        connection.sendall(requests[n_sent % len(requests)])
        n_sent += 1

    begin = time.perf_counter()
    for _ in range(N_CONNECTIONS):
        connection = socket.create_connection(("127.0.0.1", port), timeout=60)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        selector.register(connection, selectors.EVENT_READ)
        send_next(connection)
    while selector.get_map() and time.perf_counter() - begin < MAX_SECONDS:
        for key, _ in selector.select(timeout=60):
            connection = key.fileobj
            assert isinstance(connection, socket.socket)
            received = connection.recv(1 << 18)
            if not received:
                raise SystemExit("the service closed a connection under load")
            buffers[connection] += received
            if _is_whole(buffers[connection]):
                waits.append(time.perf_counter() - begun[connection])
                n_failed += b" 200 " not in buffers[connection][:20]
                send_next(connection)
    seconds = time.perf_counter() - begin
    p50, p99 = np.quantile(waits, [0.5, 0.99])
    return Load(len(waits), n_failed, seconds, float(p50), float(p99))


def ask_in_process(port: int, requests: list[bytes], *, n_requests: int, folder: Path) -> Load:
    """Ask from a process of its own, as a client would."""
    source = folder / "requests.json"
    source.write_text(json.dumps([request.decode() for request in requests]))
    command = [sys.executable, __file__, "--ask", str(port), "--source", str(source), "--requests", str(n_requests)]
    return Load(**json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout))


def measure_service(bundle: Path, folder: Path, *, n_requests: int, n_rounds: int) -> dict[str, Any]:
    """Start the service and ask it."""
    covariates = covariates_of(bundle)
    requests = [
        request_to("/v1/predictions", {"rows": [{"features": row, "covariates": covariates}]})
        for row in rows_of(bundle)
    ]
    with serve(bundle, folder) as service:
        ask_in_process(service.port, requests, n_requests=500, folder=folder)
        cpu_s = service.cpu_s()
        loads = [ask_in_process(service.port, requests, n_requests=n_requests, folder=folder) for _ in range(n_rounds)]
        cpu_s = service.cpu_s() - cpu_s
        starts = [service.seconds_to_ready]
    for _ in range(2):
        with serve(bundle, folder) as service:
            starts.append(service.seconds_to_ready)
    return {
        **summary(loads),
        "cpu_ms_per_request": 1e3 * cpu_s / (n_requests * n_rounds),
        "start_to_ready_s": statistics.median(starts),
        "kind": kind_of(bundle),
    }


def measure_mlflow(bundle: Path, folder: Path, *, n_requests: int) -> dict[str, Any]:
    """Log the bundle as a model, serve it by MLflow's own server, and ask it."""
    covariates = covariates_of(bundle)
    tables = [pd.DataFrame([{**row, **covariates}]) for row in rows_of(bundle)]
    documents = [{"dataframe_split": table.to_dict(orient="split", index=False)} for table in tables]
    with serve_with_mlflow(bundle, folder) as port:
        requests = [request_to("/invocations", document) for document in documents]
        ask_in_process(port, requests, n_requests=50, folder=folder)
        return summary([ask_in_process(port, requests, n_requests=n_requests, folder=folder)])


def save_for_mlflow(bundle: Path, folder: Path) -> None:
    """Save the bundle as an MLflow model; without a signature, whose checks would cost MLflow's server time."""
    import mlflow.pyfunc

    mlflow.pyfunc.save_model(
        folder, loader_module="predictor.model.mlflow_loader", data_path=str(bundle), pip_requirements=[]
    )


@contextmanager
def serve_with_mlflow(bundle: Path, folder: Path) -> Iterator[int]:
    """Run `mlflow models serve` with one worker until the block ends."""
    model = folder / "mlflow_model"
    command = [sys.executable, "-W", "ignore", __file__, "--save-for-mlflow", str(model), "--source", str(bundle)]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    command = [str(Path(sys.executable).with_name("mlflow")), "models", "serve", "-m", str(model), "--env-manager"]
    command += ["local", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    with (folder / "mlflow.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, env=environment, start_new_session=True)
    try:
        wait_until_answered(f"http://127.0.0.1:{port}/ping")
        yield port
    finally:
        stop(process, whole_session=True)


def summary(loads: list[Load]) -> dict[str, Any]:
    """Return medians over rounds, and the best of them: what the machine can do when nothing else runs on it."""
    return {
        "n_requests": sum(load.n_requests for load in loads),
        "n_failed": sum(load.n_failed for load in loads),
        "per_s": statistics.median(load.per_s for load in loads),
        "best_per_s": max(load.per_s for load in loads),
        "best_p99_s": min(load.p99_s for load in loads),
        "p50_s": statistics.median(load.p50_s for load in loads),
        "p99_s": statistics.median(load.p99_s for load in loads),
    }


def kind_of(bundle: Path) -> str:
    """Return "linear" or "trees"."""
    from predictor.model.bundle import load_bundle
    from predictor.model.tree_model import TreeResponseModel

    return "trees" if isinstance(load_bundle(bundle).model, TreeResponseModel) else "linear"


def targets(found: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what was asked beside what was measured; a ratio of at least 1 is met."""
    service, mlflow = found["service"], found.get("mlflow")
    wanted = MIN_PER_S[service["kind"]]
    rows = [
        ("requests per s", wanted, service["per_s"], service["per_s"] / wanted),
        ("p99 in ms", 1e3 * MAX_P99_S, 1e3 * service["p99_s"], MAX_P99_S / service["p99_s"]),
        ("s from start to ready", MAX_START_S, service["start_to_ready_s"], MAX_START_S / service["start_to_ready_s"]),
    ]
    if mlflow is not None:
        ratio = service["per_s"] / mlflow["per_s"]
        rows.append(("times mlflow models serve", MIN_RATIO_TO_MLFLOW, ratio, ratio / MIN_RATIO_TO_MLFLOW))
    return [
        {"what": what, "asked": asked, "found": value, "ratio": ratio, "met": ratio >= 1}
        for what, asked, value, ratio in rows
    ]


def main() -> int:
    """Run the benchmark, or its load generator."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, help="measure this bundle instead of a model of made-up people")
    parser.add_argument("--requests", type=int, default=10_000, help="requests per round (default 10000)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds against the service (default 3)")
    parser.add_argument("--without-mlflow", action="store_true", help="leave `mlflow models serve` out")
    parser.add_argument("--json", action="store_true", help="print a JSON document")
    parser.add_argument("--ask", type=int, metavar="PORT", help=argparse.SUPPRESS)
    parser.add_argument("--save-for-mlflow", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--source", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.ask:
        requests = [request.encode() for request in json.loads(arguments.source.read_text())]
        say(json.dumps(asdict(ask(arguments.ask, requests, n_requests=arguments.requests))))
        return 0
    if arguments.save_for_mlflow:
        save_for_mlflow(arguments.source, arguments.save_for_mlflow)
        return 0
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        bundle = arguments.bundle.resolve() if arguments.bundle else folder / "bundle"
        if arguments.bundle is None:
            save_made_up_bundle(bundle)
        found: dict[str, Any] = {
            "service": measure_service(bundle, folder, n_requests=arguments.requests, n_rounds=arguments.rounds)
        }
        if not arguments.without_mlflow:
            found["mlflow"] = measure_mlflow(bundle, folder, n_requests=min(500, arguments.requests))
    found["targets"] = targets(found)
    say(json.dumps(found, indent=2) if arguments.json else _table(found))
    return 0 if all(target["met"] for target in found["targets"]) and not found["service"]["n_failed"] else 1


def _is_whole(reply: bytes) -> bool:
    head, found, body = reply.partition(b"\r\n\r\n")
    if not found:
        return False
    _, _, length = head.lower().partition(b"content-length:")
    return len(body) >= int(length.split(b"\r\n", 1)[0])


def _table(found: dict[str, Any]) -> str:
    service = found["service"]
    lines = [f"{'':28}{'asked':>10}{'measured':>10}{'ratio':>8}"]
    for target in found["targets"]:
        verdict = "met" if target["met"] else "MISSED"
        lines.append(
            f"{target['what']:28}{target['asked']:>10.1f}{target['found']:>10.1f}{target['ratio']:>8.2f}  {verdict}"
        )
    lines.append(
        f"{service['kind']} model, {service['n_requests']} requests, {service['n_failed']} failed, "
        f"p50 {1e3 * service['p50_s']:.1f} ms, {service['cpu_ms_per_request']:.2f} ms of processor time each; "
        f"best round {service['best_per_s']:.0f} per s, p99 {1e3 * service['best_p99_s']:.1f} ms"
    )
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
