from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from predictor.errors import ServiceError, UsageError
from predictor.service_client import ServiceScorer

KEY = "krp_" + "0" * 12 + "_" + "A" * 43
MODEL = {"covariates": [], "limits": {"max_rows": 1, "max_json_bytes": 1000}}


@contextmanager
def listening(leads_to: str | None = None) -> Iterator[tuple[str, list[str | None]]]:
    """Return the address of a service that leads elsewhere or describes its model, and the keys it was shown."""
    shown: list[str | None] = []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            shown.append(self.headers["Authorization"])
            self.send_response(307 if leads_to else 200)
            if leads_to:
                self.send_header("Location", leads_to)
            self.end_headers()
            self.wfile.write(b"" if leads_to else json.dumps(MODEL).encode())

        def do_POST(self) -> None:
            shown.append(self.headers["Authorization"])
            self.send_response(403)
            self.end_headers()
            self.wfile.write(json.dumps({"code": "scope-missing", "detail": "expected another key."}).encode())
            self.wfile.flush()
            self.rfile.read(1)  # of millions: the rest is not taken

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        yield f"http://127.0.0.1:{server.server_port}", shown
        server.shutdown()


def test_a_key_is_handed_in_and_not_taken_along_to_where_a_redirection_leads() -> None:
    with listening() as (elsewhere, seen_elsewhere), listening(f"{elsewhere}/") as (address, seen):
        ServiceScorer(address, key=KEY)
    assert seen == [f"Bearer {KEY}"]
    assert seen_elsewhere == [None]


def test_without_a_key_none_is_sent() -> None:
    with listening() as (address, seen):
        ServiceScorer(address)
    assert seen == [None]


@pytest.mark.parametrize("key", ["two words", "line\nbreak", "k\u00e9y"])
def test_what_cannot_be_a_key_is_refused_without_showing_it(key: str) -> None:
    with pytest.raises(UsageError, match="expected an access key") as caught:
        ServiceScorer("http://127.0.0.1:1", key=key)
    assert key not in str(caught.value)


def test_why_an_upload_was_turned_away_is_heard_although_it_was_not_sent_whole() -> None:
    with listening() as (address, _):
        scorer = ServiceScorer(address)
        with pytest.raises(ServiceError, match="403 scope-missing: expected another key"):
            scorer._ask("/v1/scans", iter([b"x" * 1_000_000] * 20), {"Content-Length": str(20_000_000)})
