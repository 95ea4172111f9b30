"""A multiverse in the log book: one parent run, one child run per universe; nothing is registered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from training.log_book.experiment_log import code_version
from training.log_book.tracking import RunLog, Store, document_text, find_runs, read_document, start_run, table_text
from training.multiverse.multiverse import MultiverseResult
from training.report.specification_curve import specification_curve

KIND, UNIVERSE_KIND = "multiverse", "universe"
DOCUMENT, TABLE, FIGURE = "multiverse.json", "universes.tsv", "specification_curve.svg"
METRICS = ("r2", "r2_lower", "r2_upper", "mae", "baseline_r2", "gain", "gain_lower", "gain_upper")


def log_multiverse(store: Store, result: MultiverseResult, document: Mapping[str, Any]) -> str:
    """Write a finished multiverse down; returns the parent's run id.

    Raises
    ------
    TrackingError
        If the store does not take it.
    """
    config = result.plan.config
    with start_run(store, config.name, name=KIND, kind=KIND) as log:
        log.tags(
            {
                "config_digest": config.digest,
                "code_version": code_version(),
                "splits_digest": result.manifest.digest,
                "registered_universe": result.registered.universe.label,
                "research_use_only": "yes",
                "synthetic": "yes" if document["is_synthetic"] else "no",
            }
        )
        log.params({"outcome": result.outcome.name, "n_participants": document["n_participants"]})
        log.metrics({name: float(value) for name, value in document["summary"].items()})
        log.files(
            {
                "experiment.toml": config.source,
                "splits.json": document_text(result.manifest.document()),
                **multiverse_files(document),
            }
        )
        for universe in document["universes"]:
            _log_universe(store, log, config.name, universe)
        return log.run_id


def multiverse_files(document: Mapping[str, Any]) -> dict[str, str]:
    """Return document, table and figure by file name."""
    return {
        DOCUMENT: document_text(document),
        TABLE: table_text(universe_table(document)),
        f"figures/{FIGURE}": specification_curve(document),
    }


def universe_table(document: Mapping[str, Any]) -> pd.DataFrame:
    """Return one row per universe: its decisions, then its numbers."""
    rows = [
        {"number": one["number"], **one["choice"]} | {key: value for key, value in one.items() if key != "choice"}
        for one in document["universes"]
    ]
    return pd.DataFrame(rows)


def latest_multiverse(store: Store, experiment: str, *, splits_digest: str = "") -> dict[str, Any] | None:
    """Return the document of an experiment's latest multiverse, None if there is none.

    Parameters
    ----------
    experiment
        Name of an experiment that the store knows.
    splits_digest
        Only a multiverse on these people and folds; empty text takes any.
    """
    for run in find_runs(store, experiments=[experiment], kind=KIND):
        if not splits_digest or run.tags.get("splits_digest") == splits_digest:
            return read_document(store, run.run_id, DOCUMENT)
    return None


def _log_universe(store: Store, parent: RunLog, experiment: str, universe: Mapping[str, Any]) -> None:
    name = "registered" if universe["registered"] else f"universe {universe['number']}"
    with start_run(store, experiment, name=name, parent=parent, kind=UNIVERSE_KIND) as run:
        run.params({f"universe.{axis}": alternative for axis, alternative in universe["choice"].items()})
        run.tags(
            {
                "registered": "yes" if universe["registered"] else "no",
                "baseline": universe["baseline"],
                "features_digest": universe["features_digest"],
            }
        )
        run.metrics({name: universe[name] for name in METRICS})
