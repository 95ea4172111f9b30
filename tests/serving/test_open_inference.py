from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from predictor.model.answer import answer_bytes
from predictor.model.bundle import ModelBundle
from predictor.pipeline import score_features
from serving.model_store import ModelStore
from serving.tensor_schemas import InferReply, TensorModel

NAME = "/v2/models/ketamine-response"
VALUES = {"caps5_total_baseline": 44.0, "site": "A", "sex": "female"}


def inputs_of(bundle: ModelBundle, *values: float) -> list[dict[str, Any]]:
    n_rows = len(values)
    numbers = {name: list(values) for name in bundle.feature_names} | {"caps5_total_baseline": [44.0] * n_rows}
    texts = {"site": ["A"] * n_rows, "sex": ["female"] * n_rows, "recipe_hash": [bundle.recipe_hashes[0]] * n_rows}
    tensors = [{"name": name, "shape": [n_rows], "datatype": "FP64", "data": data} for name, data in numbers.items()]
    return tensors + [
        {"name": name, "shape": [n_rows], "datatype": "BYTES", "data": data} for name, data in texts.items()
    ]


@pytest.mark.parametrize("path", [f"{NAME}/infer", f"{NAME}/versions/bundle/infer"])
def test_answers_are_those_of_score_features(client: httpx.Client, bundle: ModelBundle, path: str) -> None:
    reply = client.post(path, json={"id": "call-1", "inputs": inputs_of(bundle, 0.25, 0.3)})
    found = InferReply.model_validate_json(reply.content)
    assert (found.id, found.model_name, found.model_version) == ("call-1", "ketamine-response", "bundle")
    outputs = {one.name: one.data for one in found.outputs}
    for row, value in enumerate((0.25, 0.3)):
        features = dict.fromkeys(bundle.feature_names, value)
        answer = score_features(features, VALUES, bundle, recipe_hash=bundle.recipe_hashes[0], input_digest=None)
        assert outputs["answer"][row] == answer_bytes(answer).decode()
        assert outputs["expected_ketamine"][row] == answer["arms"]["ketamine"]["expected"]
        assert outputs["upper_midazolam"][row] == answer["arms"]["midazolam"]["interval"]["upper"]


def test_the_model_describes_inputs_that_infer_takes(client: httpx.Client, store: ModelStore) -> None:
    found = TensorModel.model_validate_json(client.get(NAME).content)
    assert client.get(f"{NAME}/versions/bundle").json() == found.model_dump()
    assert found.parameters == {"research_use_only": True, "digest": store.current().bundle.digest}
    sample = {"FP64": [0.1], "BYTES": [None]}
    tensors = [{**item.model_dump(), "shape": [1], "data": sample[item.datatype]} for item in found.inputs]
    reply = client.post(f"{NAME}/infer", json={"inputs": tensors})
    assert reply.status_code == 200
    assert [one["name"] for one in reply.json()["outputs"]] == [item.name for item in found.outputs]


def test_server_and_model_say_whether_they_are_ready(client: httpx.Client) -> None:
    assert client.get("/v2").json()["extensions"] == []
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").json() == {"ready": True}
    assert client.get(f"{NAME}/ready").json() == {"name": "ketamine-response", "ready": True}
    assert client.get(f"{NAME}/versions/bundle/ready").status_code == 200


@pytest.mark.parametrize("path", ["/v2/models/other", f"{NAME}/versions/2", "/v2/models/other/ready"])
def test_another_model_is_an_error_of_the_protocols_form(client: httpx.Client, path: str) -> None:
    reply = client.get(path)
    assert (reply.status_code, reply.json()["code"]) == (404, "model-unknown")
    assert reply.json()["error"] == reply.json()["detail"]
    assert client.post("/v2/models/other/infer", json={"inputs": []}).status_code == 404


@pytest.mark.parametrize(
    ("changed", "status", "code"),
    [
        ({"name": "shoe"}, 400, "tensor-invalid"),
        ({"data": ["x"]}, 400, "tensor-invalid"),
        ({"data": [float("nan")]}, 422, "value-out-of-range"),
        ({"shape": [51], "data": [0.1] * 51}, 422, "table-invalid"),
    ],
)
def test_a_wrong_tensor_is_an_error_of_the_protocols_form(
    client: httpx.Client, bundle: ModelBundle, changed: dict[str, Any], status: int, code: str
) -> None:
    inputs = [{**inputs_of(bundle, 0.1)[0], **changed}]
    headers = {"Content-Type": "application/json"}
    reply = client.post(f"{NAME}/infer", content=json.dumps({"inputs": inputs}), headers=headers)
    assert (reply.status_code, reply.json()["code"]) == (status, code)
    assert reply.headers["content-type"] == "application/json"
    assert reply.json()["error"]


def test_the_binary_extension_is_refused_by_name(client: httpx.Client) -> None:
    headers = {"Content-Type": "application/json", "Inference-Header-Content-Length": "12"}
    reply = client.post(f"{NAME}/infer", content=b"{}", headers=headers)
    assert (reply.status_code, reply.json()["code"]) == (415, "content-type-unsupported")


def test_every_row_is_in_the_audit_log(client: httpx.Client, bundle: ModelBundle) -> None:
    client.post(f"{NAME}/infer", json={"inputs": inputs_of(bundle, 0.1, 0.2)})
    entries, after = [], 0
    while after is not None:
        page = client.get("/v1/audit", params={"after": after, "limit": 1000}).json()
        entries, after = entries + page["entries"], page["next_after"]
    assert [(entry["action"], entry["row"]) for entry in entries[-2:]] == [("score-features", 1), ("score-features", 2)]
