"""The history: what is one's own, for how long, and its end."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest

PAGE = {"Accept": "text/html,application/xhtml+xml"}


@pytest.fixture
def other_browser(service: Any) -> Any:
    """Return a client with cookies of its own."""
    with service.client() as found:
        yield found


def test_an_empty_history_says_so_and_leads_on(client: httpx.Client) -> None:
    page = client.get("/history", headers=PAGE).text
    assert "Nothing is kept at the moment." in page
    assert 'href="/visit"' in page
    assert "Delete everything" not in page


def test_a_scored_visit_stands_in_the_history_of_its_browser_only(
    client: httpx.Client, other_browser: httpx.Client
) -> None:
    address = client.post("/sample", headers=PAGE).headers["location"]
    mine = client.get("/history", headers=PAGE).text
    assert f'href="{address}"' in mine
    assert "Sample visit" in mine
    assert "23 hours" in mine or "24 hours" in mine
    other_browser.get("/history", headers=PAGE)
    assert address not in other_browser.get("/history", headers=PAGE).text
    for path in (address, f"{address}/answer.json", f"{address}/circuit.json", f"{address}/report.html"):
        assert other_browser.get(path, headers=PAGE).status_code == 404
    assert other_browser.post(f"{address}/delete", headers=PAGE).status_code == 404
    assert client.get(address, headers=PAGE).status_code == 200


def test_deleting_everything_empties_the_history(client: httpx.Client) -> None:
    addresses = [client.post("/sample", headers=PAGE).headers["location"] for _ in range(2)]
    assert "Delete all 2 results" in client.get("/history", headers=PAGE).text
    reply = client.post("/history/delete", headers=PAGE)
    assert (reply.status_code, reply.headers["location"]) == (303, "/history")
    assert "Nothing is kept" in client.get("/history", headers=PAGE).text
    assert [client.get(address, headers=PAGE).status_code for address in addresses] == [404, 404]


def test_the_history_calls_lines_of_a_table_by_their_number(client: httpx.Client) -> None:
    names = client.get("/table/template.tsv").text.rstrip("\n").split("\t")
    cells = {"participant_id": "Jane Doe", "rest_fisher_z__amygdala_L__vmPFC": "0.2"}
    table = "\n".join(["\t".join(names), "\t".join(cells.get(name, "n/a") for name in names)])
    scored = client.post("/table", files={"table": ("patients.tsv", table.encode())}, headers=PAGE).text
    assert "Jane Doe" in scored, "the table's own page shows the labels it came with"
    page = client.get("/history", headers=PAGE).text
    assert "Line 2" in page
    assert "Jane" not in page
    result = re.findall(r'href="(/results/\w+)"', page)[0]
    assert "Jane" not in client.get(result, headers=PAGE).text


def test_another_sites_page_cannot_delete_through_a_visitors_browser(client: httpx.Client) -> None:
    address = client.post("/sample", headers=PAGE).headers["location"]
    foreign = {**PAGE, "Sec-Fetch-Site": "cross-site"}
    assert client.post("/history/delete", headers=foreign).status_code == 403
    assert client.post(f"{address}/delete", headers=foreign).status_code == 403
    assert client.get(address, headers=PAGE).status_code == 200
