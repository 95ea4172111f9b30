"""Mutated tables and side-cars: every one is a named error or a valid result, in process and through HTTP.

`python -m pytest tests/robustness/test_malformed_tables.py -s`: 30 tables of each of five kinds in process and 6 each
through HTTP; KRP_ROBUST=long makes it 600 and 400. Times and memory are printed beside what is asked.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pandas as pd
import pytest

from predictor.circuit.circuit import load_circuit
from predictor.console import emit
from predictor.errors import PredictorError, one_error
from predictor.model.answer import answer_bytes
from predictor.pipeline import score_session
from predictor.scan.region_signals import RegionReader, RegionRecording
from predictor.scan.session import BaselineSession, build_run
from predictor.scan.task_description import load_task_description
from serving.feature_rows import read_feature_rows, score_rows
from serving.model_store import ModelStore

SPACE = "MNI152NLin2009cAsym"
N_VOLUMES, MAX_ROWS = 150, 5_000
KINDS = ("confounds", "events", "sidecar", "confounds_sidecar", "features")
ASKED_S, ASKED_MB = 2.0, 300.0


@pytest.fixture(scope="module")
def scan(mutations: ModuleType) -> bytes:
    """Return a faces run without faults."""
    return bytes(mutations.sound_scan(n_volumes=N_VOLUMES))


@pytest.fixture(scope="module")
def recording(scan: bytes) -> RegionRecording:
    """Return the region signals of the faces run."""
    reader = RegionReader(load_circuit(), declared_space=SPACE)
    reader.feed(scan)
    return reader.finish()


@pytest.fixture(scope="module")
def sound(visit: Mapping[str, tuple[str, bytes]], store: ModelStore) -> dict[str, bytes]:
    """Return a table of each kind without faults."""
    bundle = store.current().bundle
    columns: dict[str, Any] = {
        "participant_id": [f"sub-{number:02d}" for number in range(4)],
        "caps5_total_baseline": [40.0, 41.0, 42.0, 43.0],
        "site": ["A", "B", "n/a", "D"],
        "sex": ["female", "male", "female", ""],
        **{name: [0.1, -0.2, 0.3, 0.05] for name in bundle.feature_names},
        "recipe_hash": [bundle.recipe_hashes[0]] * 4,
    }
    tables = {kind: visit[f"faces_{kind}"][1] for kind in ("confounds", "events", "sidecar")}
    sidecar = {f"a_comp_cor_{number:02d}": {"CumulativeVarianceExplained": 0.1 * number} for number in range(3)}
    tables["confounds_sidecar"] = json.dumps(sidecar).encode()
    return tables | {"features": pd.DataFrame(columns).to_csv(sep="\t", index=False).encode()}


def score(kind: str, content: bytes, sound: Mapping[str, bytes], recording: RegionRecording, store: ModelStore) -> str:
    """Score one visit with this table; return the answer's status."""
    model = store.current()
    if kind == "features":
        rows, faults = read_feature_rows(content, model.bundle, max_rows=MAX_ROWS)
        answers, more = score_rows(rows, model)
        if faults or more:
            raise one_error([*faults, *more])
        return str(json.loads(answers[0] or b"null")["status"])
    tables = dict(sound) | {kind: content}
    run = build_run(
        "faces",
        recording,
        confounds_tsv=tables["confounds"],
        confounds_sidecar=tables["confounds_sidecar"],
        sidecar=tables["sidecar"],
        events_tsv=tables["events"],
        tasks=load_task_description(),
    )
    answer = score_session(BaselineSession((run,)), {}, model.bundle, promoted=True)
    return str(json.loads(answer_bytes(answer))["status"])


def mutated(mutations: ModuleType, kind: str, n: int, sound: Mapping[str, bytes], *, seed: int) -> Iterator[Any]:
    """Yield mutants of one kind of table or side-car."""
    make = mutations.mutated_documents if kind.endswith("sidecar") else mutations.mutated_tables
    yield from make(n, sound=sound[kind], seed=seed)


@pytest.mark.parametrize("kind", KINDS)
def test_every_mutated_table_is_a_named_error_or_a_valid_answer(
    kind: str,
    mutations: ModuleType,
    sound: Mapping[str, bytes],
    recording: RegionRecording,
    store: ModelStore,
    run_long: bool,
    measure_memory: Any,
) -> None:
    n_tables = 600 if run_long else 30
    assert score(kind, sound[kind], sound, recording, store) in ("ok", "flagged", "refused")
    found: Counter[str] = Counter()
    unhandled: list[str] = []
    slowest_s = 0.0
    with measure_memory() as peak_mb:
        for number, mutant in enumerate(mutated(mutations, kind, n_tables, sound, seed=KINDS.index(kind))):
            begin = time.perf_counter()
            try:
                found[score(kind, mutant.content, sound, recording, store)] += 1
            except PredictorError as error:
                found[error.code] += 1
            except Exception as error:  # the very thing that is looked for
                unhandled.append(f"table {number}, {mutant.what}: {error!r}")
            slowest_s = max(slowest_s, time.perf_counter() - begin)
    emit(f"\n{n_tables} mutated {kind} in process: {dict(found.most_common())}")
    emit(f"slowest {slowest_s:.2f} s (asked {ASKED_S:g}); memory +{peak_mb():.0f} MB (asked {ASKED_MB:g})")
    assert unhandled == []
    assert sum(found.values()) == n_tables
    assert peak_mb() <= ASKED_MB


def test_every_mutated_table_is_a_4xx_or_an_answer_over_http(
    mutations: ModuleType,
    sound: Mapping[str, bytes],
    scan: bytes,
    run_long: bool,
    measure_memory: Any,
    service_process: Callable[..., Any],
    bundle_dir: Path,
) -> None:
    n_tables = 400 if run_long else 6
    found: Counter[str] = Counter()
    slowest_s = 0.0
    with service_process("--bundle", bundle_dir) as service, service.client() as client:
        send(client, "events", sound["events"], sound, scan)
        with measure_memory(service.process.pid) as peak_mb:
            for kind in KINDS:
                for mutant in mutated(mutations, kind, n_tables, sound, seed=20 + KINDS.index(kind)):
                    begin = time.perf_counter()
                    reply = send(client, kind, mutant.content, sound, scan)
                    slowest_s = max(slowest_s, time.perf_counter() - begin)
                    assert reply.status_code < 500, f"{kind}, {mutant.what}: {reply.text[:300]}"
                    found[str(reply.status_code)] += 1
            risen_mb = peak_mb()
        assert client.get("/health/ready").status_code == 200
        assert "Traceback" not in service.log.read_text()
    emit(f"\n{n_tables * len(KINDS)} tables over HTTP, by status: {dict(found.most_common())}")
    emit(f"slowest {slowest_s:.2f} s (asked {ASKED_S:g}); memory +{risen_mb:.0f} MB (asked {ASKED_MB:g})")
    assert risen_mb <= ASKED_MB


def send(client: httpx.Client, kind: str, content: bytes, sound: Mapping[str, bytes], scan: bytes) -> httpx.Response:
    """Upload a visit, or a table of features on its page, with one table replaced."""
    if kind == "features":
        return client.post("/table", files={"table": ("table.tsv", content)})
    tables = {name: table for name, table in sound.items() if name != "features"} | {kind: content}
    parts = {f"faces_{name}": (f"{name}.tsv", table) for name, table in tables.items()}
    file_name = f"sub-01_task-faces_space-{SPACE}_desc-preproc_bold.nii"
    return client.post("/v1/scans", files={"faces": (file_name, scan), **parts})
