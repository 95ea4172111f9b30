from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from serving.model_store import ModelStore
from serving.operation.json_logs import FIELDS
from serving.settings import Settings


@pytest.fixture
def broken(store: ModelStore, monkeypatch: pytest.MonkeyPatch) -> ModelStore:
    """Return a store whose model cannot be had, by a fault that quotes a person."""
    broken = ModelStore(store._source)

    def fail() -> None:
        raise KeyError("Jane Doe")

    monkeypatch.setattr(broken, "current", fail)
    return broken


def test_a_fault_of_ours_is_answered_and_logged_without_its_text(
    serve: Any, broken: ModelStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = Settings(refresh_s=0, database_url=f"sqlite:///{tmp_path}/service.db")
    with serve(settings, broken) as service, service.client() as client:
        reply = client.get("/v1/models/current")
        metrics = client.get("/metrics").text
    assert (reply.status_code, reply.json()["code"]) == (500, "internal-error")
    assert "Jane" not in reply.text
    assert {"content-security-policy", "x-request-id"} <= set(reply.headers)
    assert "krp_bugs_total 1.0" in metrics
    (entry,) = [getattr(record, FIELDS) for record in caplog.records if record.name == "serving.operation.bug_net"]
    assert entry["exception"] == "KeyError"
    assert entry["request_id"] == reply.headers["x-request-id"]
    assert entry["frames"]
    assert "Jane" not in caplog.text
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR and record.exc_info]
