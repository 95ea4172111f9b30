"""Runs `krp train` and then `krp promote` in forked processes, and kills each, kill -9, at a moment.

Called by test_killed_training.py: EXPERIMENT.toml MODEL, then on standard input one STORE and moment per line: `12` is
before the 12th commit of the database, `0.35s` after that time, `never` not at all. It prints one line of JSON per
line: the status the process ended with, its seconds, and, where it got to the end, its commits. One parent trains once,
into a store of its own, so that a kill costs the seconds of the training and not those of imports and compilation.
"""

from __future__ import annotations

import json
import math
import os
import signal
import sys
import time
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryDirectory

from sqlalchemy import event
from sqlalchemy.engine import Engine

from predictor.__main__ import main


def train_and_promote(experiment: str, model: str, store: str) -> int:
    """Do what a person types; returns the exit code of the command that failed, else 0."""
    for words in (["train", experiment, "--jobs", "1"], ["promote", f"{model}/candidate"]):
        code = main([*words, "--store", store, "--quiet"])
        if code:
            return code
    return 0


def _count_commits(until: int | None) -> list[int]:
    n_seen = [0]

    @event.listens_for(Engine, "commit")
    def count(connection: object) -> None:
        n_seen[0] += 1
        if n_seen[0] == until:
            os.kill(os.getpid(), signal.SIGKILL)

    return n_seen


def _run_in_child(experiment: str, model: str, store: str, moment: str, note: Path) -> tuple[int, float]:
    begin = time.monotonic()
    child = os.fork()
    if child == 0:
        n_commits = _count_commits(int(moment) if moment.isdigit() else None)
        code = train_and_promote(experiment, model, store)
        note.write_text(str(n_commits[0]))
        os._exit(code)
    status = _wait(child, float(moment.removesuffix("s")) if moment.endswith("s") else math.inf)
    return status, time.monotonic() - begin


def _wait(child: int, patience_s: float) -> int:
    """Return the status with which a child ended, by itself or because it was killed after that time."""
    ends = time.monotonic() + patience_s
    while time.monotonic() < ends:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return status
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1]


def serve(experiment: str, model: str) -> None:
    """Answer line by line."""
    screen = os.dup(1)
    os.dup2(2, 1)  # what the commands print goes to standard error
    with TemporaryDirectory() as folder:
        code = train_and_promote(experiment, model, f"{folder}/mlruns")
        assert code == 0, f"the experiment ends with exit code {code} even without a kill"
    with NamedTemporaryFile() as file:
        note = Path(file.name)
        for line in sys.stdin:
            store, moment = line.split()
            note.write_text("0")
            status, seconds = _run_in_child(experiment, model, store, moment, note)
            told = {"status": status, "seconds": seconds, "n_commits": int(note.read_text())}
            os.write(screen, (json.dumps(told) + "\n").encode())


if __name__ == "__main__":
    serve(*sys.argv[1:3])
