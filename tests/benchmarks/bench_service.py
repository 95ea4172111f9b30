"""How many feature rows a second the service answers, beside `mlflow models serve` of the same bundle.

`python tests/benchmarks/bench_service.py` starts a real `krp serve` (audit log on, SQLite on disk) with a linear model
of made-up people as large as the demo's, and then with a random forest (or `--bundle DIR` only), and sends one row per
request to `/v1/predictions` from a process of its own: raw sockets, 8 connections kept alive, requests built before.
Every answer holds both arms with intervals, SHAP contributions and reasons. Then the linear bundle is logged as an
MLflow model in a temporary folder and served by `mlflow models serve` (one worker, this environment), and asked in the
same way; its answers hold the number only.

Asked: 1,000 requests/s of a linear model with a 99th percentile of 25 ms, 500 of trees, and three times what
`mlflow models serve` answers.
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
from measurement import Measurement, conclude, parser_of
from service_process import serve, stop, wait_until_answered

N_CONNECTIONS = 8
N_DIFFERENT = 64  # rows, so that nothing could be remembered from one request to the next
MIN_PER_S = {"linear": 1_000.0, "trees": 500.0}
MAX_P99_S = 0.025
MIN_RATIO_TO_MLFLOW = 3.0
MAX_SECONDS = 120.0
GROUP = "The service: one row of features"


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
    return {
        **summary(loads),
        "cpu_ms_per_request": 1e3 * cpu_s / (n_requests * n_rounds),
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


def measurements_of(
    service: dict[str, Any], mlflow: dict[str, Any] | None, *, kind: str, n_rounds: int
) -> list[Measurement]:
    """Return what was asked beside what was measured, for one bundle."""
    if service["n_failed"]:
        raise SystemExit(f"{service['n_failed']} of {service['n_requests']} requests failed")
    rounds = f"median of {n_rounds} rounds, {service['n_requests']} requests in all, {N_CONNECTIONS} connections"
    found = [
        Measurement(
            GROUP, f"requests answered, {kind}", "per s", service["per_s"], larger_is_better=True,
            at_least=MIN_PER_S[service["kind"]],
            detail=f"{rounds}; load generator on the same cores; best round {service['best_per_s']:.0f} per s; "
            f"{service['cpu_ms_per_request']:.2f} ms of processor time each",
        ),
        Measurement(
            GROUP, f"99th percentile, {kind}", "ms", 1e3 * service["p99_s"], at_most=1e3 * MAX_P99_S,
            detail=f"median request {1e3 * service['p50_s']:.1f} ms",
        ),
    ]  # fmt: skip
    if mlflow is not None:
        found.append(
            Measurement(
                GROUP, f"requests answered, {kind}, beside MLflow's server", "per s", service["per_s"],
                mlflow["per_s"], "mlflow models serve", larger_is_better=True, ratio_at_least=MIN_RATIO_TO_MLFLOW,
                detail="one worker each; MLflow's answers hold the number only, ours arms, intervals, contributions, "
                "reasons and an audit entry",
            )
        )  # fmt: skip
    return found


def measurements(folder: Path, *, n_requests: int, n_rounds: int, bundle: Path | None) -> Iterator[Measurement]:
    """Measure the bundle given, or both kinds of made-up ones, the linear one beside MLflow's server."""
    if bundle is not None:
        service = measure_service(bundle.resolve(), folder, n_requests=n_requests, n_rounds=n_rounds)
        yield from measurements_of(service, None, kind=service["kind"], n_rounds=n_rounds)
        return
    linear, forest = folder / "linear", folder / "forest"
    save_made_up_bundle(linear)
    service = measure_service(linear, folder, n_requests=n_requests, n_rounds=n_rounds)
    mlflow = measure_mlflow(linear, folder, n_requests=min(500, n_requests))
    yield from measurements_of(service, mlflow, kind="linear model", n_rounds=n_rounds)
    save_made_up_bundle(forest, kind="random_forest")
    service = measure_service(forest, folder, n_requests=n_requests // 2, n_rounds=n_rounds)
    yield from measurements_of(service, None, kind="random forest", n_rounds=n_rounds)


def main() -> int:
    """Run the benchmark, or its load generator."""
    parser = parser_of(__doc__)
    parser.add_argument("--bundle", type=Path, help="measure this bundle instead of models of made-up people")
    parser.add_argument("--requests", type=int, help="requests per round (10000; quick 1000; of trees half)")
    parser.add_argument("--rounds", type=int, help="rounds against the service (3; quick 1)")
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
    n_requests = arguments.requests or (1_000 if arguments.quick else 10_000)
    n_rounds = arguments.rounds or (1 if arguments.quick else 3)
    with tempfile.TemporaryDirectory() as folder:
        found = measurements(Path(folder), n_requests=n_requests, n_rounds=n_rounds, bundle=arguments.bundle)
        return conclude(found, as_json=arguments.json)


def _is_whole(reply: bytes) -> bool:
    head, found, body = reply.partition(b"\r\n\r\n")
    if not found:
        return False
    _, _, length = head.lower().partition(b"content-length:")
    return len(body) >= int(length.split(b"\r\n", 1)[0])


if __name__ == "__main__":
    raise SystemExit(main())
