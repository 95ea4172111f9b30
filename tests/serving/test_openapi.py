"""The OpenAPI document says what the service does, route by route."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from predictor.model.bundle import ModelBundle
from serving.access.route_table import RULES

Operation = tuple[str, str, dict[str, Any]]


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    from serving.app import create_app
    from serving.settings import Settings

    return create_app(Settings()).openapi()


def operations_of(document: dict[str, Any]) -> Iterator[Operation]:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            yield method, path, operation


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    found = set(re.findall(r'"\$ref": "#/components/schemas/([^"]+)"', json.dumps(document)))
    assert found <= set(document["components"]["schemas"])
    assert '"$ref": "#/$defs' not in json.dumps(document)


def test_every_operation_has_its_own_id_and_says_what_it_does(document: dict[str, Any]) -> None:
    operations = list(operations_of(document))
    ids = [operation["operationId"] for _, _, operation in operations]
    assert len(set(ids)) == len(ids)
    assert [path for _, path, operation in operations if not operation.get("description")] == []


def test_every_field_of_an_address_is_a_described_parameter(document: dict[str, Any]) -> None:
    for method, path, operation in operations_of(document):
        expected = re.findall(r"\{(\w+)\}", path)
        found = [one["name"] for one in operation.get("parameters", []) if one["in"] == "path"]
        assert sorted(found) == sorted(expected), f"{method} {path}"


def test_every_programs_route_of_the_access_table_is_described_and_no_other(document: dict[str, Any]) -> None:
    described = {(method.upper(), path) for method, path, _ in operations_of(document)}
    known = {(rule.method, rule.path) for rule in RULES if not rule.is_page}
    assert described == {(method, path) for method, path in known if path != "/openapi.json" and "/static" not in path}


def test_what_needs_a_key_says_that_it_may_answer_401_and_429(document: dict[str, Any]) -> None:
    open_routes = {(rule.method, rule.path) for rule in RULES if rule.needs == "nothing"}
    for method, path, operation in operations_of(document):
        if (method.upper(), path) not in open_routes:
            assert {"401", "429"} <= set(operation["responses"]), f"{method} {path}"


def test_bodies_and_answers_name_their_types(document: dict[str, Any]) -> None:
    infer = document["paths"]["/v2/models/{name}/infer"]["post"]
    inputs = infer["requestBody"]["content"]["application/json"]["schema"]["properties"]["inputs"]
    assert set(inputs["items"]["properties"]) == {"name", "shape", "datatype", "data", "parameters"}
    for name, kind in (("waterfall.svg", "image/svg+xml"), ("attributions.nii.gz", "application/gzip")):
        answers = document["paths"][f"/v1/explanations/{{result_id}}/{name}"]["get"]["responses"]
        assert list(answers["200"]["content"]) == [kind]
    for path in ("/v1/predictions", "/v1/scans"):
        (keep,) = document["paths"][path]["post"]["parameters"]
        assert (keep["name"], keep["schema"]["default"]) == ("keep", False)


@pytest.mark.parametrize(("path", "method"), [("/v1/predictions", "post"), ("/v1/scans", "post")])
def test_the_reply_of_a_scoring_route_is_described_whole(
    document: dict[str, Any], client: httpx.Client, path: str, method: str
) -> None:
    schema = document["paths"][path][method]["responses"]["200"]["content"]["application/json"]["schema"]
    assert schema["$ref"].rsplit("/", 1)[1] in ("PredictionsReply", "Envelope")
    served = client.get("/openapi.json").json()["paths"][path][method]
    assert served["responses"] == json.loads(json.dumps(document["paths"][path][method]["responses"]))


def test_the_served_document_names_what_the_model_takes(client: httpx.Client, bundle: ModelBundle) -> None:
    served = client.get("/openapi.json").json()["paths"]["/v1/predictions"]["post"]["requestBody"]
    rows = served["content"]["application/json"]["schema"]["properties"]["rows"]
    of_row = rows["items"]["properties"]
    assert rows["maxItems"] == 50
    patterns = of_row["features"]["patternProperties"]
    assert of_row["features"]["additionalProperties"] is False
    for definition in bundle.definitions:
        (limits,) = [limits for pattern, limits in patterns.items() if re.search(pattern, definition.name)]
        assert (limits.get("maximum") == 5) == (definition.unit == "fisher_z")
    assert of_row["covariates"]["properties"]["sex"] == {"enum": ["female", "male", None]}
    assert of_row["covariates"]["properties"]["caps5_total_baseline"]["maximum"] == 80
    assert not any(re.search(pattern, "shoe_size") for pattern in patterns)
