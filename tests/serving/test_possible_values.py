"""Numbers that nobody can have are refused by name, whichever way they come."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from predictor.model.bundle import ModelBundle

IMPOSSIBLE = "-4321.5"  # of a Fisher z
PAGE = {"Accept": "text/html", "Sec-Fetch-Site": "same-origin"}


@pytest.fixture
def replies(client: httpx.Client, bundle: ModelBundle) -> Any:
    """Return what sends a feature and a CAPS-5 total in every way there is."""

    def send(fisher_z: float, caps5_total: float) -> dict[str, httpx.Response]:
        name = bundle.feature_names[0]
        tensors = [
            {"name": one, "shape": [1], "datatype": "FP64", "data": [value]}
            for one, value in ((name, fisher_z), ("caps5_total_baseline", caps5_total))
        ]
        row = {"features": {name: fisher_z}, "covariates": {"caps5_total_baseline": caps5_total}}
        table = f"participant_id\tcaps5_total_baseline\t{name}\nsub-01\t{caps5_total}\t{fisher_z}\n"
        return {
            "api": client.post("/v1/predictions", json={"rows": [row]}),
            "tensors": client.post("/v2/models/ketamine-response/infer", json={"inputs": tensors}),
            "table": client.post("/table", files={"table": ("a.tsv", table.encode())}, headers=PAGE),
        }

    return send


def test_a_feature_and_a_total_beyond_what_is_possible_are_named(replies: Any, bundle: ModelBundle) -> None:
    for numbers, name, words in (
        ((float(IMPOSSIBLE), 40.0), bundle.feature_names[0], "between -5 and 5"),
        ((0.2, float(IMPOSSIBLE)), "caps5_total_baseline", "between 0 and 80"),
    ):
        for way, reply in replies(*numbers).items():
            assert reply.status_code == 422, way
            assert name in reply.text, way
            assert words in reply.text, way
            assert IMPOSSIBLE not in reply.text, way
            assert way != "api" or reply.json()["code"] == "value-out-of-range"


def test_the_ends_of_the_ranges_are_answered(replies: Any) -> None:
    for fisher_z, caps5_total in ((-5.0, 0.0), (5.0, 80.0)):
        assert {reply.status_code for reply in replies(fisher_z, caps5_total).values()} == {200}


def test_a_visit_with_an_impossible_total_is_refused(client: httpx.Client, visit: Any) -> None:
    rest = {name: visit[name] for name in visit if name.startswith("rest")}
    reply = client.post("/v1/scans", files={**rest, "covariates": (None, b'{"caps5_total_baseline": 440}')})
    assert reply.status_code == 422
    assert (reply.json()["code"], reply.json()["where"]) == ("value-out-of-range", "covariate caps5_total_baseline")
