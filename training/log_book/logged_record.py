"""An experiment's record as the log book holds it, so that its report can be written again."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from predictor.errors import ModelUnavailableError
from training.log_book.experiment_log import RECORD
from training.log_book.tracking import LoggedRun, Store, find_runs, read_document, read_text
from training.multiverse.multiverse_log import latest_multiverse
from training.report.experiment_record import RECORD_SCHEMA, ExperimentRecord

KIND = "experiment"
PREDICTIONS_FILE, CARD_FILE = "out_of_fold_predictions.tsv", "card.json"
RUN_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True, eq=False)
class LoggedRecord:
    """What a finished experiment left in the log book."""

    record: ExperimentRecord
    run_id: str
    previous: tuple[Mapping[str, Any], ...]  # earlier versions of the registered model, as its card tells
    multiverse: Mapping[str, Any] | None  # on the same people and folds; None: none was run


def read_logged_record(store: Store, name: str, *, aggregates_only: bool = False) -> LoggedRecord:
    """Read the record of the latest finished run of an experiment, or of one run.

    Parameters
    ----------
    store
        The log book.
    name
        Name of the experiment, or id of its run.
    aggregates_only
        Leave the out-of-fold predictions where they are.

    Raises
    ------
    ModelUnavailableError
        If there is no such finished run, or it has no record that this version can read.
    """
    run, runs = _run(store, name)
    document = read_document(store, run.run_id, RECORD)
    found = None if document is None else document.get("schema")
    if document is None or found != RECORD_SCHEMA:
        raise ModelUnavailableError(
            f"expected a record of schema {RECORD_SCHEMA} in the run, found {'none' if found is None else found}.",
            where=RECORD,
            remedy="Train the experiment again with this version; its folds and seeds are in the experiment file.",
        )
    predictions = None if aggregates_only else _predictions(store, run, runs)
    card = read_document(store, run.run_id, CARD_FILE) or {}
    digest = str(document["folds"]["digest"])
    return LoggedRecord(
        record=ExperimentRecord(document, predictions),
        run_id=run.run_id,
        previous=tuple(card.get("change_log") or ()),
        multiverse=latest_multiverse(store, run.experiment, splits_digest=digest),
    )


def _run(store: Store, name: str) -> tuple[LoggedRun, tuple[LoggedRun, ...]]:
    """Return the run that is meant, and all finished runs of its experiment."""
    if RUN_ID.fullmatch(name):
        runs = find_runs(store)
        chosen = [run for run in runs if run.run_id == name and run.parent is None]
    else:
        runs = find_runs(store, experiments=[name])
        chosen = [run for run in runs if run.tags.get("kind", KIND) == KIND and run.parent is None]
    if not chosen:
        raise ModelUnavailableError(
            f"the store has no finished run of {name!r}.",
            where="experiment",
            remedy="Run `krp train` with its file first; `krp doctor` tells of runs that were killed.",
        )
    return chosen[0], runs


def _predictions(store: Store, parent: LoggedRun, runs: Sequence[LoggedRun]) -> pd.DataFrame | None:
    """Rows of all models, the model's name in front; None if a run has lost its file."""
    tables = []
    for run in (one for one in runs if one.parent == parent.run_id):
        text = read_text(store, run.run_id, PREDICTIONS_FILE)
        if text is None:
            return None
        table = pd.read_csv(io.StringIO(text), sep="\t", dtype={"participant_id": str}, keep_default_na=False)
        table.insert(0, "model", run.name)
        tables.append(table)
    return pd.concat(tables, ignore_index=True) if tables else None
