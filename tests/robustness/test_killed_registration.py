"""Training's last steps (log, register, promote), killed (kill -9) at random commits and at random times.

Asked: 100 kills with SQLite and 100 with PostgreSQL; after each one every verified version verifies and scores, every
alias points to a verified version, and `krp doctor --repair` clears the rest with no manual step. All kills of one
database go to the same store, so that each meets what the others left. KRP_ROBUST=long kills 100 times, short 3 times.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from predictor.console import emit
from predictor.feature_rows import FeatureRow
from predictor.model.bundle import load_bundle
from predictor.scorer import BundleScorer
from training.log_book.tracking import Store, open_store
from training.shelf.doctor import look_for_litter, repair
from training.shelf.registry import STATUS, VERIFIED, fetch_verified, versions_of

SCRIPT = Path(__file__).resolve().parents[1] / "training/killed_registration.py"
MODEL = "ketamine-response"
MOST_COMMITS, MOST_SECONDS = 50, 2.0

Register = Callable[[str], int]


@pytest.fixture(params=["sqlite", "postgresql"])
def address(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the address of an empty store."""
    monkeypatch.chdir(tmp_path)  # where the files of a database without a folder are kept
    return "mlruns" if request.param == "sqlite" else str(request.getfixturevalue("postgresql"))


@contextmanager
def registering(bundle_dir: Path, where: str, folder: Path) -> Iterator[Register]:
    """Lend what registers and promotes once more until a moment, and tells how that process ended."""
    folder.mkdir()
    words = [sys.executable, str(SCRIPT), str(bundle_dir)]
    environment = os.environ | {"TMPDIR": str(folder)}
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as script:
        asked, told = script.stdin, script.stdout
        assert asked is not None
        assert told is not None

        def register(moment: str) -> int:
            asked.write(f"{where} {moment}\n")
            asked.flush()
            return int(told.readline())

        yield register


def check_and_repair(store: Store, row: FeatureRow) -> int:
    """Aliases are right before the doctor comes, and nothing is left after it; returns what it repaired."""
    check_aliases(store, row)
    done = repair(look_for_litter(store), store)
    assert all(finding.is_repaired for finding in done), [finding.line() for finding in done]
    assert look_for_litter(store) == ()
    check_aliases(store, row)
    return len(done)


def check_aliases(store: Store, row: FeatureRow) -> None:
    for version in {str(one) for one in store.client.get_registered_model(MODEL).aliases.values()}:
        check_scores(store, version, row)


def check_scores(store: Store, version: str, row: FeatureRow) -> None:
    found = fetch_verified(MODEL, version, store=store)
    assert found.tags[STATUS] == VERIFIED
    uri = store.client.get_model_version_download_uri(MODEL, version)
    (folder,) = (path.parent for path in Path(uri.removeprefix("file://")).rglob("manifest.json"))
    (answer,) = BundleScorer(load_bundle(folder)).score_rows([row])
    assert answer["status"] in ("ok", "flagged")


def test_killed_at_any_moment_the_shelf_holds_only_what_verifies(
    address: str, bundle_dir: Path, make_features: Any, tmp_path: Path, run_long: bool
) -> None:
    n_kills, rng = (100 if run_long else 3), np.random.default_rng(0)
    row = FeatureRow("row 1", None, make_features(0.2), {"caps5_total_baseline": 40.0}, None, None)
    n_killed = n_tried = n_repaired = 0
    with registering(bundle_dir, address, tmp_path / "temporary") as register:
        assert register("1000") == 0
        store = open_store(address)
        while n_killed < n_kills:
            at_commit, at_time = str(rng.integers(1, MOST_COMMITS)), f"{rng.uniform(0, MOST_SECONDS):.3f}s"
            n_killed += register(at_commit if n_tried % 2 else at_time) == signal.SIGKILL
            n_tried += 1
            n_repaired += check_and_repair(store, row)
    whole = [one.version for one in versions_of(MODEL, store=store) if one.tags.get(STATUS) == VERIFIED]
    for version in whole:
        check_scores(store, version, row)
    assert len(whole) == len(versions_of(MODEL, store=store))
    emit(
        f"{address.partition(':')[0]}: {n_killed} of {n_tried} registrations killed (asked: 100), {n_repaired} remains "
        f"repaired, {len(whole)} versions verify and score"
    )
