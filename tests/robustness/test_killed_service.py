"""The serving process, killed (kill -9) at random moments while visits are uploaded and answers are kept.

Asked: 50 kills; after each one the audit chain verifies, the service is ready again within 5 s, nothing is half kept,
and whatever a caller was told is kept is found again. KRP_ROBUST=long kills 50 times, short twice.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from predictor.__main__ import main
from predictor.console import emit

SECONDS_ASKED = 5
PIECE = 64 * 1024


@dataclass
class Callers:
    """What the callers sent and were told, over all lives of the service."""

    kept: dict[str, bytes] = field(default_factory=dict)  # id -> the answer as it was received
    n_broken: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, envelope: dict[str, Any]) -> None:
        with self.lock:
            self.kept[envelope["id"]] = json.dumps(envelope["answer"], sort_keys=True).encode()


def ask_until(is_over: threading.Event, url: str, callers: Callers, send: Callable[[httpx.Client], None]) -> None:
    """Send again and again; a broken connection is what a killed service looks like."""
    with httpx.Client(base_url=url, timeout=20, verify=False, trust_env=False) as client:
        while not is_over.is_set():
            try:
                send(client)
            except httpx.TransportError:
                callers.n_broken += 1
                time.sleep(0.05)


def slowly(content: bytes) -> Iterator[bytes]:
    """Hand over a body in small pieces, so that kills meet uploads at every stage."""
    for start in range(0, len(content), PIECE):
        yield content[start : start + PIECE]
        time.sleep(0.01)


@pytest.fixture
def senders(visit: Any, make_features: Any) -> Callable[[Callers], list[Callable[[httpx.Client], None]]]:
    """Return what one caller each does: keep answers to features, keep answers to visits, delete."""
    rows = {"rows": [{"features": make_features(0.2), "covariates": {"caps5_total_baseline": 40}}] * 3}
    parts = {name: visit[name] for name in visit if name.startswith("rest")}
    covariates = {"covariates": json.dumps({"caps5_total_baseline": 40})}
    upload = httpx.Request("POST", "http://127.0.0.1/", files=parts, data=covariates)
    body, content_type = upload.read(), upload.headers["content-type"]

    def make(callers: Callers) -> list[Callable[[httpx.Client], None]]:
        def keep_rows(client: httpx.Client) -> None:
            reply = client.post("/v1/predictions?keep=true", json=rows)
            if reply.status_code == 200:
                for envelope in reply.json()["predictions"]:
                    callers.note(envelope)

        def keep_visit(client: httpx.Client) -> None:
            headers = {"content-type": content_type, "content-length": str(len(body))}
            reply = client.post("/v1/scans?keep=true", content=slowly(body), headers=headers)
            if reply.status_code == 200:
                callers.note(reply.json())

        return [keep_rows, keep_rows, keep_visit, keep_visit]

    return make


def verify_chain(database: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """Run `krp audit-log verify` as an administrator would, but without the seconds of a process of its own."""
    capsys.readouterr()
    code = main(["audit-log", "verify", "--json", "--quiet", "--database-url", f"sqlite:///{database}"])
    shown = capsys.readouterr()
    assert code == 0, shown.out + shown.err
    return dict(json.loads(shown.out))


def check_what_is_kept(client: httpx.Client, callers: Callers) -> int:
    """All that is listed is whole, in the audit log and, if scored, can be drawn; returns how many there are."""
    listed = client.get("/v1/results").json()["results"]
    audited, after = set(), 0
    while entries := client.get(f"/v1/audit?after={after}&limit=1000").json()["entries"]:
        audited |= {entry["output_digest"] for entry in entries}
        after = entries[-1]["sequence"]
    found: dict[str, bytes] = {}
    for one in listed:
        reply = client.get(f"/v1/results/{one['id']}")
        assert reply.status_code == 200
        answer = reply.content.partition(b'"answer": ')[2][:-1]
        assert "sha256:" + hashlib.sha256(answer).hexdigest() in audited
        found[one["id"]] = json.dumps(json.loads(answer), sort_keys=True).encode()
    lost = callers.kept.keys() - found.keys()
    assert not lost, f"{len(lost)} answers were kept by what the callers were told, and are gone"
    assert all(found[name] == body for name, body in callers.kept.items())
    for name in list(found)[:2]:
        is_refused = json.loads(found[name])["status"] == "refused"  # then there is nothing to draw
        assert client.get(f"/v1/explanations/{name}").status_code == (409 if is_refused else 200)
    return len(listed)


def test_killed_at_any_moment_it_loses_nothing_that_it_promised(
    service_process: Any,
    senders: Any,
    bundle_dir: Path,
    tmp_path: Path,
    run_long: bool,
    capsys: pytest.CaptureFixture[str],
) -> None:
    n_kills, rng = (50 if run_long else 2), np.random.default_rng(0)
    callers, ready, computed, intact = Callers(), [], [], None
    settings = {"results_kept_hours": 24, "max_results_per_owner": 100_000}
    for _ in range(n_kills):
        with service_process("--bundle", bundle_dir, **settings) as service:
            ready.append(service.ready_s)
            computed.append(service.ready_cpu_s)
            with service.client() as client:
                check_what_is_kept(client, callers)
            is_over = threading.Event()
            threads = [
                threading.Thread(target=ask_until, args=(is_over, service.url, callers, send))
                for send in senders(callers)
            ]
            for thread in threads:
                thread.start()
            time.sleep(rng.uniform(0.0, 2.5))
            service.kill()
            is_over.set()
            for thread in threads:
                thread.join()
        intact = verify_chain(tmp_path / "service.db", capsys)
    with service_process("--bundle", bundle_dir, **settings) as service, service.client() as client:
        ready.append(service.ready_s)
        n_kept = check_what_is_kept(client, callers)
    assert callers.n_broken
    assert intact is not None
    left = sorted(path.name for path in tmp_path.iterdir())
    assert set(left) <= {"service.db", "service.db-wal", "service.db-shm", "service.log", "served"}
    with capsys.disabled():
        emit(
            f"{n_kills} kills: {len(callers.kept)} answers promised to be kept, {n_kept} found, {callers.n_broken} "
            "connections cut, chain intact "
            f"each time; ready after {np.median(ready):.1f} s, at most {max(ready):.1f} s, of them "
            f"{np.median(computed):.1f} s computing (asked: {SECONDS_ASKED} s)"
        )
