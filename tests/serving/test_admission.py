from __future__ import annotations

import asyncio
import re
import socket
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from serving.model_store import ModelStore
from serving.operation.admission import Admission
from serving.operation.load import Load
from serving.operation.metrics import ServiceMetrics
from serving.settings import Settings

HEAD = (
    b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\n"
    b"Content-Length: 2000000\r\n\r\n--b\r\n"
)


class Held:
    """An application that answers once it is let go."""

    def __init__(self) -> None:
        self.go = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.go.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"done"})


def scope_of(path: str, method: str = "POST") -> dict[str, Any]:
    return {"type": "http", "method": method, "path": path, "headers": [], "query_string": b"", "scheme": "http"}


async def ask(layer: Admission, path: str, method: str = "POST") -> dict[str, Any]:
    """Return the start of the answer, with its headers as a dictionary."""
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    await layer(scope_of(path, method), receive, send)
    assert sent[-1].get("more_body", False) is False
    return {"status": sent[0]["status"], **{k.decode(): v.decode() for k, v in sent[0]["headers"]}}


def make_layer(app: Any, load: Load, *, max_requests: int = 2, max_uploads: int = 1) -> Admission:
    return Admission(app, load=load, metrics=ServiceMetrics(), max_requests=max_requests, max_uploads=max_uploads)


@asynccontextmanager
async def under_way(layer: Admission, held: Held, *paths: str) -> AsyncIterator[list[asyncio.Task[Any]]]:
    tasks = [asyncio.ensure_future(ask(layer, path)) for path in paths]
    await asyncio.sleep(0)
    yield tasks
    held.go.set()
    await asyncio.gather(*tasks)


def test_what_is_too_much_is_turned_away_and_the_rest_is_answered() -> None:
    async def run() -> None:
        held, load = Held(), Load()
        layer = make_layer(held, load)
        async with under_way(layer, held, "/v1/predictions", "/v1/predictions") as tasks:
            assert (load.n_requests, load.is_idle) == (2, False)
            refused = await ask(layer, "/v1/predictions")
        assert refused["status"] == 503
        assert int(refused["retry-after"]) > 0
        assert refused["connection"] == "close"
        assert [(await task)["status"] for task in tasks] == [200, 200]
        assert load.is_idle
        assert (await ask(layer, "/v1/predictions"))["status"] == 200

    asyncio.run(run())


def test_visits_have_a_limit_of_their_own() -> None:
    async def run() -> None:
        held, load = Held(), Load()
        layer = make_layer(held, load, max_requests=10)
        async with under_way(layer, held, "/v1/scans", "/v1/predictions"):
            assert (await ask(layer, "/visit"))["status"] == 503
            assert load.n_uploads == 1
        assert (await ask(layer, "/visit"))["status"] == 200
        assert load.n_uploads == 0

    asyncio.run(run())


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/v2/health/ready", "/metrics"])
def test_who_watches_is_always_let_in(path: str) -> None:
    async def run() -> None:
        held = Held()
        held.go.set()
        layer = make_layer(held, Load(n_requests=2))
        assert (await ask(layer, path, "GET"))["status"] == 200

    asyncio.run(run())


def test_a_stopping_service_is_alive_but_not_ready_and_takes_nothing_new() -> None:
    async def run() -> None:
        held = Held()
        held.go.set()
        layer = make_layer(held, Load(is_stopping=True))
        assert (await ask(layer, "/health/live", "GET"))["status"] == 200
        assert (await ask(layer, "/health/ready", "GET"))["status"] == 503
        assert (await ask(layer, "/v1/predictions"))["status"] == 503

    asyncio.run(run())


def test_a_request_that_fails_is_no_longer_counted() -> None:
    async def fail(scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError

    load = Load()
    with pytest.raises(RuntimeError):
        asyncio.run(ask(make_layer(fail, load), "/v1/scans"))
    assert load == Load()


def begin_upload(url: str, path: bytes = b"/v1/scans") -> socket.socket:
    connection = socket.create_connection((urlsplit(url).hostname, urlsplit(url).port), timeout=30)
    connection.sendall(HEAD % path)
    return connection


def test_a_full_service_answers_health_and_tells_a_further_upload_to_come_again(
    serve: Any, store: ModelStore, tmp_path: Path
) -> None:
    settings = Settings(refresh_s=0, database_url=f"sqlite:///{tmp_path}/service.db", max_uploads_at_once=2)
    with serve(settings, store) as service, service.client() as client:
        held = [begin_upload(service.url) for _ in range(2)]
        wait_until(lambda: 'kind="upload"} 2' in client.get("/metrics").text.replace("2.0", "2"))
        with begin_upload(service.url) as further:
            stop = threading.Event()
            sender = threading.Thread(target=keep_sending, args=(further, stop))
            sender.start()
            answer = further.recv(65536)
            stop.set()
            sender.join()
        assert answer.startswith(b"HTTP/1.1 503")
        assert b"service-overloaded" in answer
        assert re.search(rb"retry-after: [1-9]", answer, re.IGNORECASE)
        assert client.get("/health/ready").status_code == 200
        assert re.search(r"krp_upload_bytes_total [1-9]", client.get("/metrics").text)
        for connection in held:
            connection.close()
        wait_until(lambda: 'kind="upload"} 0' in client.get("/metrics").text.replace("0.0", "0"))


def keep_sending(connection: socket.socket, stop: threading.Event) -> None:
    """Send on as a client that does not look at the answer before its body is sent."""
    while not stop.is_set():
        try:
            connection.sendall(b"x" * 10_000)
        except OSError:
            return
        time.sleep(0.001)


def wait_until(is_so: Any, *, at_most_s: float = 20) -> None:
    ends = time.monotonic() + at_most_s
    while not is_so():
        assert time.monotonic() < ends, "it did not come about"
        time.sleep(0.02)
