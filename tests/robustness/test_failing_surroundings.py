"""What the service needs goes away while it runs: the disk is full, a folder read-only, the database gone.

Asked: a clear error, the old model goes on, nothing corrupt. Full and read-only disks are real ones (tmpfs) where root
may mount them; elsewhere a limit of the file size stands in for the full disk. The registry has a module of its own.
"""

from __future__ import annotations

import os
import resource
import shlex
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from predictor.__main__ import main
from predictor.errors import ModelHistoryError
from serving.model_cache import ModelCache
from serving.model_history import ModelHistory
from serving.model_source import BundleFolder, ListedModel, ModelVersion
from serving.model_store import ModelStore

KIB = 1024
MOST_REQUESTS = 2_000
SECONDS_TO_COME_BACK = 20


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Return a file system of one MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(place)]
    if shutil.which("mount") is None or subprocess.run(words, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a small disk")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(ballast: Path) -> None:
    """Write until nothing more fits."""
    with suppress(OSError), ballast.open("wb", buffering=0) as file:
        while file.write(bytes(KIB)):
            pass


@pytest.fixture
def body(make_features: Any) -> dict[str, Any]:
    return {"rows": [{"features": make_features(0.2), "covariates": {"caps5_total_baseline": 40}}] * 5}


def answers_on(client: httpx.Client, body: dict[str, Any]) -> bool:
    return client.post("/v1/predictions", json=body).status_code == 200


def fill_until_refused(client: httpx.Client, body: dict[str, Any]) -> tuple[httpx.Response, int]:
    """Keep answers until one cannot be kept; returns that reply and how many answers were kept."""
    n_kept = 0
    for _ in range(MOST_REQUESTS):
        reply = client.post("/v1/predictions?keep=true", json=body)
        if reply.status_code != 200:
            return reply, n_kept
        n_kept += len(body["rows"])
    raise AssertionError("the disk never became full")


def check_refused_clearly(client: httpx.Client, reply: httpx.Response, place: Path) -> None:
    assert reply.status_code == 503
    assert reply.headers["content-type"] == "application/problem+json"
    problem = reply.json()
    assert problem["code"] in ("audit-unavailable", "database-unavailable")
    assert problem["remedy"]
    assert str(place) not in reply.text
    assert client.get("/health/live").status_code == 200
    assert client.get("/v1/models/current").status_code == 200


def check_chain(database: Path) -> None:
    check_audit_log(f"sqlite:///{database}")
    with sqlite3.connect(database) as opened:
        assert opened.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    opened.close()


def check_audit_log(url: str) -> None:
    """Verify it as an administrator does, but without the seconds of a process of its own."""
    assert main(["audit-log", "verify", "--quiet", "--database-url", url]) == 0


def test_a_full_disk_refuses_clearly_and_the_service_goes_on_once_there_is_room(
    service_process: Any, bundle_dir: Path, small_disk: Path, body: dict[str, Any]
) -> None:
    database, ballast = small_disk / "service.db", small_disk / "ballast"
    with service_process("--bundle", bundle_dir, database_url=f"sqlite:///{database}") as service:
        with service.client() as client:
            assert answers_on(client, body)
            ballast.write_bytes(bytes(200 * KIB))
            reply, n_kept = fill_until_refused(client, body)
            check_refused_clearly(client, reply, small_disk)
            ballast.unlink()
            assert answers_on(client, body)
            assert len(client.get("/v1/results").json()["results"]) == n_kept
        assert "Traceback" not in service.log.read_text()
    check_chain(database)


def test_a_limit_of_the_file_size_refuses_clearly_and_leaves_a_sound_database(
    service_process: Any, bundle_dir: Path, tmp_path: Path, body: dict[str, Any]
) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (400 * KIB, 400 * KIB))

    with service_process("--bundle", bundle_dir, before=limit) as service, service.client() as client:
        reply, _ = fill_until_refused(client, body)
        check_refused_clearly(client, reply, tmp_path)
    check_chain(tmp_path / "service.db")
    with service_process("--bundle", bundle_dir) as service, service.client() as client:
        assert answers_on(client, body)


def test_a_read_only_folder_is_told_at_the_start(
    bundle_dir: Path, small_disk: Path, free_port: Callable[[], int], tmp_path: Path
) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    environment = os.environ | {"KRP_DATABASE_URL": f"sqlite:///{small_disk}/service.db"}
    words = [sys.executable, "-m", "predictor", "serve", "--bundle", str(bundle_dir), "--port", str(free_port())]
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 3
    assert "database-unavailable" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_database_that_is_gone_and_comes_back(
    service_process: Any, bundle_dir: Path, tmp_path: Path, body: dict[str, Any]
) -> None:
    database, away = tmp_path / "service.db", tmp_path / "away"
    files = [Path(f"{database}{end}") for end in ("", "-wal", "-shm")]
    away.mkdir()
    with service_process("--bundle", bundle_dir) as service, service.client() as client:
        assert answers_on(client, body)
        for file in files:
            file.rename(away / file.name)
        check_refused_clearly(client, client.post("/v1/predictions", json=body), tmp_path)
        assert not database.exists()
        for file in files:
            (away / file.name).rename(file)
        assert answers_on(client, body)
    check_chain(database)


@pytest.fixture
def postgresql_switch(postgresql: str) -> Iterator[Callable[[str], None]]:
    """Return what stops the database server at once, and starts it again; it runs when the test ends."""
    with psycopg.connect(postgresql) as connection:
        found = connection.execute("SHOW data_directory").fetchone()
    assert found is not None
    data = Path(found[0])
    program, *options = shlex.split((data / "postmaster.opts").read_text())
    user = ["runuser", "-u", "nobody", "--"] if os.geteuid() == 0 else []
    control = [*user, str(Path(program).with_name("pg_ctl")), "-D", str(data), "-s", "-w"]
    given = " ".join(options[options.index("-D") + 2 :] if "-D" in options else options)

    def switch(how: str) -> None:
        words = ["-m", "immediate", "stop"] if how == "off" else ["-l", str(data.parent / "log"), "-o", given, "start"]
        subprocess.run([*control, *words], check=True, cwd=data.parent)

    yield switch
    with suppress(subprocess.CalledProcessError):
        switch("on")


def test_a_postgresql_server_that_is_gone_and_comes_back(
    service_process: Any,
    bundle_dir: Path,
    tmp_path: Path,
    body: dict[str, Any],
    postgresql: str,
    postgresql_switch: Callable[[str], None],
) -> None:
    with service_process("--bundle", bundle_dir, database_url=postgresql) as service, service.client() as client:
        kept = client.post("/v1/predictions?keep=true", json=body).json()["predictions"][0]["id"]
        postgresql_switch("off")
        check_refused_clearly(client, client.post("/v1/predictions", json=body), tmp_path)
        postgresql_switch("on")
        ends = time.monotonic() + SECONDS_TO_COME_BACK
        while not answers_on(client, body):
            assert time.monotonic() < ends
        assert client.get(f"/v1/results/{kept}").status_code == 200
        assert "Traceback" not in service.log.read_text()
    check_audit_log(postgresql)


def test_the_old_model_answers_while_its_source_is_gone_or_damaged(
    service_process: Any, bundle_dir: Path, tmp_path: Path, body: dict[str, Any]
) -> None:
    folder = Path(shutil.copytree(bundle_dir, tmp_path / "bundle"))
    with service_process("--bundle", folder, refresh_s=0.2) as service, service.client() as client:
        digest = client.get("/v1/models/current").json()["digest"]
        for harm in (lambda: (folder / "card.json").write_bytes(b"{}"), lambda: shutil.rmtree(folder)):
            harm()
            time.sleep(0.6)
            assert answers_on(client, body)
            assert client.get("/v1/models/current").json()["digest"] == digest


class Shelf:
    """A registry of one version."""

    shown = "a registry"

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def find(self) -> ModelVersion:
        return ModelVersion("1", is_promoted=True)

    def fetch(self, version: ModelVersion, folder: Path) -> Path:
        return self.folder

    def listed(self) -> list[ListedModel]:
        return []


def test_a_full_disk_costs_the_copy_of_the_model_but_not_the_model(bundle_dir: Path, small_disk: Path) -> None:
    fill(small_disk / "ballast")
    cache = ModelCache(small_disk / "served")
    assert ModelStore(Shelf(bundle_dir), cache=cache).refresh()
    assert cache.last(source=Shelf.shown) is None
    assert not list(small_disk.rglob(".unfinished-*"))


def test_a_full_disk_takes_no_new_model_where_what_was_served_must_be_written_down(
    bundle_dir: Path, small_disk: Path
) -> None:
    history = ModelHistory(small_disk / "models.json")
    history.note("bundle", "sha256:1", source="BundleFolder")
    before = history.file.read_bytes()
    fill(small_disk / "ballast")
    with pytest.raises(ModelHistoryError, match="No space"):
        ModelStore(BundleFolder(bundle_dir), history=history).refresh()
    assert history.file.read_bytes() == before
    assert sorted(os.listdir(small_disk)) == ["ballast", "models.json"]
