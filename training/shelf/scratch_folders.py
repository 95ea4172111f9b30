"""Folders that belong to nothing: of runs and models that the store does not know, and temporary ones left behind."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from training.log_book.tracking import Store
from training.shelf.registry import knows_model, knows_run

RUN_FOLDER, MODEL_FOLDER = re.compile(r"[0-9a-f]{32}"), re.compile(r"m-[0-9a-f]{32}")
MODELS = "models"  # folder of the logged models, beside those of the runs
# Temporary folders of training, which are in use for seconds. Those of the service have another name.
SCRATCH = re.compile(r"krp-(shelf|log|read|report)-\w+")
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
    """Return our own temporary folders that nobody has touched for an hour."""
    for folder in _folders(Path(tempfile.gettempdir())):
        if SCRATCH.fullmatch(folder.name) and _is_forgotten(folder, now_s):
            yield folder


def _is_forgotten(folder: Path, now_s: float) -> bool:
    try:
        status = folder.stat()
    except FileNotFoundError:  # another training has just finished with it
        return False
    return status.st_uid == os.getuid() and now_s - status.st_mtime > OLD_S


def _folders(place: Path) -> list[Path]:
    """Folders inside a folder, links left out; none where it cannot be read."""
    try:
        with os.scandir(place) as entries:
            return sorted(Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False))
    except OSError:
        return []
