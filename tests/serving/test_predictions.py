from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from predictor.model.answer import answer_bytes
from predictor.model.bundle import ModelBundle
from predictor.pipeline import score_features

Features = dict[str, float | None]
Post = Callable[..., httpx.Response]
COVARIATES = {"caps5_total_baseline": 44.0, "site": "A", "sex": "female"}


@pytest.fixture
def row(make_features: Callable[[float], Features], bundle: ModelBundle) -> dict[str, Any]:
    features = make_features(0.25)
    return {
        "participant": "mine-01",
        "features": features,
        "covariates": COVARIATES,
        "recipe_hash": bundle.recipe_hashes[0],
    }


@pytest.fixture
def post(client: httpx.Client) -> Post:
    def send(*rows: dict[str, Any]) -> httpx.Response:
        # Python's own json writes NaN and Infinity, as some clients do; httpx would refuse to.
        body = json.dumps({"rows": list(rows)})
        return client.post("/v1/predictions", content=body, headers={"Content-Type": "application/json"})

    return send


def expected_bytes(row: dict[str, Any], bundle: ModelBundle) -> bytes:
    answer = score_features(
        row["features"], row["covariates"], bundle, recipe_hash=row["recipe_hash"], input_digest=None
    )
    return answer_bytes(answer)


def test_answers_are_the_bytes_of_score_features_in_the_order_of_the_rows(
    post: Post, row: dict[str, Any], bundle: ModelBundle
) -> None:
    others = [{**row, "participant": str(number), "features": {**row["features"]}} for number in range(3)]
    for number, other in enumerate(others):
        other["features"][bundle.feature_names[0]] = float(number)
    reply = post(*others)
    assert reply.status_code == 200
    position = 0
    for other in others:
        position = reply.content.index(b'"answer": ' + expected_bytes(other, bundle), position) + 1
    envelopes = reply.json()["predictions"]
    assert [envelope["participant"] for envelope in envelopes] == ["0", "1", "2"]
    assert len({envelope["id"] for envelope in envelopes}) == 3


def test_the_answer_has_what_the_openapi_document_promises(post: Post, row: dict[str, Any]) -> None:
    from serving.schemas import PredictionsReply

    envelope = PredictionsReply.model_validate_json(post(row).content).predictions[0]
    assert envelope.answer.status == "ok"
    explanation = envelope.answer.explanation
    assert explanation is not None
    total = explanation.base_value + sum(item.contribution for item in explanation.contributions)
    assert total == pytest.approx(explanation.output, abs=1e-6)


@pytest.mark.parametrize(
    "body", [b'{"rows": \xff}', b"[" * 100_000, b'{"rows": [{"features": {"x": ' + b"9" * 5_000 + b"}}]}"]
)
def test_a_body_that_no_parser_takes_is_no_json(client: httpx.Client, body: bytes) -> None:
    reply = client.post("/v1/predictions", content=body, headers={"Content-Type": "application/json"})
    assert (reply.status_code, reply.json()["code"]) == (400, "json-invalid")


def test_a_row_without_label_or_covariates_is_answered(post: Post, row: dict[str, Any]) -> None:
    reply = post({"features": row["features"]})
    assert reply.status_code == 200
    assert reply.json()["predictions"][0]["participant"] is None


def test_another_recipe_is_refused_in_an_answer_without_numbers(post: Post, row: dict[str, Any]) -> None:
    reply = post({**row, "recipe_hash": "sha256:" + "0" * 64})
    answer = reply.json()["predictions"][0]["answer"]
    assert (reply.status_code, answer["status"]) == (200, "refused")
    assert "recipe-mismatch" in [reason["code"] for reason in answer["reasons"]]
    assert "arms" not in answer


def test_an_unseen_site_is_flagged(post: Post, row: dict[str, Any]) -> None:
    reply = post({**row, "covariates": {**COVARIATES, "site": "Essen"}})
    answer = reply.json()["predictions"][0]["answer"]
    assert answer["status"] == "flagged"
    assert "unseen-site" in [reason["code"] for reason in answer["reasons"]]


FIRST = "rest_fisher_z__amygdala_L__vmPFC"
WRONG: dict[str, tuple[dict[str, Any], str, str]] = {
    "NaN": ({"features": {FIRST: float("nan")}}, "value-out-of-range", f"row 1, column {FIRST}"),
    "infinity": ({"features": {FIRST: float("inf")}}, "value-out-of-range", f"row 1, column {FIRST}"),
    "text": ({"features": {FIRST: "0.3"}}, "request-invalid", f"row 1, column {FIRST}"),
    "boolean": ({"features": {FIRST: True}}, "request-invalid", f"row 1, column {FIRST}"),
    "unknown feature": ({"features": {"rest__a__b": 0.3}}, "feature-unknown", "row 1, column rest__a__b"),
    "features a list": ({"features": [1, 2]}, "request-invalid", "row 1, features"),
    "no features": ({}, "request-invalid", "row 1, features"),
    "unknown member": ({"features": {}, "name": "Ms X"}, "request-invalid", "row 1, name"),
    "covariate NaN": (
        {"features": {}, "covariates": {"caps5_total_baseline": float("nan")}},
        "value-out-of-range",
        "row 1, column caps5_total_baseline",
    ),
    "covariate a list": (
        {"features": {}, "covariates": {"site": ["A"]}},
        "request-invalid",
        "row 1, column site",
    ),
    "unknown level": ({"features": {}, "covariates": {"sex": "x"}}, "table-invalid", "row 1, column sex"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_row_is_a_problem_that_names_row_and_column(post: Post, name: str) -> None:
    wrong, code, where = WRONG[name]
    reply = post(wrong)
    problem = reply.json()
    assert (reply.status_code, reply.headers["content-type"]) in [
        (422, "application/problem+json"),
        (400, "application/problem+json"),
    ]
    assert (problem["code"], problem["where"]) == (code, where)
    assert "Ms X" not in reply.text


def test_every_wrong_row_is_listed_and_nothing_is_scored(post: Post, row: dict[str, Any]) -> None:
    bad = {**row, "features": {"rest__a__b": 0.3}}
    problem = post(row, bad, row, bad).json()
    assert [place["where"] for place in problem["errors"]] == ["row 2, column rest__a__b", "row 4, column rest__a__b"]
    assert problem["code"] == "feature-unknown"


@pytest.mark.parametrize(
    ("content", "content_type", "status", "code"),
    [
        (b'{"rows": [', "application/json", 400, "json-invalid"),
        (b"\xff\xfe", "application/json", 400, "json-invalid"),
        (b'{"rows": []}', "application/json", 400, "request-invalid"),
        (b"[]", "application/json", 400, "request-invalid"),
        (b"", "application/json", 400, "json-invalid"),
        (b"a,b\n1,2\n", "text/csv", 415, "content-type-unsupported"),
        (b'{"rows": [' + b'{"features": {}},' * 50 + b'{"features": {}}]}', "application/json", 422, "table-invalid"),
    ],
    ids=["cut", "not-utf8", "no-rows", "a-list", "empty", "csv", "too-many-rows"],
)
def test_a_wrong_body_is_a_named_problem(
    client: httpx.Client, content: bytes, content_type: str, status: int, code: str
) -> None:
    reply = client.post("/v1/predictions", content=content, headers={"Content-Type": content_type})
    assert reply.headers["content-type"] == "application/problem+json"
    assert (reply.status_code, reply.json()["code"]) == (status, code)


def test_a_body_over_the_limit_is_refused_as_a_problem(limited_url: str) -> None:
    with httpx.Client(base_url=limited_url, verify=False, trust_env=False) as client:
        reply = client.post("/v1/predictions", json={"rows": [{"features": {"x" * 20_000: 1}}]})
    assert (reply.status_code, reply.json()["code"]) == (413, "body-too-large")
    assert reply.headers["content-type"] == "application/problem+json"
