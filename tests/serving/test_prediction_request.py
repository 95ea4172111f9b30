from __future__ import annotations

import json
from typing import Any

import pytest

from predictor.errors import JsonInvalidError, ManyFaultsError, PredictorError, RequestError, TableError
from serving.prediction_request import parse_prediction_request

ROW: dict[str, Any] = {"participant": "a", "features": {"x": 1, "y": None}, "covariates": {"site": "A", "age": 4}}


def body_of(*rows: dict[str, Any]) -> bytes:
    return json.dumps({"rows": list(rows)}).encode()


def test_rows_are_read_in_their_order() -> None:
    request = parse_prediction_request(body_of(ROW, {"features": {"x": 2.5}}), max_rows=2)
    assert [row.features for row in request.rows] == [{"x": 1.0, "y": None}, {"x": 2.5}]
    assert [row.participant for row in request.rows] == ["a", None]
    assert request.rows[0].covariates == {"site": "A", "age": 4.0}


@pytest.mark.parametrize("text", ['say "x"', "back\\slash", "grün", "\u2603", 'a\\"b'])
def test_any_text_may_stand_in_a_label(text: str) -> None:
    for body in (body_of({**ROW, "participant": text}), json.dumps({"rows": [{**ROW, "participant": text}]}).encode()):
        assert parse_prediction_request(body, max_rows=1).rows[0].participant == text


@pytest.mark.parametrize(
    "body",
    [
        b'{"rows": [{"features": {"x": 1, "x": 2}}]}',
        b'{"rows": [{"features": {"x": 1}, "features": {"x": 2}}]}',
        b'{"rows": [{"features": {"x": 1}}], "rows": [{"features": {"x": 2}}]}',
        b'{"rows": [{"participant": "a", "participant": "b", "features": {"x": 1}}]}',
        b'{"rows": [{"features": {"x": 1, "\\u0078": 2}}]}',
        b'{"rows": [{"features": {}, "covariates": {"site": "A", "site": "B"}}]}',
    ],
    ids=["feature", "features", "rows", "label", "escaped", "covariate"],
)
def test_a_key_that_stands_twice_is_refused_since_nobody_knows_which_is_meant(body: bytes) -> None:
    with pytest.raises(JsonInvalidError, match="a key stands twice"):
        parse_prediction_request(body, max_rows=9)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"rows": [1,]}', b"\xef\xbb\xbf{}", b'{"rows": [{}]} x']
)
def test_what_is_no_json_is_named_so(body: bytes) -> None:
    with pytest.raises(JsonInvalidError):
        parse_prediction_request(body, max_rows=9)


@pytest.mark.parametrize(
    ("row", "where"),
    [
        ({"features": {"x": "1"}}, "row 1, column x"),
        ({"features": {"x": True}}, "row 1, column x"),
        ({"features": {}, "shoe": 1}, "row 1, shoe"),
        ({"features": {}, "participant": 7}, "row 1, participant"),
        ({"features": {}, "recipe_hash": "x" * 201}, "row 1, recipe_hash"),
    ],
)
def test_a_wrong_member_is_named_by_its_place_and_not_by_its_value(row: dict[str, Any], where: str) -> None:
    with pytest.raises(RequestError) as caught:
        parse_prediction_request(body_of(row), max_rows=9)
    assert caught.value.where == where
    assert "xxx" not in str(caught.value)


def test_every_wrong_member_is_listed() -> None:
    with pytest.raises(ManyFaultsError) as caught:
        parse_prediction_request(body_of({"features": {"x": "1"}}, ROW, {"features": {"y": []}}), max_rows=9)
    assert [fault.where for fault in caught.value.faults] == ["row 1, column x", "row 3, column y"]


@pytest.mark.parametrize(("rows", "kind"), [([ROW] * 3, TableError), ([], RequestError)])
def test_too_many_rows_and_none_are_refused(rows: list[dict[str, Any]], kind: type[PredictorError]) -> None:
    with pytest.raises(kind):
        parse_prediction_request(body_of(*rows), max_rows=2)
