"""`krp train` and `krp promote`, killed (kill -9) at random moments from reading the tables to the alias.

Asked: 100 kills with SQLite and 100 with PostgreSQL; after each one every alias points to a version that verifies and
scores, `krp doctor --repair` clears the rest with no manual step, and in the end every version verifies and scores. All
kills of one database go to the same store, so that each meets what the others left. Half of them come after a random
time, half before a random commit of the database.
`python -m pytest tests/robustness/test_killed_training.py -s`: 2 kills each; KRP_ROBUST=long makes it 100.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest

from predictor.__main__ import main
from predictor.console import emit
from predictor.feature_rows import FeatureRow
from predictor.model.bundle import load_bundle
from predictor.scorer import BundleScorer
from training.log_book.tracking import Store, open_store
from training.shelf.doctor import look_for_litter
from training.shelf.registry import CHAMPION, STATUS, VERIFIED, fetch_verified, versions_of

SCRIPT = Path(__file__).with_name("killed_training.py")
MODEL = "small-study"  # of small_study.py
N_KILLS, N_KILLS_LONG = 2, 100
SECONDS_TO_FIT, SECONDS_FOR_WORKERS = 300, 60


@pytest.fixture
def study(small_study: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with the tables and the experiment, which is the working folder too."""
    small_study.write_study(tmp_path)
    monkeypatch.chdir(tmp_path)  # where tables are, and the files of a database without a folder are kept
    return tmp_path


@pytest.fixture(params=["sqlite", "postgresql"])
def address(request: pytest.FixtureRequest, study: Path) -> str:
    """Return the address of an empty store."""
    return "mlruns" if request.param == "sqlite" else str(request.getfixturevalue("postgresql"))


@dataclass(frozen=True)
class Run:
    """How a run of both commands ended."""

    status: int
    seconds: float
    n_commits: int = 0  # of one that got to its end


@contextmanager
def training(study: Path, where: str) -> Iterator[Callable[[str], Run]]:
    """Lend what trains and promotes once more until a moment, and tells how that process ended."""
    (study / "temporary").mkdir()
    words = [sys.executable, str(SCRIPT), "experiment.toml", MODEL]
    environment = os.environ | {"TMPDIR": str(study / "temporary")}
    with (
        (study / "log").open("w") as log,
        subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, cwd=study, env=environment
        ) as script,
    ):
        asked, told = script.stdin, script.stdout
        assert asked is not None
        assert told is not None

        def train(moment: str) -> Run:
            asked.write(f"{where} {moment}\n")
            asked.flush()
            line = told.readline()
            assert line, (study / "log").read_text()
            return Run(**json.loads(line))

        yield train


def check_aliases(store: Store) -> dict[str, str]:
    """Whatever an alias points at verifies and scores; returns the aliases."""
    aliases = {name: str(one) for name, one in store.client.get_registered_model(MODEL).aliases.items()}
    for version in set(aliases.values()):
        check_scores(store, version)
    return aliases


def check_scores(store: Store, version: str) -> None:
    found = fetch_verified(MODEL, version, store=store)
    assert found.tags[STATUS] == VERIFIED
    place = Path(urlsplit(store.client.get_model_version_download_uri(MODEL, version)).path)
    (folder,) = (path.parent for path in place.rglob("manifest.json"))
    bundle = load_bundle(folder)
    row = FeatureRow(
        "row 1", None, dict.fromkeys(bundle.feature_names, 0.2), {"caps5_total_baseline": 40.0}, None, None
    )
    (answer,) = BundleScorer(bundle).score_rows([row])
    assert answer["status"] in ("ok", "flagged")


def repaired_by_the_doctor(store: Store, where: str, capsys: pytest.CaptureFixture[str]) -> int:
    """Call the doctor as a person would; whatever it finds it repairs, and nothing is left."""
    capsys.readouterr()
    assert main(["doctor", "--repair", "--json", "--quiet", "--store", where]) == 0
    findings = json.loads(capsys.readouterr().out)
    assert look_for_litter(store) == ()
    return len(findings)


def test_killed_at_any_moment_the_shelf_holds_only_what_verifies(
    address: str, study: Path, run_long: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    n_kills, rng = (N_KILLS_LONG if run_long else N_KILLS), np.random.default_rng(0)
    n_killed = n_tried = n_repaired = 0
    with training(study, address) as train:
        store = open_store(address)  # which makes its tables, once
        whole = train("never")
        assert whole.status == 0, (study / "log").read_text()
        while n_killed < n_kills:
            at_commit, at_time = str(rng.integers(1, whole.n_commits + 1)), f"{rng.uniform(0, whole.seconds):.3f}s"
            run = train(at_commit if n_tried % 2 else at_time)
            assert run.status in (0, signal.SIGKILL), (study / "log").read_text()
            whole = whole if run.status else run  # a machine that has less to do by now would end before most moments
            n_killed, n_tried = n_killed + (run.status == signal.SIGKILL), n_tried + 1
            check_aliases(store)  # before anybody repairs
            n_repaired += repaired_by_the_doctor(store, address, capsys)
            aliases = check_aliases(store)
    versions = versions_of(MODEL, store=store)
    assert CHAMPION in aliases
    assert {one.tags.get(STATUS) for one in versions} == {VERIFIED}
    for one in versions:
        check_scores(store, str(one.version))
    with capsys.disabled():
        emit(
            f"{address.partition(':')[0]}: {n_killed} of {n_tried} trainings of {whole.seconds:.1f} s and "
            f"{whole.n_commits} commits killed (asked: {N_KILLS_LONG}), {n_repaired} remains repaired, "
            f"{len(versions)} versions verify and score"
        )


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks at processes as Linux shows them")
def test_killed_while_several_processes_fit_it_leaves_no_process_behind(study: Path) -> None:
    words = [sys.executable, "-m", "predictor", "train", "experiment.toml", "--jobs", "2", "--quiet"]
    words += ["--set", "validation.n_permutations=5000", "--set", "model.n_alphas=50"]
    with (study / "log").open("w") as log, subprocess.Popen(words, cwd=study, stdout=log, stderr=log) as process:
        try:
            workers = wait_for(lambda: below(process.pid), seconds=SECONDS_TO_FIT)
            assert process.poll() is None, (study / "log").read_text()
        finally:
            process.kill()
    begin = time.monotonic()
    wait_for(lambda: not any(is_running(worker) for worker in workers), seconds=SECONDS_FOR_WORKERS)
    emit(f"{len(workers)} processes below a killed training were gone after {time.monotonic() - begin:.1f} s")


def below(pid: int) -> list[int]:
    """Numbers of the processes that a process started, once at least two are there."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in children] if len(children) > 2 else []


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False


def wait_for(look: Callable[[], Any], *, seconds: float) -> Any:
    """Look until something is found."""
    ends = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < ends
        time.sleep(0.05)
    return found
