from __future__ import annotations

import logging
import time
from typing import Any

import httpx
import pytest

from serving.operation.json_logs import FIELDS
from serving.operation.request_log import id_of

LOGGER = "serving.operation.request_log"


@pytest.mark.parametrize("sane", [b"0123456789abcdef", b"6F9619FF-8B86-D011-B42D-00C04FC964FF"])
def test_an_id_that_can_spell_nothing_is_kept(sane: bytes) -> None:
    assert id_of({"headers": [(b"x-request-id", sane)]}) == sane


@pytest.mark.parametrize(
    "other", [b"", b"sub-07-jane-doe-visit-1", b"abc", b"a" * 65, b"0123456789abcdef\n", b"\xff" * 16]
)
def test_another_id_is_replaced(other: bytes) -> None:
    made = id_of({"headers": [(b"x-request-id", other)]})
    assert made != other
    assert len(made) == 32


def test_every_answer_has_an_id_errors_and_static_files_too(client: httpx.Client) -> None:
    for path in ("/health/live", "/v1/nothing", "/static/page.css", "/"):
        assert len(client.get(path).headers["x-request-id"]) == 32
    mine = "0123456789abcdef0123"
    assert client.get("/health/live", headers={"X-Request-Id": mine}).headers["x-request-id"] == mine


def entries(caplog: pytest.LogCaptureFixture, n: int) -> list[dict[str, Any]]:
    """Return the lines; the last one is written when its answer has left, so a moment after it arrived."""
    ends = time.monotonic() + 10
    while len(found := _entries(caplog)) < n and time.monotonic() < ends:
        time.sleep(0.01)
    return found


def _entries(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [getattr(record, FIELDS) for record in caplog.records if record.name == LOGGER]


def test_a_line_tells_route_status_and_owner_and_nothing_of_the_person(
    client: httpx.Client, make_features: Any, caplog: pytest.LogCaptureFixture
) -> None:
    body = {"rows": [{"participant": "Jane Doe", "features": make_features(0.123)}]}
    with caplog.at_level(logging.INFO, logger=LOGGER):
        reply = client.post("/v1/predictions?keep=false", json=body, headers={"User-Agent": "Jane"})
        client.get("/v1/results/Jane-Doe")
        scored, unknown = entries(caplog, 2)
    assert scored["request_id"] == reply.headers["x-request-id"]
    assert (scored["method"], scored["route"], scored["status"]) == ("POST", "/v1/predictions", 200)
    assert scored["owner"] == "local"
    assert scored["ms"] > 0
    assert (unknown["route"], unknown["status"]) == ("/v1/results/{result_id}", 404)
    assert "Jane" not in caplog.text + str(_entries(caplog))
    assert "0.123" not in str(_entries(caplog))


def test_what_is_asked_all_the_time_is_logged_only_when_it_fails(
    client: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger=LOGGER):
        client.get("/health/live")
        client.get("/static/page.css")
        client.get("/static/nothing.css")
        assert [entry["status"] for entry in entries(caplog, 1)] == [404]
