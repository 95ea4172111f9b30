"""Fixtures for every test."""

from __future__ import annotations

import multiprocessing.util
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

PROJECT = Path(__file__).resolve().parent.parent
SHARED = PROJECT.parent / "shared"
# Servers that tests start would each start eight processes more, which judge answers of language models.
os.environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"


@pytest.fixture(scope="session", autouse=True)
def own_temporary_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep these tests and what they start away from temporary folders that others left, and leave none behind."""
    tmp_path_factory.getbasetemp()  # stays where pytest wants it, to be looked at afterwards
    multiprocessing.util.get_temp_dir()  # here, for Python removes it when these folders are gone
    before = os.environ.get("TMPDIR")
    place = Path(tempfile.mkdtemp(prefix="krp-tests-"))
    place.chmod(0o711)  # the database server belongs to another user
    os.environ["TMPDIR"] = tempfile.tempdir = str(place)
    yield
    tempfile.tempdir = None
    os.environ.pop("TMPDIR")
    os.environ |= {} if before is None else {"TMPDIR": before}
    shutil.rmtree(place, ignore_errors=True)


@pytest.fixture
def rng() -> np.random.Generator:
    """Return a generator with a fixed seed."""
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder of real data and reference numbers beside the project."""
    if not SHARED.is_dir():
        pytest.skip("needs ../shared (real scans and reference numbers), which is not here")
    return SHARED


@pytest.fixture(scope="session")
def project() -> Path:
    """Return the project's root."""
    return PROJECT


@pytest.fixture(scope="session")
def free_port() -> Callable[[], int]:
    """Return what finds a port on loopback that nobody listens on."""

    def find() -> int:
        with socket.socket() as asked:
            asked.bind(("127.0.0.1", 0))
            return int(asked.getsockname()[1])

    return find


@pytest.fixture(scope="session")
def postgresql(free_port: Callable[[], int]) -> Iterator[str]:
    """Lend the address of a PostgreSQL server on loopback, with an empty database; skips where none is installed."""
    programs = postgresql_programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed (no initdb below /usr/lib/postgresql or on the path)")
    place = Path(tempfile.mkdtemp(prefix="krp-postgresql-"))
    # Its server refuses to run as root, and the other user must reach the folder.
    user = ["runuser", "-u", "nobody", "--"] if os.geteuid() == 0 else []
    if user:
        shutil.chown(place, "nobody")
    port = free_port()
    options = f"-c listen_addresses=127.0.0.1 -p {port} -c unix_socket_directories={place} -c fsync=off"
    control = [*user, programs / "pg_ctl", "-D", place / "data", "-s", "-w"]
    initialise = [
        *user,
        programs / "initdb",
        "-D",
        place / "data",
        "-A",
        "trust",
        "-U",
        "krp",
        "-E",
        "UTF8",
        "--no-sync",
    ]
    subprocess.run(initialise, check=True, capture_output=True, cwd=place)
    try:
        subprocess.run([*control, "-l", place / "log", "-o", options, "start"], check=True, cwd=place)
        yield f"postgresql://krp@127.0.0.1:{port}/postgres"
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], check=False, cwd=place)
        shutil.rmtree(place)


def postgresql_programs() -> Path | None:
    """Folder of PostgreSQL's programs, the newest ones; None where it is not installed."""
    installed = [*Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    found = shutil.which("initdb")
    newest = max(installed, key=lambda path: int(path.parts[-3]), default=None)
    return newest.parent if newest else Path(found).resolve().parent if found else None
