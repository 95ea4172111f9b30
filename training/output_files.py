"""Output folders and files, with the system's refusals as errors that have a name."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from predictor.errors import UsageError

REMEDY = "Name a folder that can be written, on a disk with room."


def make_folder(folder: Path) -> None:
    """Create a folder and those above it, unless it is there.

    Raises
    ------
    UsageError
        If that is not possible: a file is in the way, or the place cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"the output folder cannot be made: {error.strerror}.", where=folder.name, remedy=REMEDY
        ) from error


def check_folder(folder: Path) -> None:
    """Raise what `make_folder` would, and make nothing.

    Raises
    ------
    UsageError
        If a file is in the way, or the place cannot be written.
    """
    place = next(place for place in (folder.absolute(), *folder.absolute().parents) if os.path.exists(place))
    if not place.is_dir():
        raise UsageError("the output folder cannot be made: a file is in the way.", where=folder.name, remedy=REMEDY)
    if not os.access(place, os.W_OK | os.X_OK):
        raise UsageError("the output folder cannot be written.", where=folder.name, remedy=REMEDY)


def write_atomically(path: Path, text: str) -> None:
    """Write a text file so that there is either the old one or the whole new one.

    Raises
    ------
    UsageError
        If the file cannot be written.
    """
    write_bytes_atomically(path, text.encode("utf-8"))


def write_bytes_atomically(path: Path, content: bytes) -> None:
    """Write a file so that there is either the old one or the whole new one.

    Raises
    ------
    UsageError
        If the file cannot be written.
    """
    # Not the process's number: on a shared disk, processes of two machines may have the same.
    partial = path.with_name(f".{path.name}.{secrets.token_hex(8)}.partial")
    try:
        partial.write_bytes(content)
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise UsageError(f"the file cannot be written: {error.strerror}.", where=path.name, remedy=REMEDY) from error
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
