"""Registers a bundle in copies of a store and kills itself, kill -9, before the n-th commit or after a time.

Called by test_killed_registration.py: BUNDLE, then on standard input one STORE and moment per line: `12` is before the
12th commit, `0.35s` after that time, wherever it then is. It prints one line per pair: how the process ended, 0 if it
got to the end. One parent does it once, in a store of its own, and forks: only the first time is slow.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import event
from sqlalchemy.engine import Engine

from predictor.model.bundle import ModelBundle, load_bundle
from training.log_book.tracking import open_store, start_run
from training.shelf.promotion import Promotion, decide
from training.shelf.promotion_gate import GateCheck
from training.shelf.registry import register_bundle

TAGS = {"cohort_digest": "sha256:c", "config_digest": "sha256:d", "code_version": "1", "primary": "elastic_net"}


def register_and_promote(bundle: ModelBundle, where: str, *, version: int) -> None:
    """Do what `krp train` and `krp promote` do to the shelf; the gate is taken as passed."""
    store = open_store(where)
    with start_run(store, "small-trial", name="small-trial") as run:
        run.tags({"config_digest": "sha256:d"})
        new = register_bundle(replace(bundle, trained_on=60 + version), {}, store=store, run=run, tags=TAGS)
    passed = (GateCheck(1, "all of it", True, "taken as passed"),)
    decide(Promotion(new.name, new.version, passed, new.bundle_digest), store=store)


def _kill_before(n_commits: int) -> None:
    n_seen = 0

    @event.listens_for(Engine, "commit")
    def count(connection: object) -> None:
        nonlocal n_seen
        n_seen += 1
        if n_seen == n_commits:
            os.kill(os.getpid(), signal.SIGKILL)


def _end_of(bundle: ModelBundle, where: str, moment: str) -> int:
    child = os.fork()
    if child == 0:
        if not moment.endswith("s"):
            _kill_before(int(moment))
        register_and_promote(bundle, where, version=2)
        os._exit(0)
    if moment.endswith("s"):
        time.sleep(float(moment.removesuffix("s")))
        os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1]


if __name__ == "__main__":
    found = load_bundle(Path(sys.argv[1]))
    with TemporaryDirectory() as folder:
        register_and_promote(found, f"{folder}/mlruns", version=1)
    for line in sys.stdin:
        sys.stdout.write(f"{_end_of(found, *line.split())}\n")
        sys.stdout.flush()
