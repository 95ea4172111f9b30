from __future__ import annotations

import re
import socket
import time
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from serving.model_store import ModelStore
from serving.operation.metrics import ServiceMetrics
from serving.settings import Settings


def value_of(text: bytes, line: str) -> float:
    (found,) = re.findall(rf"^{re.escape(line)} (\S+)$", text.decode(), re.MULTILINE)
    return float(found)


@pytest.fixture
def metrics() -> ServiceMetrics:
    return ServiceMetrics()


def test_requests_are_counted_by_route_method_and_status(metrics: ServiceMetrics) -> None:
    for _ in range(2):
        metrics.count_request(route="/v1/scans", method="POST", status=200, seconds=0.02)
    text = metrics.text()
    assert value_of(text, 'krp_requests_total{method="POST",route="/v1/scans",status="200"}') == 2
    assert value_of(text, 'krp_request_seconds_bucket{le="0.025",route="/v1/scans"}') == 2
    assert value_of(text, 'krp_request_seconds_bucket{le="0.01",route="/v1/scans"}') == 0


def test_an_unknown_address_or_method_is_no_label_of_its_own(metrics: ServiceMetrics) -> None:
    metrics.count_request(route=None, method="SUB-07", status=404, seconds=0)
    assert value_of(metrics.text(), 'krp_requests_total{method="OTHER",route="none",status="404"}') == 1
    assert b"SUB-07" not in metrics.text()


def test_answers_carry_the_digest_of_their_model(metrics: ServiceMetrics) -> None:
    metrics.count_answer("score-features", "flagged", model_digest="sha256:" + "ab" * 32)
    line = 'krp_answers_total{action="score-features",model="sha256:abababababab",status="flagged"}'
    assert value_of(metrics.text(), line) == 1


def test_only_the_model_that_answers_is_shown(metrics: ServiceMetrics) -> None:
    metrics.show_model(version="1", digest=None, state="promoted")
    metrics.show_model(version="2", digest=None, state="cached")
    text = metrics.text()
    assert value_of(text, 'krp_model_info{digest="none",state="cached",version="2"}') == 1
    assert b'version="1"' not in text


def test_the_audit_log_uploads_and_faults_are_counted(metrics: ServiceMetrics) -> None:
    metrics.count_audit_group(5, lag_s=0.003)
    metrics.count_upload(1_000)
    metrics.count_overload("uploads")
    metrics.count_refresh_failure("registry-unreachable")
    metrics.count_bug()
    metrics.count_purged(4)
    text = metrics.text()
    assert value_of(text, 'krp_audit_group_size_bucket{le="8.0"}') == 1
    assert value_of(text, "krp_upload_bytes_total") == 1_000
    assert value_of(text, 'krp_overloads_total{reason="uploads"}') == 1
    assert value_of(text, 'krp_model_refresh_failures_total{code="registry-unreachable"}') == 1
    assert value_of(text, "krp_bugs_total") == 1
    assert value_of(text, "krp_results_purged_total") == 4


def test_two_services_in_one_process_count_apart(metrics: ServiceMetrics) -> None:
    metrics.count_upload(5)
    assert value_of(ServiceMetrics().text(), "krp_upload_bytes_total") == 0


def test_what_is_under_way_is_shown_as_it_is_when_asked(serve: Any, store: ModelStore) -> None:
    with serve(Settings(refresh_s=0), store) as service, service.client() as client:
        text = client.get("/metrics").content
        assert value_of(text, 'krp_requests_under_way{kind="request"}') == 0
        with socket.create_connection((urlsplit(service.url).hostname, urlsplit(service.url).port)) as held:
            held.sendall(b"POST /v1/predictions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n")
            held.sendall(b"Content-Length: 10\r\n\r\n")
            assert poll(client, 1), "a request that is not an upload is shown too"
        assert poll(client, 0)


def poll(client: httpx.Client, expected: int) -> bool:
    ends = time.monotonic() + 10
    while time.monotonic() < ends:
        if value_of(client.get("/metrics").content, 'krp_requests_under_way{kind="request"}') == expected:
            return True
        time.sleep(0.02)
    return False


def test_a_scored_row_shows_up_in_the_metrics(client: httpx.Client, make_features: Any) -> None:
    line = 'krp_requests_total{method="POST",route="/v1/predictions",status="200"}'
    body = {"rows": [{"participant": "Jane Doe", "features": make_features(0.2)}]}
    assert client.post("/v1/predictions", json=body).status_code == 200
    text = client.get("/metrics").content
    assert value_of(text, line) >= 1
    assert b"krp_answers_total{" in text
    assert b"krp_audit_group_size_count" in text
    assert b"Jane" not in text
