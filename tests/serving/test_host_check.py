from __future__ import annotations

from typing import Any

import httpx
import pytest

from serving.operation.host_check import HostCheck, host_of


@pytest.mark.parametrize(
    ("header", "host"),
    [
        (b"localhost", "localhost"),
        (b"LocalHost:8000", "localhost"),
        (b"127.0.0.1:80", "127.0.0.1"),
        (b"[::1]:8000", "::1"),
        (b"[::1]", "::1"),
        (b"", ""),
    ],
)
def test_the_port_is_no_part_of_the_host(header: bytes, host: str) -> None:
    assert host_of({"headers": [(b"host", header)]}) == host


def test_no_host_or_two_hosts_are_none() -> None:
    assert host_of({"headers": []}) == ""
    assert host_of({"headers": [(b"host", b"localhost"), (b"host", b"evil.example")]}) == ""


async def _nothing(*_: Any) -> None: ...


@pytest.mark.parametrize("host", ["scores.example.org", "a.clinic.example", "b.a.clinic.example", "::1"])
def test_named_hosts_and_those_below_a_name_are_known(host: str) -> None:
    check = HostCheck(_nothing, allowed=["Scores.example.org", "*.clinic.example", "::1"])
    assert check.knows(host)


@pytest.mark.parametrize(
    "host", ["evil.example", "example.org", "clinic.example", "xscores.example.org", "", "evilclinic.example"]
)
def test_other_hosts_are_not(host: str) -> None:
    check = HostCheck(_nothing, allowed=["scores.example.org", "*.clinic.example"])
    assert not check.knows(host)


def test_a_foreign_host_gets_a_problem_document(client: httpx.Client) -> None:
    reply = client.get("/v1/models/current", headers={"Host": "evil.example"})
    assert (reply.status_code, reply.json()["code"]) == (400, "host-unknown")
    assert reply.headers["content-type"] == "application/problem+json"
    assert "evil" not in reply.text
    assert "content-security-policy" in reply.headers
    assert client.get("/health/live", headers={"Host": "[::1]:8000"}).status_code == 200
