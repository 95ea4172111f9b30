"""Registering and promoting, killed (kill -9) before one commit of the database after the other.

Every 9th commit is tried, a different part of the way each; KILL_EVERY=1 in the environment tries them all (a minute).
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from predictor.model.bundle import ModelBundle, save_bundle
from training.log_book.tracking import Store, open_store
from training.shelf.doctor import look_for_litter, repair
from training.shelf.registry import champion_of, fetch_verified

SCRIPT = Path(__file__).with_name("killed_registration.py")
EVERY, MOST_COMMITS = int(os.environ.get("KILL_EVERY", "9")), 60
ADDRESSES = (
    ("experiments", "artifact_location"), ("runs", "artifact_uri"), ("logged_models", "artifact_location"),
    ("model_versions", "storage_location"),
)  # fmt: skip


@pytest.fixture(scope="module")
def bundle_folder(complete_bundle: ModelBundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundle") / "bundle"
    save_bundle(complete_bundle, folder)
    return folder


@pytest.fixture(scope="module")
def template(complete_bundle: ModelBundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a store whose version 1 is champion; copies of it are registered into."""
    folder = tmp_path_factory.mktemp("template") / "mlruns"
    register_and_promote(complete_bundle, str(folder), version=1)
    return folder


def register_and_promote(bundle: ModelBundle, where: str, *, version: int) -> None:
    """Do in this process what the script does in others."""
    spec = importlib.util.spec_from_file_location("killed_registration", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    script.register_and_promote(bundle, where, version=version)


def copy_of(template: Path, folder: Path) -> Path:
    """Copy a store; the addresses in its database move along."""
    shutil.copytree(template, folder)
    with sqlite3.connect(folder / "mlflow.db") as database:
        for table, column in ADDRESSES:
            database.execute(f"update {table} set {column} = replace({column}, ?, ?)", (str(template), str(folder)))
    database.close()
    return folder


@pytest.fixture(scope="module")
def killer(bundle_folder: Path) -> Iterator[Callable[[str, int], int]]:
    """Lend what registers in a store until a commit, and tells how that process ended: 9 killed, 0 at the end."""
    # What the killed ones leave in the temporary folder goes with the test.
    place = os.environ | {"TMPDIR": str(bundle_folder.parent)}
    words = [sys.executable, SCRIPT, bundle_folder]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=bundle_folder.parent, env=place
    ) as script:
        asked, told = script.stdin, script.stdout
        assert asked is not None
        assert told is not None

        def end_of(where: str, number: int) -> int:
            asked.write(f"{where} {number}\n")
            asked.flush()
            return int(told.readline())

        yield end_of


def check_nothing_half_done_is_in_use(store: Store) -> None:
    """Every alias points at a version that is verified, and the doctor repairs what is left."""
    for alias, version in store.client.get_registered_model("small-model").aliases.items():
        assert fetch_verified("small-model", str(version), store=store).version == str(version), alias
    champion = champion_of("small-model", store=store)
    assert all(finding.is_repaired for finding in repair(look_for_litter(store), store))
    assert look_for_litter(store) == ()
    assert champion_of("small-model", store=store) == champion
    assert fetch_verified("small-model", "1", store=store).version == "1"


def test_killed_anywhere_it_leaves_nothing_half_registered_in_use(
    template: Path, killer: Callable[[str, int], int], tmp_path: Path
) -> None:
    numbers = range(1, MOST_COMMITS + 1, EVERY)
    stores = [copy_of(template, tmp_path / str(number)) for number in numbers]
    ends = [killer(str(store), number) for store, number in zip(stores, numbers, strict=True)]
    assert ends[0] == signal.SIGKILL
    assert ends[-1] == 0, "the way has more commits than are tried; raise MOST_COMMITS"
    for folder in stores:
        check_nothing_half_done_is_in_use(open_store(folder))
    champions = [champion_of("small-model", store=open_store(folder)) for folder in stores]
    assert (champions[0], champions[-1]) == ("1", "2")


def test_on_postgresql_the_same_holds(
    postgresql: str,
    complete_bundle: ModelBundle,
    killer: Callable[[str, int], int],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)  # where the files of a database without a folder are kept
    register_and_promote(complete_bundle, postgresql, version=1)
    for number in (12, 25, 38):
        assert killer(postgresql, number) == signal.SIGKILL
        check_nothing_half_done_is_in_use(open_store(postgresql))
