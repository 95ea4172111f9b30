"""Four times more callers than the service takes at once: those who are let in must not wait much longer for it.

Asked: p99 of accepted requests is at most three times what it is while exactly as many ask as are taken at once. Times
are printed, never asserted. `python -m pytest tests/robustness/test_overload.py -s`; KRP_ROBUST=long asks for longer,
and also four times as many as a service that takes a few at once.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from predictor.console import emit
from serving.settings import Settings

CALLERS = Path(__file__).with_name("many_callers.py")
TIMES_TOO_MANY, ASKED = 4, 3.0
LASTS_S, LASTS_LONG_S = 2.5, 15.0
N_TAKEN = Settings.model_fields["max_requests_at_once"].default
N_TAKEN_AT_LENGTH = (8, 128)


@pytest.fixture
def request_file(make_features: Any, tmp_path: Path) -> Path:
    """Return a file with one whole request for one row."""
    row = {"features": make_features(0.2), "covariates": {"caps5_total_baseline": 40}}
    request = httpx.Request("POST", "http://127.0.0.1/v1/predictions", json={"rows": [row]})
    head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    file = tmp_path / "request"
    file.write_bytes(f"POST /v1/predictions HTTP/1.1\r\n{head}\r\n".encode() + request.content)
    return file


def asked_by(n_callers: int, url: str, request_file: Path, *, lasts_s: float) -> dict[str, Any]:
    """Let so many callers ask, from a process of their own."""
    words = [sys.executable, str(CALLERS), url.rpartition(":")[2], str(n_callers), str(lasts_s), str(request_file)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_too_many_callers_do_not_slow_down_those_who_are_let_in(
    run_service: Any, bundle_dir: Path, request_file: Path, run_long: bool
) -> None:
    lasts_s = LASTS_LONG_S if run_long else LASTS_S
    for n_taken in (N_TAKEN, *N_TAKEN_AT_LENGTH) if run_long else (N_TAKEN,):
        with run_service("--bundle", bundle_dir, max_requests_at_once=n_taken) as service:
            asked_by(2, service.url, request_file, lasts_s=0.5)  # what is loaded at first use is there now
            few, many = (
                asked_by(n_taken * times, service.url, request_file, lasts_s=lasts_s) for times in (1, TIMES_TOO_MANY)
            )
            for found in (few, many):
                assert set(found["statuses"]) <= {"200", "503"}, found
            assert "Traceback" not in service.log.read_text()
        emit(f"takes {n_taken} at once; {n_taken} callers: {shown(few)}; {n_taken * TIMES_TOO_MANY}: {shown(many)}")
        emit(f"p99 under overload: {many['p99_ms'] / few['p99_ms']:.2f}x, asked at most {ASKED:g}x")


def shown(found: dict[str, Any]) -> str:
    return f"p50 {found['p50_ms']:.1f} ms, p99 {found['p99_ms']:.1f} ms, {found['per_s']:.0f}/s, {found['statuses']}"
