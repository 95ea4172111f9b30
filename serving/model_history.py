"""Which models were served here, in a file of its own, so that nobody brings an older one back unnoticed.

A signature says who made a bundle, not that it is the latest: whoever can write to the registry could point to a model
again that was rightly signed once, and taken back since for its faults.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from predictor.errors import ModelHistoryError, ModelRolledBackError


@dataclass(frozen=True, slots=True)
class ModelHistory:
    """The digests of every model served from each source, the latest last, and the number of the latest."""

    file: Path

    def check(self, version: str, digest: str, *, source: str) -> None:
        """Refuse a model that is older than the one served last.

        Parameters
        ----------
        version
            Its number in the registry; what is no number, such as a folder's, is not compared.
        digest
            Of its manifest.
        source
            Where it comes from: the registry with the alias; all bundle folders are one source.

        Raises
        ------
        ModelRolledBackError
            If its number is lower than the last one's, or another model took its place before.
        ModelHistoryError
            If the file cannot be read.
        """
        served = self._read().get(source)
        if served is None:
            return
        if _number(version) < _number(served["version"]):
            raise ModelRolledBackError(f"expected version {served['version']} or later, found {version}.")
        if digest in served["digests"][:-1]:
            raise ModelRolledBackError(f"another model took the place of {digest[:19]} before.")

    def note(self, version: str, digest: str, *, source: str) -> None:
        """Write down what is about to be served, on the disk before this returns.

        Raises
        ------
        ModelHistoryError
            If the file cannot be read or written; the model must not be served then.
        """
        everything = self._read()
        before = everything.get(source, {"version": version, "digests": []})
        digests = [one for one in before["digests"] if one != digest] + [digest]
        now = {"version": version, "digests": digests}
        if now != before:
            self._write({**everything, source: now})

    def _read(self) -> dict[str, Any]:
        try:
            found = json.loads(self.file.read_bytes())
            return {str(source): _record(one) for source, one in found.items()}
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise ModelHistoryError(f"the file cannot be read: {error.strerror}.") from error
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise ModelHistoryError("expected a history of models as this service writes it.") from error

    def _write(self, everything: Mapping[str, Any]) -> None:
        """Replace the file, whole or not at all."""
        unfinished = self.file.with_name(f".{self.file.name}-{os.getpid()}-unfinished")
        try:
            with unfinished.open("wb") as written:
                written.write(json.dumps(everything, indent=1, sort_keys=True).encode())
                written.flush()
                os.fsync(written.fileno())
            os.replace(unfinished, self.file)
        except OSError as error:
            with suppress(OSError):
                unfinished.unlink()
            raise ModelHistoryError(f"the file cannot be written: {error.strerror}.") from error


def _record(found: Mapping[str, Any]) -> dict[str, Any]:
    return {"version": str(found["version"]), "digests": [str(digest) for digest in found["digests"]]}


def _number(version: str) -> int:
    return int(version) if version.isdecimal() and version.isascii() else 0
