from __future__ import annotations

import json
from typing import Any

import pytest

from predictor.errors import JsonInvalidError, PredictorError, RequestError, TableError, TensorError
from predictor.model.bundle import ModelBundle
from serving.tensor_schemas import InferRequest
from serving.tensors import (
    input_descriptions,
    output_descriptions,
    output_tensors,
    parse_infer_request,
    rows_of_tensors,
)

FIRST = "rest_fisher_z__amygdala_L__vmPFC"


def tensor(name: str = FIRST, **changed: Any) -> dict[str, Any]:
    return {"name": name, "shape": [2], "datatype": "FP64", "data": [0.5, None], **changed}


def request_of(*inputs: dict[str, Any]) -> InferRequest:
    return parse_infer_request(json.dumps({"inputs": list(inputs)}).encode())


def test_tensors_become_rows_in_their_order(bundle: ModelBundle) -> None:
    site = tensor("site", datatype="BYTES", data=["A", None])
    severity = tensor("caps5_total_baseline", datatype="FP32", shape=[2, 1], data=[[44], [None]])
    recipe = tensor("recipe_hash", datatype="BYTES", data=["sha256:1", None])
    first, second = rows_of_tensors(request_of(tensor(), site, severity, recipe), bundle, max_rows=2)
    assert (first.place, first.features, first.recipe_hash) == ("row 1", {FIRST: 0.5}, "sha256:1")
    assert first.covariates == {"caps5_total_baseline": 44, "site": "A"}
    assert (second.features, second.covariates) == ({FIRST: None}, {"caps5_total_baseline": None, "site": None})
    assert second.recipe_hash is None


@pytest.mark.parametrize(
    "body",
    [
        b'{"inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": [0.1], "data": [0.2]}]}',
        b'{"inputs": [{"name": "x", "name": "y", "shape": [1], "datatype": "FP64", "data": [0.1]}]}',
        b'{"id": "a", "id": "b", "inputs": [{"name": "x", "shape": [1], "datatype": "BYTES", "data": ["A"]}]}',
        b'{"inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": [1]}], "parameters": {"a": 1, "a": 2}}',
    ],
    ids=["data", "name", "id", "parameter"],
)
def test_a_key_that_stands_twice_is_refused_as_in_v1(body: bytes) -> None:
    with pytest.raises(JsonInvalidError, match="a key stands twice"):
        parse_infer_request(body)


def test_a_plain_request_needs_no_second_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.unique_keys.parse_json", lambda body: pytest.fail("it was parsed again"))
    site = tensor("site", datatype="BYTES", shape=[2, 1], data=["A", None])
    body = {"id": "a", "inputs": [tensor(), site], "outputs": [{"name": "status"}]}
    assert parse_infer_request(json.dumps(body).encode()).id == "a"


WRONG: dict[str, tuple[list[dict[str, Any]], type[PredictorError], str]] = {
    "unknown": ([tensor("shoe")], TensorError, "input shoe"),
    "the arm": ([tensor("arm", datatype="BYTES", data=["ketamine", None])], TensorError, "input arm"),
    "twice": ([tensor(), tensor()], TensorError, f"input {FIRST}"),
    "short": ([tensor(data=[1.0])], TensorError, f"input {FIRST}"),
    "another length": ([tensor(), tensor("site", datatype="BYTES", shape=[1], data=["A"])], TensorError, "input site"),
    "a matrix": ([tensor(shape=[2, 2], data=[[1, 2], [3, 4]])], TensorError, f"input {FIRST}"),
    "no rows": ([tensor(shape=[0], data=[])], TensorError, f"input {FIRST}"),
    "text": ([tensor(data=[1.0, "high"])], TensorError, f"row 2, input {FIRST}"),
    "a truth value": ([tensor(data=[True, 1.0])], TensorError, f"row 1, input {FIRST}"),
    "a list of two": ([tensor(shape=[2, 1], data=[[1, 2], [1]])], TensorError, f"row 1, input {FIRST}"),
    "numbers as bytes": ([tensor(datatype="BYTES", data=["1", "2"])], TensorError, f"input {FIRST}"),
    "a category as number": ([tensor("site")], TensorError, "input site"),
    "a long text": ([tensor("site", datatype="BYTES", data=["A", "x" * 201])], TensorError, "row 2, input site"),
    "too many rows": ([tensor(shape=[9], data=[1.0] * 9)], TableError, ""),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_tensor_is_named(bundle: ModelBundle, name: str) -> None:
    inputs, kind, where = WRONG[name]
    with pytest.raises(kind) as caught:
        rows_of_tensors(request_of(*inputs), bundle, max_rows=8)
    assert caught.value.where == where
    assert "xxx" not in str(caught.value)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", JsonInvalidError),
        (b"[]", RequestError),
        (b'{"inputs": []}', RequestError),
        (json.dumps({"inputs": [tensor(datatype="INT64")]}).encode(), RequestError),
        (json.dumps({"inputs": [tensor(shape=[1, 1, 1])]}).encode(), RequestError),
        (json.dumps({"inputs": [tensor()], "instances": []}).encode(), RequestError),
    ],
)
def test_another_form_is_refused(body: bytes, kind: type[PredictorError]) -> None:
    with pytest.raises(kind):
        parse_infer_request(body)


def answer_of(status: str, *, expected: float | None) -> bytes:
    interval = {"level": 0.9, "lower": -1.0, "upper": 1.0}
    arm = {"expected": expected, "interval": interval, "response_probability": None}
    arms = {} if expected is None else {"arms": {"ketamine": arm, "midazolam": arm}}
    return json.dumps({"status": status, **arms}).encode()


def test_outputs_hold_the_numbers_and_a_refusal_holds_none(bundle: ModelBundle) -> None:
    answers = [answer_of("ok", expected=0.5), answer_of("refused", expected=None)]
    outputs = {one.name: one for one in output_tensors(answers, bundle, wanted=None)}
    assert set(outputs) == {item.name for item in output_descriptions(bundle)}
    assert outputs["expected_ketamine"].data == [0.5, None]
    assert outputs["lower_midazolam"].data == [-1.0, None]
    assert outputs["response_probability_ketamine"].data == [None, None]
    assert outputs["status"].data == ["ok", "refused"]
    assert outputs["answer"].data == [answer.decode() for answer in answers]
    assert {tuple(one.shape) for one in outputs.values()} == {(2,)}


def test_no_number_stands_without_status_and_answer(bundle: ModelBundle) -> None:
    outputs = output_tensors([answer_of("ok", expected=0.5)], bundle, wanted=["upper_ketamine"])
    assert [one.name for one in outputs] == ["upper_ketamine", "status", "answer"]
    with pytest.raises(TensorError) as caught:
        output_tensors([answer_of("ok", expected=0.5)], bundle, wanted=["benefit"])
    assert caught.value.where == "output benefit"


def test_every_feature_and_covariate_but_the_arm_is_an_input(bundle: ModelBundle) -> None:
    types = {item.name: item.datatype for item in input_descriptions(bundle)}
    assert set(types) == {*bundle.feature_names, "caps5_total_baseline", "site", "sex", "recipe_hash"}
    assert (types[FIRST], types["caps5_total_baseline"], types["sex"]) == ("FP64", "FP64", "BYTES")
