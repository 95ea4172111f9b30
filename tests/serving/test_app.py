from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from predictor.model.bundle import ModelBundle
from serving.model_store import BundleFolder, ModelStore
from serving.schemas import CurrentModel
from serving.settings import Settings


def test_lives_and_is_ready_with_a_model(client: httpx.Client) -> None:
    assert client.get("/health/live").json() == {"status": "live"}
    assert client.get("/health/ready").json() == {"status": "ready"}


def test_lives_but_is_not_ready_without_a_model(serve: Any, tmp_path: Path) -> None:
    empty = ModelStore(BundleFolder(tmp_path / "nothing"))
    with serve(Settings(refresh_s=0), empty) as service, service.client() as client:
        live, ready, home = client.get("/health/live"), client.get("/health/ready"), client.get("/")
        scored = client.post("/v1/predictions", json={"rows": [{"features": {}}]})
    assert live.status_code == 200
    for reply in (ready, scored):
        assert (reply.status_code, reply.json()["code"]) == (503, "model-unavailable")
        assert int(reply.headers["retry-after"]) > 0
    assert "No model is loaded yet" in home.text


def test_the_current_model_tells_what_it_takes(client: httpx.Client, bundle: ModelBundle) -> None:
    document = CurrentModel.model_validate_json(client.get("/v1/models/current").content)
    assert document.digest == bundle.digest
    assert [feature.name for feature in document.features] == list(bundle.feature_names)
    assert {feature.unit for feature in document.features} >= {"beta"}
    assert [covariate.name for covariate in document.covariates] == ["arm", "caps5_total_baseline", "site", "sex"]
    assert (document.promoted, document.takes_scans, document.limits.max_rows) == (False, True, 50)
    assert document.card["metrics"]["r2"] == 0.31


def test_openapi_describes_requests_answers_and_problems(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()
    scans = document["paths"]["/v1/scans"]["post"]
    form = scans["requestBody"]["content"]["multipart/form-data"]["schema"]["properties"]
    assert {"rest", "faces_events", "conflict_confounds_sidecar", "covariates"} <= set(form)
    assert "rest_events" not in form
    assert set(scans["responses"]) >= {"200", "400", "401", "409", "413", "415", "422", "429", "503"}
    problem = document["components"]["schemas"]["Problem"]["properties"]
    assert {"type", "title", "status", "code", "detail", "where", "remedy", "more"} <= set(problem)
    answer = document["components"]["schemas"]["Answer"]["properties"]
    assert {"arms", "benefit", "explanation", "reasons", "uncertainty_sources"} <= set(answer)
    rows = document["paths"]["/v1/predictions"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert set(rows["properties"]["rows"]["items"]["properties"]) == {
        "participant",
        "features",
        "covariates",
        "recipe_hash",
    }


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [("GET", "/v1/nothing", 404, "not-found"), ("GET", "/v1/scans", 405, "method-not-allowed")],
)
def test_unknown_addresses_and_methods_are_problems(
    client: httpx.Client, method: str, path: str, status: int, code: str
) -> None:
    reply = client.request(method, path)
    assert (reply.status_code, reply.json()["code"]) == (status, code)
    assert reply.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("path", ["/", "/visit", "/table", "/docs", "/nothing", "/static/page.css", "/health/live"])
def test_every_answer_forbids_other_hosts_and_inline_code(client: httpx.Client, path: str) -> None:
    headers = client.get(path, headers={"Accept": "text/html"}).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http:" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"


def test_a_foreign_host_header_is_refused(client: httpx.Client) -> None:
    assert client.get("/health/live", headers={"Host": "evil.example"}).status_code == 400


def test_a_form_of_a_foreign_page_is_refused(client: httpx.Client) -> None:
    reply = client.post("/sample", headers={"Sec-Fetch-Site": "cross-site"})
    assert reply.status_code == 403


def test_a_bug_is_answered_without_its_details(serve: Any) -> None:
    broken = ModelStore(BundleFolder(Path("unused")))
    broken.current = lambda: 1 / 0  # type: ignore[method-assign,assignment,return-value]
    with serve(Settings(refresh_s=0), broken) as service, service.client() as client:
        reply = client.get("/health/ready")
    assert (reply.status_code, reply.json()["code"]) == (500, "internal-error")
    assert "ZeroDivision" not in reply.text
