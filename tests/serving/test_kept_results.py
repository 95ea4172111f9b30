"""Kept answers over HTTP: /v1/results and /v1/explanations."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import nibabel
import pytest

from predictor.errors import ResultUnknownError
from predictor.model.bundle import ModelBundle
from serving.access.principal import Principal
from serving.kept_results import delete_kept, find_kept
from serving.model_store import ModelStore
from serving.schemas import Envelope, ExplanationFiles, KeptResults
from serving.settings import Settings
from serving.store.database import Database
from serving.store.results import KeptResult, ResultStore

Serve = Callable[[Settings, ModelStore], AbstractContextManager[Any]]
FILES = ("waterfall.svg", "glass_brain.svg", "attributions.nii.gz", "edges.tsv")


@pytest.fixture(scope="module")
def client(serve: Serve, store: ModelStore) -> Iterator[httpx.Client]:
    with serve(Settings(refresh_s=0, max_rows=50), store) as service, service.client() as found:
        yield found


@pytest.fixture
def empty(client: httpx.Client) -> httpx.Client:
    """Return a client that has kept nothing."""
    assert client.delete("/v1/results").status_code == 200
    return client


@pytest.fixture(scope="module")
def row(bundle: ModelBundle) -> dict[str, Any]:
    covariates = {"caps5_total_baseline": 44.0, "site": "A", "sex": "female"}
    features = dict.fromkeys(bundle.feature_names, 0.25)
    return {
        "participant": "Ms X",
        "features": features,
        "covariates": covariates,
        "recipe_hash": bundle.recipe_hashes[0],
    }


@pytest.fixture
def kept(empty: httpx.Client, row: dict[str, Any]) -> dict[str, Any]:
    """Return the envelope of one kept answer."""
    reply = empty.post("/v1/predictions?keep=true", json={"rows": [row]})
    assert reply.status_code == 200
    found: dict[str, Any] = reply.json()["predictions"][0]
    return found


def test_nothing_is_kept_unless_asked_for(empty: httpx.Client, row: dict[str, Any]) -> None:
    envelope = empty.post("/v1/predictions", json={"rows": [row]}).json()["predictions"][0]
    assert empty.post("/v1/predictions?keep=false", json={"rows": [row]}).status_code == 200
    assert empty.get("/v1/results").json() == {"results": []}
    assert empty.get(f"/v1/results/{envelope['id']}").status_code == 404


@pytest.mark.parametrize("query", ["keep=yes", "keep=", "keep", "keep=true&keep=false", "keep=true&x=1", "save=true"])
def test_a_question_that_is_not_known_is_refused_before_anything_is_scored(
    empty: httpx.Client, row: dict[str, Any], query: str
) -> None:
    reply = empty.post(f"/v1/predictions?{query}", json={"rows": [row]})
    assert (reply.status_code, reply.json()["code"], reply.json()["where"]) == (400, "request-invalid", "query")
    assert empty.get("/v1/results").json() == {"results": []}


def test_a_kept_answer_is_the_bytes_that_were_first_sent(empty: httpx.Client, row: dict[str, Any]) -> None:
    first = empty.post("/v1/predictions?keep=true", json={"rows": [row]}).content
    answer = first[first.index(b'"answer": ') : -len(b"}]}")]
    found = empty.get(f"/v1/results/{json.loads(first)['predictions'][0]['id']}")
    assert found.content.endswith(answer + b"}")
    assert Envelope.model_validate_json(found.content).created == json.loads(first)["predictions"][0]["created"]


def test_the_list_holds_no_label_of_the_caller(empty: httpx.Client, row: dict[str, Any]) -> None:
    empty.post("/v1/predictions?keep=true", json={"rows": [row, {**row, "recipe_hash": "sha256:other"}]})
    reply = empty.get("/v1/results")
    lines = KeptResults.model_validate_json(reply.content).results
    assert [(line.label, line.status) for line in lines] == [("Row 2", "refused"), ("Row 1", "ok")]
    assert "Ms X" not in reply.text
    for line in lines:
        left = datetime.fromisoformat(line.expires) - datetime.fromisoformat(line.created)
        assert left.total_seconds() == pytest.approx(24 * 3600, abs=1)


def test_a_deleted_answer_is_gone_with_its_files(empty: httpx.Client, kept: dict[str, Any]) -> None:
    address = f"/v1/results/{kept['id']}"
    assert empty.delete(address).json() == {"deleted": 1}
    for path in (address, f"/v1/explanations/{kept['id']}", f"/v1/explanations/{kept['id']}/edges.tsv"):
        reply = empty.get(path)
        assert (reply.status_code, reply.json()["code"]) == (404, "result-unknown")
    assert empty.delete(address).status_code == 404


def test_delete_my_data_deletes_everything_and_says_how_much(empty: httpx.Client, row: dict[str, Any]) -> None:
    empty.post("/v1/predictions?keep=true", json={"rows": [row] * 3})
    assert empty.delete("/v1/results").json() == {"deleted": 3}
    assert empty.get("/v1/results").json() == {"results": []}
    actions = [entry["action"] for entry in empty.get("/v1/audit", params={"limit": 1000}).json()["entries"]]
    assert actions[-1] == "delete-all"


@pytest.mark.parametrize("path", ["", "/waterfall.svg", "/glass_brain.svg", "/attributions.nii.gz", "/edges.tsv"])
@pytest.mark.parametrize("result_id", ["0" * 32, "..%2f..%2fetc", "x" * 500, "%00"])
def test_an_id_that_nobody_gave_is_unknown(client: httpx.Client, path: str, result_id: str) -> None:
    assert client.get(f"/v1/explanations/{result_id}{path}").status_code == 404


def test_the_files_are_listed_with_their_types_and_can_all_be_fetched(
    client: httpx.Client, kept: dict[str, Any]
) -> None:
    listed = ExplanationFiles.model_validate_json(client.get(f"/v1/explanations/{kept['id']}").content)
    assert tuple(file.name for file in listed.files) == FILES
    for file in listed.files:
        reply = client.get(file.href)
        assert reply.status_code == 200
        assert reply.headers["content-type"].split(";")[0] == file.media_type
        assert reply.headers["content-disposition"] == f'inline; filename="{file.name}"'
        assert client.head(file.href).headers["content-length"] == str(len(reply.content))


def test_the_files_say_what_the_answer_says(client: httpx.Client, kept: dict[str, Any]) -> None:
    def fetch(name: str) -> bytes:
        return client.get(f"/v1/explanations/{kept['id']}/{name}").content

    contributions = kept["answer"]["explanation"]["contributions"]
    header, *rows = (line.split("\t") for line in fetch("edges.tsv").decode().splitlines())
    column = header.index("contribution")
    assert [float(cells[column]) for cells in rows] == [item["contribution"] for item in contributions]
    image = nibabel.Nifti1Image.from_bytes(gzip.decompress(fetch("attributions.nii.gz")))
    assert image.shape == (97, 115, 97)
    assert b"Research use only." in fetch("glass_brain.svg")
    assert b"What the number is made of" in fetch("waterfall.svg")


@pytest.mark.parametrize("path", ["", *(f"/{name}" for name in FILES)])
def test_a_refused_answer_has_nothing_to_draw(empty: httpx.Client, row: dict[str, Any], path: str) -> None:
    rows = [{**row, "recipe_hash": "sha256:other"}]
    envelope = empty.post("/v1/predictions?keep=true", json={"rows": rows}).json()["predictions"][0]
    reply = empty.get(f"/v1/explanations/{envelope['id']}{path}")
    assert (reply.status_code, reply.json()["code"]) == (409, "explanation-absent")


def test_the_audit_log_holds_digests_in_order_and_page_by_page(empty: httpx.Client, row: dict[str, Any]) -> None:
    known = empty.get("/v1/audit", params={"limit": 1000}).json()["entries"][-1]["sequence"]
    empty.post("/v1/predictions", json={"rows": [row] * 3})
    first = empty.get("/v1/audit", params={"after": known, "limit": 2}).json()
    second = empty.get("/v1/audit", params={"after": first["next_after"], "limit": 2}).json()
    entries = first["entries"] + second["entries"]
    assert [entry["row"] for entry in entries] == [1, 2, 3]
    assert [entry["sequence"] for entry in entries] == [known + 1, known + 2, known + 3]
    assert second["next_after"] is None
    assert "Ms X" not in json.dumps(entries)


@pytest.mark.parametrize("query", ["after=-1", "limit=0", "limit=1001", "after=x", f"after={2**63}"])
def test_a_wrong_page_of_the_audit_log_is_a_named_problem(client: httpx.Client, query: str) -> None:
    reply = client.get(f"/v1/audit?{query}")
    assert (reply.status_code, reply.json()["code"]) == (400, "request-invalid")


def test_a_model_of_ready_features_has_no_brain_to_draw(
    serve: Serve, store: ModelStore, row: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    model = store.current()
    ready = ModelStore(store._source)
    loaded = replace(model, bundle=replace(model.bundle, recipe=None))
    monkeypatch.setattr(ready, "current", lambda: loaded)
    with serve(Settings(refresh_s=0), ready) as service, service.client() as client:
        monkeypatch.setattr(ready, "refresh", lambda: False)
        envelope = client.post("/v1/predictions?keep=true", json={"rows": [row]}).json()["predictions"][0]
        address = f"/v1/explanations/{envelope['id']}"
        assert [file["name"] for file in client.get(address).json()["files"]] == ["waterfall.svg", "edges.tsv"]
        for name in ("glass_brain.svg", "attributions.nii.gz"):
            reply = client.get(f"{address}/{name}")
            assert (reply.status_code, reply.json()["code"]) == (409, "explanation-without-regions")


def test_many_rows_are_answered_like_few(client: httpx.Client, row: dict[str, Any]) -> None:
    rows = [{**row, "participant": str(number)} for number in range(50)]
    predictions = client.post("/v1/predictions", json={"rows": rows}).json()["predictions"]
    assert [one["participant"] for one in predictions] == [str(number) for number in range(50)]
    assert {json.dumps(one["answer"]) for one in predictions} == {json.dumps(predictions[0]["answer"])}


def test_another_callers_answer_is_unknown_and_stays(tmp_path: Path) -> None:
    database = Database.open(f"sqlite:///{tmp_path}/service.db")
    results = ResultStore(database, keep=timedelta(hours=1), max_per_owner=9)
    now = datetime.now(UTC)
    results.add([KeptResult("a" * 32, "key:1", "Visit", now, results.expires_from(now), "1", "sha256:d", b"{}")])
    state = SimpleNamespace(results=results, audit=None)
    other: Any = SimpleNamespace(
        app=SimpleNamespace(state=state), state=SimpleNamespace(principal=Principal("key:2", frozenset({"read"})))
    )
    with pytest.raises(ResultUnknownError):
        find_kept(other, "a" * 32)
    with pytest.raises(ResultUnknownError):
        asyncio.run(delete_kept(other, "a" * 32))
    assert results.get("a" * 32, owner="key:1") is not None
    database.close()


def test_a_visit_is_kept_and_logged_with_the_digest_of_its_scans(
    empty: httpx.Client, visit: dict[str, tuple[str, bytes]]
) -> None:
    reply = empty.post("/v1/scans?keep=true", files=visit)
    assert reply.status_code == 200
    (line,) = empty.get("/v1/results").json()["results"]
    assert line["label"] == "Visit"
    assert empty.get(f"/v1/results/{line['id']}").content == reply.content
    entry = empty.get("/v1/audit", params={"limit": 1000}).json()["entries"][-1]
    assert (entry["action"], entry["row"]) == ("score-scan", None)
    assert entry["input_digest"] == reply.json()["answer"]["provenance"]["input_digest"]
    assert empty.post("/v1/scans?save=true", files=visit).status_code == 400
