"""The last bundle of a registry that was verified, kept on this machine, so that a restart without registry serves on.

It is a copy of the bundle folder beside a note of what the registry said about it. It is verified again, signature
included, whenever it is loaded.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

from serving.model_source import ModelVersion

logger = logging.getLogger(__name__)

BUNDLE = "bundle"
NOTE = "version.json"
UNFINISHED, NEW = ".unfinished-", "new"


@dataclass(frozen=True, slots=True)
class ModelCache:
    """A folder with one bundle per source."""

    folder: Path

    def keep(self, bundle: Path, version: ModelVersion, *, source: str) -> None:
        """Put a verified bundle in place of the one before; a full disk, or a kill meanwhile, leaves that one there."""
        place = self._place_of(source)
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with self._alone(wait=True):
                self._clear_unfinished()
                workspace = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=self.folder))
                try:
                    shutil.copytree(bundle, workspace / NEW / BUNDLE)
                    (workspace / NEW / NOTE).write_text(json.dumps(asdict(version)), encoding="utf-8")
                    if place.exists():
                        os.rename(place, workspace / place.name)
                    os.rename(workspace / NEW, place)
                finally:
                    self._clear_unfinished()
        except OSError as error:
            logger.warning("the bundle was not kept for a restart without registry: %s", error.strerror)

    def last(self, *, source: str) -> tuple[Path, ModelVersion] | None:
        """Return the bundle folder that was kept for a source, and what was said of it; None if there is none.

        What a process that was killed left half written is removed, unless another one is writing now.
        """
        with suppress(OSError), self._alone(wait=False):
            self._clear_unfinished()
        place = self._place_of(source)
        try:
            note = json.loads((place / NOTE).read_text(encoding="utf-8"))
            version = ModelVersion(
                str(note["version"]), is_promoted=note["is_promoted"] is True,
                digest=note["digest"], signature=note["signature"], gate_passed_at=note.get("gate_passed_at"),
            )  # fmt: skip
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return place / BUNDLE, version

    @contextmanager
    def _alone(self, *, wait: bool) -> Iterator[None]:
        """Hold the folder's lock, which ends with its process; several services may share the folder."""
        opened = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            yield
        finally:
            os.close(opened)

    def _clear_unfinished(self) -> None:
        """Remove what nobody writes any more, since whoever wrote it would hold the lock; put back what it replaced."""
        for path in self.folder.glob(f"{UNFINISHED}*"):
            for copy in path.iterdir():
                if copy.name != NEW and not (self.folder / copy.name).exists():
                    os.rename(copy, self.folder / copy.name)
            shutil.rmtree(path, ignore_errors=True)

    def _place_of(self, source: str) -> Path:
        return self.folder / sha256(source.encode()).hexdigest()[:16]
