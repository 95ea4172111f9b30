"""Folders that belong to nothing: of runs and models that the store does not know, and temporary ones left behind."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from predictor.scratch_folder import is_in_use, purpose_of
from training.log_book.tracking import Store
from training.shelf.registry import knows_model, knows_run

RUN_FOLDER, MODEL_FOLDER = re.compile(r"[0-9a-f]{32}"), re.compile(r"m-[0-9a-f]{32}")
MODELS = "models"  # folder of the logged models, beside those of the runs
# Our temporary folders by purpose: of training, of the service and `krp score`, of reading a visit. They are in use for
# seconds; one that is kept for longer is locked.
PURPOSES = frozenset({"shelf", "log", "read", "report", "ci-check", "bundle", "card", "confounds"})
OLD_S = 3600.0


def artifact_orphans(store: Store) -> Iterator[tuple[Path, str]]:
    """Return the artifact folders whose run or logged model the store does not know, with the reason.

    Only where the artifacts are a folder of this machine; a server looks after its own.
    """
    place = store.address.artifacts
    if place is None or not place.is_dir():
        return
    for experiment in _folders(place):
        for folder in _folders(experiment):
            if RUN_FOLDER.fullmatch(folder.name) and not knows_run(folder.name, store=store):
                yield folder, "files of a run that the store does not know"
        for folder in _folders(experiment / MODELS):
            if MODEL_FOLDER.fullmatch(folder.name) and not knows_model(folder.name, store=store):
                yield folder, "files of a model that the store does not know"


def forgotten_scratch(now_s: float) -> Iterator[Path]:
    """Return our own temporary folders that no process holds, and in which nothing was written for an hour."""
    for folder in _folders(Path(tempfile.gettempdir())):
        if purpose_of(folder) in PURPOSES and _is_forgotten(folder, now_s):
            yield folder


def _is_forgotten(folder: Path, now_s: float) -> bool:
    try:
        if folder.stat().st_uid != os.getuid():
            return False
        written_s = max(path.stat().st_mtime for path in (folder, *folder.rglob("*")))
    except OSError:  # another process has just finished with it, or it is closed to us
        return False
    return now_s - written_s > OLD_S and not is_in_use(folder)


def _folders(place: Path) -> list[Path]:
    """Folders inside a folder, links left out; none where it cannot be read."""
    try:
        with os.scandir(place) as entries:
            return sorted(Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False))
    except OSError:
        return []
