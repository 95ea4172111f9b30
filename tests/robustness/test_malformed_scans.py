"""Mutated scans: every one is a named error or a valid result, in process and through HTTP.

`python -m pytest tests/robustness/test_malformed_scans.py -s`: 300 scans in process and 24 through HTTP;
KRP_ROBUST=long makes it 10,000 each. Times and memory are printed beside what is asked.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import numpy as np
import pytest

from predictor.circuit.circuit import load_circuit
from predictor.console import emit
from predictor.errors import PredictorError
from predictor.scan.region_signals import RegionReader, RegionRecording

SPACE = "MNI152NLin2009cAsym"
FILE_NAME = f"sub-01_task-rest_space-{SPACE}_desc-preproc_bold.nii.gz"
CHUNK_BYTES = (1 << 20, 65_536, 4_096, 700)
N_SCANS_LONG = 10_000
ASKED_S, ASKED_MB = 2.0, 300.0


def read(content: bytes, *, chunk_bytes: int) -> RegionRecording:
    """Read a scan as an upload is read, and check what comes out."""
    reader = RegionReader(load_circuit(), declared_space=SPACE)
    for start in range(0, len(content), chunk_bytes):
        reader.feed(content[start : start + chunk_bytes])
    recording = reader.finish()
    assert recording.bold.shape == (recording.n_volumes, len(recording.region_names))
    assert not np.isinf(recording.bold).any()
    assert ((recording.coverage >= 0) & (recording.coverage <= 1)).all()
    return recording


def test_every_mutated_scan_is_a_named_error_or_a_valid_recording(
    mutations: ModuleType, run_long: bool, measure_memory: Any
) -> None:
    n_scans = N_SCANS_LONG if run_long else 300
    read(mutations.sound_scan(), chunk_bytes=1 << 20)  # what is loaded at first use is there now
    found: Counter[str] = Counter()
    unhandled: list[str] = []
    slowest_s = 0.0
    with measure_memory() as peak_mb:
        for number, mutant in enumerate(mutations.mutated_scans(n_scans, seed=7)):
            begin = time.perf_counter()
            try:
                read(mutant.content, chunk_bytes=CHUNK_BYTES[number % len(CHUNK_BYTES)])
                found["valid"] += 1
            except PredictorError as error:
                found[error.code] += 1
            except Exception as error:  # the very thing that is looked for
                unhandled.append(f"scan {number}, {mutant.what}: {error!r}")
            slowest_s = max(slowest_s, time.perf_counter() - begin)
    emit(f"\n{n_scans} scans in process: {dict(found.most_common())}")
    emit(f"slowest {slowest_s:.2f} s (asked {ASKED_S:g}); memory +{peak_mb():.0f} MB (asked {ASKED_MB:g})")
    assert unhandled == []
    assert sum(found.values()) == n_scans
    assert len(found) > 5, "the mutations do not reach the reader's checks"
    assert peak_mb() <= ASKED_MB


def test_every_mutated_scan_is_a_4xx_or_an_answer_over_http(
    mutations: ModuleType,
    run_long: bool,
    measure_memory: Any,
    service_process: Callable[..., Any],
    bundle_dir: Path,
) -> None:
    n_scans = N_SCANS_LONG if run_long else 24
    found: Counter[str] = Counter()
    slowest_s = 0.0
    with service_process("--bundle", bundle_dir) as service, service.client() as client:
        send(client, mutations.sound_scan())
        with measure_memory(service.process.pid) as peak_mb:
            for mutant in mutations.mutated_scans(n_scans, seed=8):
                begin = time.perf_counter()
                reply = send(client, mutant.content)
                slowest_s = max(slowest_s, time.perf_counter() - begin)
                found[outcome_of(reply, mutant.what)] += 1
            risen_mb = peak_mb()
        assert client.get("/health/ready").status_code == 200
        assert "Traceback" not in service.log.read_text()
    emit(f"\n{n_scans} scans over HTTP: {dict(found.most_common())}")
    emit(f"slowest {slowest_s:.2f} s (asked {ASKED_S:g}); memory +{risen_mb:.0f} MB (asked {ASKED_MB:g})")
    assert risen_mb <= ASKED_MB


def send(client: httpx.Client, content: bytes) -> httpx.Response:
    """Upload a resting run without its tables."""
    return client.post("/v1/scans", files={"rest": (FILE_NAME, content)})


def outcome_of(reply: httpx.Response, what: str) -> str:
    """Return the status of an answer, or the code of a problem that names its place."""
    if reply.status_code == 200:
        return str(reply.json()["answer"]["status"])
    assert 400 <= reply.status_code < 500, f"{what}: {reply.status_code} {reply.text[:300]}"
    document = reply.json()
    assert document["code"] != "internal-error", what
    assert document["where"] or document["code"] == "part-missing", what
    return str(document["code"])


@pytest.mark.parametrize("dtype", ["u1", "i2", "f8"])
def test_the_scans_that_are_mutated_are_sound(mutations: ModuleType, dtype: str) -> None:
    recording = read(mutations.sound_scan(dtype, order=">", version=2), chunk_bytes=1 << 20)
    assert recording.n_volumes == mutations.N_VOLUMES
