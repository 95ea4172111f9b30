"""The log book: every run of an experiment in MLflow. One parent run per experiment, one child run per model."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from alembic.util import CommandError
from mlflow.data.code_dataset_source import CodeDatasetSource
from mlflow.data.meta_dataset import MetaDataset
from mlflow.entities import DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from sqlalchemy.exc import SQLAlchemyError

from predictor.errors import ModelUnavailableError, UsageError
from training.output_files import make_folder

DATABASE = "mlflow.db"
ARTIFACTS = "artifacts"
MAX_VALUE_LENGTH = 500  # of parameters and tags; the whole configuration is an artifact
QUIET_LOGGERS = ("mlflow", "alembic")


@dataclass(frozen=True, slots=True)
class Store:
    """An MLflow store in a folder: `mlflow.db` beside `artifacts/`."""

    folder: Path
    client: MlflowClient

    @property
    def uri(self) -> str:
        """Tracking URI of the database."""
        return store_uri(self.folder)


@dataclass(frozen=True, slots=True)
class RunLog:
    """One run that is being written."""

    client: MlflowClient
    run_id: str
    experiment_id: str

    def params(self, values: Mapping[str, object]) -> None:
        """Log settings."""
        rows = [Param(name, str(value)[:MAX_VALUE_LENGTH]) for name, value in values.items()]
        self.client.log_batch(self.run_id, params=rows)

    def metrics(self, values: Mapping[str, float | None]) -> None:
        """Log numbers; None is left out."""
        now = int(time.time() * 1000)
        rows = [Metric(name, float(value), now, 0) for name, value in values.items() if value is not None]
        self.client.log_batch(self.run_id, metrics=rows)

    def tags(self, values: Mapping[str, object]) -> None:
        """Log facts to search by."""
        rows = [RunTag(name, str(value)[:MAX_VALUE_LENGTH]) for name, value in values.items()]
        self.client.log_batch(self.run_id, tags=rows)

    def text(self, content: str, name: str) -> None:
        """Log a text file."""
        self.client.log_text(self.run_id, content, name)

    def document(self, content: Mapping[str, Any], name: str) -> None:
        """Log a JSON file."""
        self.client.log_dict(self.run_id, dict(content), name)

    def table(self, content: pd.DataFrame, name: str) -> None:
        """Log a TSV file."""
        self.text(content.to_csv(sep="\t", index=False), name)

    def data_set(self, *, name: str, digest: str, source: str) -> None:
        """Log which data the run used, by digest; the data stay where they are."""
        # MLflow keeps at most 36 characters of a digest; the full one is a tag.
        short = digest.removeprefix("sha256:")[:32]
        known = {"source": source[:MAX_VALUE_LENGTH]}
        data = MetaDataset(CodeDatasetSource(known), name=name[:MAX_VALUE_LENGTH], digest=short)  # type: ignore[abstract]
        entity = data._to_mlflow_entity()
        tag = InputTag("mlflow.data.context", "training")
        self.client.log_inputs(self.run_id, [DatasetInput(entity, [tag])])
        self.tags({"data_set_digest": digest})


def store_uri(folder: Path) -> str:
    """Tracking and registry URI of a store's folder."""
    return f"sqlite:///{(folder / DATABASE).resolve().as_posix()}"


def open_store(folder: Path, *, must_exist: bool = False) -> Store:
    """Open a store, creating its database on first use.

    Raises
    ------
    UsageError
        If the folder cannot be made, or its database is none of MLflow's.
    ModelUnavailableError
        If there is no store and `must_exist` says that there should be one.
    """
    for name in QUIET_LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
    if must_exist and not (folder / DATABASE).is_file():
        raise ModelUnavailableError(
            f"expected a store with {DATABASE}, found none there.",
            where=folder.name,
            remedy="Name the folder that `krp train` wrote, or train first.",
        )
    make_folder(folder)
    uri = store_uri(folder)
    # Logging and loading of models know no other way to say which store is meant.
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    return Store(folder, _connected(uri))


def _connected(uri: str) -> MlflowClient:
    try:
        client = MlflowClient(uri, uri)
        client.search_experiments(max_results=1)
    except (MlflowException, SQLAlchemyError, CommandError) as error:
        raise UsageError(
            f"the store's {DATABASE} cannot be opened by this version of MLflow.",
            where=DATABASE,
            remedy="Name another store; a damaged or newer database cannot be used.",
        ) from error
    return client


@contextmanager
def start_run(store: Store, experiment: str, *, name: str, parent: RunLog | None = None) -> Iterator[RunLog]:
    """Open a run and close it as finished, or as failed when an error passes through."""
    log = _create_run(store, experiment, name=name, parent=parent)
    try:
        yield log
    except BaseException:
        store.client.set_terminated(log.run_id, "FAILED")
        raise
    store.client.set_terminated(log.run_id, "FINISHED")


def _create_run(store: Store, experiment: str, *, name: str, parent: RunLog | None) -> RunLog:
    found = store.client.get_experiment_by_name(experiment)
    experiment_id = (
        found.experiment_id
        if found is not None
        else store.client.create_experiment(experiment, (store.folder / ARTIFACTS / experiment).resolve().as_uri())
    )
    tags = {"mlflow.parentRunId": parent.run_id} if parent else {}
    run = store.client.create_run(experiment_id, tags=tags, run_name=name)
    return RunLog(store.client, run.info.run_id, experiment_id)
