from __future__ import annotations

import httpx
import pytest


@pytest.mark.parametrize(
    "path",
    ["/", "/docs", "/health/live", "/health/ready", "/metrics", "/openapi.json", "/v1/models", "/v1/models/current",
     "/v1/results", "/v1/audit", "/v2", "/v2/models/ketamine-response", "/static/page.css", "/nothing"],
)  # fmt: skip
def test_head_answers_like_get_without_the_body(client: httpx.Client, path: str) -> None:
    head, get = client.head(path), client.get(path)
    assert head.status_code == get.status_code
    assert head.headers["content-type"] == get.headers["content-type"]
    assert head.content == b""
    assert "content-length" in head.headers


def test_head_is_no_way_around_a_method(client: httpx.Client) -> None:
    reply = client.head("/v1/predictions")
    assert (reply.status_code, reply.content) == (405, b"")


def test_the_connection_stays_usable_after_head(client: httpx.Client) -> None:
    for _ in range(3):
        assert client.head("/openapi.json").status_code == 200
        assert client.get("/health/live").json() == {"status": "live"}
