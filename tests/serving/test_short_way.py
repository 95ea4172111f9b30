from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import httpx
import pytest

URL = "/v1/predictions"
HEADERS = {"Content-Type": "application/json"}
# Differ from one request to the next.
CHANGING = ("x-request-id", "date")


def usual_way(client: httpx.Client, content: bytes) -> httpx.Response:
    """Send a body that does not say how long it is."""

    def pieces() -> Iterator[bytes]:
        yield content[:100]
        yield content[100:]

    return client.post(URL, content=pieces(), headers=HEADERS)


def said(reply: httpx.Response) -> tuple[int, dict[str, str], object]:
    headers = {name: value for name, value in reply.headers.items() if name not in CHANGING}
    document = reply.json()
    for one in document.get("predictions", ()):
        del one["id"], one["created"]
    return reply.status_code, headers, document


@pytest.mark.parametrize("fault", ["none", "no json", "unknown feature", "no rows"])
def test_both_ways_give_the_same_answer(
    client: httpx.Client, make_features: Callable[[float], dict[str, float | None]], fault: str
) -> None:
    rows = [{"features": make_features(0.2)}]
    if fault == "unknown feature":
        rows[0]["features"]["nonsense"] = 1.0
    content = b"{" if fault == "no json" else json.dumps({"rows": [] if fault == "no rows" else rows}).encode()
    short, usual = client.post(URL, content=content, headers=HEADERS), usual_way(client, content)
    assert said(short) == said(usual)
    assert (short.status_code == 200) == (fault == "none")


def n_counted(client: httpx.Client) -> float:
    """Return how many requests the metrics show under the route."""
    lines = client.get("/metrics").text.splitlines()
    own = [line for line in lines if line.startswith("krp_requests_total") and f'route="{URL}"' in line]
    return sum(float(line.rpartition(" ")[2]) for line in own)


def test_a_request_is_counted_under_its_route_on_either_way(client: httpx.Client) -> None:
    before = n_counted(client)
    client.post(URL, content=b"{}", headers=HEADERS)
    usual_way(client, b"{}")
    assert n_counted(client) == before + 2


def test_other_methods_are_refused_as_ever(client: httpx.Client) -> None:
    assert client.get(URL).status_code == 405
