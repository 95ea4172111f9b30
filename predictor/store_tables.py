"""An MLflow store in an SQLite file, read without MLflow, whose import alone takes seconds.

Commands that only look something up, and the start of the service, need a few rows of a database that lies beside them.
Its tables are MLflow's own matter, so they are read only where their schema is the one that was checked: that of the
MLflow version in the requirements. Of any other store, `StoreTables.of` gives None, and MLflow is asked.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from predictor.store_address import StoreAddress

# `alembic_version` of MLflow 3.17; a test holds it against the installed MLflow.
SCHEMA = "dc11669786a5"
# Without a server MLflow knows one workspace.
WORKSPACE = "default"
_DELETED = "Deleted_Internal"  # stage of a version that was deleted


@dataclass(frozen=True, slots=True)
class StoreTables:
    """The tables of one store. Every method raises sqlite3.Error if the file cannot be read (any more)."""

    database: Path

    @classmethod
    def of(cls, address: StoreAddress) -> StoreTables | None:
        """Return the tables behind an address; None where MLflow has to be asked."""
        if address.database is None or not address.database.is_file():
            return None
        tables = cls(address.database.resolve())
        try:
            found = tables.rows("SELECT version_num FROM alembic_version")
        except sqlite3.Error:
            return None
        return tables if found == [(SCHEMA,)] else None

    def rows(self, query: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Return what a query finds. The file is opened for reading, and nothing stays open."""
        uri = f"file:{quote(self.database.as_posix())}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True)) as connection:
            return connection.execute(query, parameters).fetchall()

    def aliases(self, name: str) -> dict[str, str]:
        """Version by alias of a registered model; empty if there is none of this name."""
        query = "SELECT alias, version FROM registered_model_aliases WHERE workspace = ? AND name = ?"
        return {alias: str(version) for alias, version in self.rows(query, (WORKSPACE, name))}

    def versions(self, name: str) -> dict[str, dict[str, str]]:
        """Tags of every version of a registered model, by version, the newest first."""
        numbers = self.rows(
            "SELECT version FROM model_versions WHERE workspace = ? AND name = ? AND current_stage != ? "
            "ORDER BY version DESC",
            (WORKSPACE, name, _DELETED),
        )
        found: dict[str, dict[str, str]] = {str(number): {} for (number,) in numbers}
        query = "SELECT version, key, value FROM model_version_tags WHERE workspace = ? AND name = ?"
        for number, key, value in self.rows(query, (WORKSPACE, name)):
            if str(number) in found:
                found[str(number)][key] = value
        return found

    def tags(self, name: str, number: str) -> dict[str, str] | None:
        """Tags of one version of a registered model; None if there is no such version."""
        return self.versions(name).get(number)

    def place_of(self, name: str, number: str) -> Path | None:
        """Return the folder that holds a version's files; None if they lie elsewhere than on this machine's disks."""
        query = (
            "SELECT storage_location, source FROM model_versions WHERE workspace = ? AND name = ? AND version = ? "
            "AND current_stage != ?"
        )
        for location, source in self.rows(query, (WORKSPACE, name, int(number), _DELETED)):
            parts = urlsplit(location or source)
            if parts.scheme == "file" and parts.netloc in ("", "localhost"):
                return Path(unquote(parts.path))
        return None

    def copy(self, name: str, number: str, folder: Path, *, part: str = "") -> Path | None:
        """Copy a version's files, or one of them, below `folder`; None if they lie elsewhere.

        Raises
        ------
        OSError
            If they are not there, or cannot be copied.
        """
        place = self.place_of(name, number)
        if place is None:
            return None
        target = folder / (part or "files")
        target.parent.mkdir(parents=True, exist_ok=True)
        if part:
            return Path(shutil.copyfile(place / part, target))
        return Path(shutil.copytree(place, target))


def pairs(rows: Sequence[tuple[str, str, Any]]) -> dict[str, dict[str, Any]]:
    """Put rows of (owner, key, value) together by owner."""
    found: dict[str, dict[str, Any]] = {}
    for owner, key, value in rows:
        found.setdefault(owner, {})[key] = value
    return found
