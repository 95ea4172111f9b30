"""Temporary folders that a stranger can tell apart: by their name whose they are, by a lock whether they are in use.

The lock ends with its process, however that ends: what a killed process left is in nobody's way, and `krp doctor` may
remove it. See `training.shelf.scratch_folders`.
"""

from __future__ import annotations

import atexit
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

try:
    import fcntl
except ImportError:  # Windows: nobody can tell there, so every folder counts as in use
    fcntl = None  # type: ignore[assignment]

_NAME: Final = re.compile(r"krp-(?P<purpose>[a-z]+(?:-[a-z]+)*)-\w+")


@contextmanager
def scratch_folder(purpose: str) -> Iterator[Path]:
    """Lend a new temporary folder, `krp-<purpose>-...`, that is removed afterwards.

    Examples
    --------
    >>> with scratch_folder("bundle") as folder:
    ...     purpose_of(folder), is_in_use(folder)
    ('bundle', True)
    """
    with tempfile.TemporaryDirectory(prefix=f"krp-{purpose}-") as name:
        lock = _locked(Path(name))
        try:
            yield Path(name)
        finally:
            _unlock(lock)


def scratch_folder_until_exit(purpose: str) -> Path:
    """Return a new temporary folder that is removed when the process ends."""
    folder = Path(tempfile.mkdtemp(prefix=f"krp-{purpose}-"))
    _locked(folder)  # for as long as the process lives
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def purpose_of(folder: Path) -> str:
    """Return what a folder was made for, by its name; empty if it is none of ours."""
    found = _NAME.fullmatch(folder.name)
    return found["purpose"] if found else ""


def is_in_use(folder: Path) -> bool:
    """Whether a process holds the folder, or that cannot be found out."""
    try:
        lock = os.open(folder, os.O_RDONLY)
    except OSError:
        return True
    try:
        return not _lock(lock)
    finally:
        os.close(lock)


def _locked(folder: Path) -> int | None:
    """Hold a folder; None where the system cannot."""
    if fcntl is None:
        return None
    opened = os.open(folder, os.O_RDONLY)
    _lock(opened)
    return opened


def _unlock(lock: int | None) -> None:
    if lock is not None:
        with suppress(OSError):
            os.close(lock)


def _lock(opened: int) -> bool:
    """Try to take the lock of an open folder; whoever cannot have it is told so at once."""
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (OSError, AttributeError):
        return False
    return True
