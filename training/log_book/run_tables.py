"""Runs of a log book in an SQLite file, read without MLflow: a comparison takes a fraction of a second then."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from predictor.errors import TrackingError
from predictor.store_address import store_address
from predictor.store_tables import WORKSPACE, StoreTables, pairs
from training.log_book.logged_run import LoggedRun, check_known

KIND_TAG = "kind"
PARENT_TAG = "mlflow.parentRunId"
AT_A_TIME = 500  # runs, below SQLite's limit of places in a query


@dataclass(frozen=True, slots=True)
class RunTables:
    """A log book for looking things up; what it gives is what MLflow would give (a test compares them).

    Every method raises TrackingError if the database cannot be read.
    """

    tables: StoreTables

    @classmethod
    def of(cls, where: str | Path) -> RunTables | None:
        """Return the log book at an address; None where MLflow has to be asked.

        Raises
        ------
        UsageError
            If the address has no known form.
        """
        tables = StoreTables.of(store_address(where))
        return None if tables is None else cls(tables)

    def find_runs(
        self, *, experiments: Sequence[str] = (), status: str = "FINISHED", kind: str = ""
    ) -> tuple[LoggedRun, ...]:
        """Return the runs of some experiments, newest first; see `training.log_book.tracking.find_runs`.

        Raises
        ------
        ModelUnavailableError
            If the store knows no experiment of that name.
        """
        with _readable():
            name_of = dict(
                self.tables.rows(
                    "SELECT experiment_id, name FROM experiments WHERE lifecycle_stage = 'active' AND workspace = ?",
                    (WORKSPACE,),
                )
            )
            check_known(experiments, name_of.values())
            query = (
                "SELECT runs.run_uuid, runs.experiment_id, runs.name, runs.status, runs.start_time FROM runs "
                "LEFT JOIN tags ON tags.run_uuid = runs.run_uuid AND tags.key = ? "
                "WHERE runs.lifecycle_stage = 'active' AND (? = '' OR runs.status = ?) AND (? = '' OR tags.value = ?) "
                "ORDER BY runs.start_time IS NULL, runs.start_time DESC, runs.run_uuid"
            )
            found = self.tables.rows(query, (KIND_TAG, status, status, kind, kind))
            wanted = {number for number, name in name_of.items() if not experiments or name in experiments}
            found = [row for row in found if row[1] in wanted]
            tags, params, metrics = (self._entries(table, found) for table in ("tags", "params", "latest_metrics"))
        return tuple(
            LoggedRun(
                run_id=run_id,
                experiment=name_of[number],
                name=name or "",
                status=state,
                started_at_s=(start or 0) / 1000,
                parent=tags.get(run_id, {}).get(PARENT_TAG),
                tags=tags.get(run_id, {}),
                params=params.get(run_id, {}),
                metrics=metrics.get(run_id, {}),
            )
            for run_id, number, name, state, start in found
        )

    def find_versions(self) -> dict[str, dict[str, str]]:
        """Return what the registry holds by run; see `training.log_book.tracking.find_versions`."""
        with _readable():
            versions = self.tables.rows(
                "SELECT name, version, run_id FROM model_versions WHERE workspace = ? "
                "ORDER BY last_updated_time DESC, name, version DESC",
                (WORKSPACE,),
            )
            by_name = {name: self.tables.versions(name) for name in {name for name, _, _ in versions}}
            aliases = {name: self.tables.aliases(name) for name in by_name}
        found = {}
        for name, number, run_id in versions:
            tags = by_name[name].get(str(number))
            if tags is None:  # deleted
                continue
            own = sorted(alias for alias, held in aliases[name].items() if held == str(number))
            label = f"{name}/{number}" + (f" ({', '.join(own)})" if own else "")
            found[run_id or ""] = {"label": label, "gate": tags.get("gate", "")}
        return found

    def _entries(self, table: str, runs: Sequence[tuple[str, int, str, str, int]]) -> dict[str, dict[str, Any]]:
        """Return the tags, parameters or last metrics of some runs, by run."""
        value = "CASE is_nan WHEN 1 THEN NULL ELSE value END" if table == "latest_metrics" else "value"
        found: list[tuple[str, str, Any]] = []
        for start in range(0, len(runs), AT_A_TIME):
            ids = [row[0] for row in runs[start : start + AT_A_TIME]]
            places = ", ".join("?" * len(ids))
            found += self.tables.rows(f"SELECT run_uuid, key, {value} FROM {table} WHERE run_uuid IN ({places})", ids)
        if table == "latest_metrics":
            found = [(run_id, key, math.nan if number is None else number) for run_id, key, number in found]
        return pairs(found)


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise TrackingError("the log book's database cannot be read.") from error
