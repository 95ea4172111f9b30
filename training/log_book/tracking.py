"""The log book: every run of an experiment in MLflow. One parent run per experiment, one child run per model."""

from __future__ import annotations

import json
import logging
import os
import signal
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence, Sized
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, MappingProxyType
from typing import Any

import mlflow
import pandas as pd
from alembic.util import CommandError
from mlflow.data.code_dataset_source import CodeDatasetSource
from mlflow.data.meta_dataset import MetaDataset
from mlflow.entities import DatasetInput, InputTag, Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from sqlalchemy import create_engine
from sqlalchemy.exc import SQLAlchemyError

from predictor.errors import ModelUnavailableError, RunDeletedError, TrackingError, UsageError
from predictor.store_address import DATABASE, StoreAddress, store_address
from training.log_book.document_text import document_text as document_text
from training.log_book.logged_run import LoggedRun as LoggedRun
from training.log_book.logged_run import check_known
from training.log_book.run_process import PROCESS_TAG, this_process
from training.log_book.store_errors import in_our_words
from training.output_files import make_folder

MAX_VALUE_LENGTH = 500  # of parameters and tags; the whole configuration is an artifact
MAX_PARAMS_AT_A_TIME = 100  # MLflow's limit
SECONDS_TO_ANSWER = 10
KIND_TAG = "kind"
PAGE = 1000  # runs that are asked for at a time
QUIET_LOGGERS = ("mlflow", "alembic")


@dataclass(frozen=True, slots=True)
class Store:
    """An MLflow store: in a folder or SQLite file, in a PostgreSQL database, or behind a tracking server."""

    address: StoreAddress
    client: MlflowClient

    @property
    def uri(self) -> str:
        """Tracking and registry URI, without credentials."""
        return self.address.uri

    @property
    def folder(self) -> Path | None:
        """Folder of the database, None where database or server stand elsewhere."""
        return self.address.folder

    def select(self) -> None:
        """Make this the store of the process: MLflow logs and fetches models by no other way of saying which."""
        mlflow.set_tracking_uri(self.address.uri)
        mlflow.set_registry_uri(self.address.uri)

    def artifact_location(self, experiment: str) -> str | None:
        """URI below which a new experiment keeps its files, None where the server decides."""
        return None if self.address.artifacts is None else (self.address.artifacts / experiment).resolve().as_uri()

    def find_runs(
        self, *, experiments: Sequence[str] = (), status: str = "FINISHED", kind: str = ""
    ) -> tuple[LoggedRun, ...]:
        """Return the runs of some experiments, newest first; see the function of this name."""
        return find_runs(self, experiments=experiments, status=status, kind=kind)

    def find_versions(self) -> dict[str, dict[str, str]]:
        """Return what the registry holds by the run that registered it; see the function of this name."""
        return find_versions(self)


@dataclass(frozen=True, slots=True)
class RunLog:
    """One run that is being written.

    Every method raises TrackingError, or what stands below it, if the store does not take the entry.
    """

    client: MlflowClient
    run_id: str
    experiment_id: str

    def params(self, values: Mapping[str, object]) -> None:
        """Log settings."""
        self.entries(params=values)

    def metrics(self, values: Mapping[str, float | None]) -> None:
        """Log numbers; None is left out."""
        self.entries(metrics=values)

    def tags(self, values: Mapping[str, object]) -> None:
        """Log facts to search by."""
        self.entries(tags=values)

    def entries(
        self,
        *,
        params: Mapping[str, object] = MappingProxyType({}),
        metrics: Mapping[str, float | None] = MappingProxyType({}),
        tags: Mapping[str, object] = MappingProxyType({}),
    ) -> None:
        """Log settings, numbers and facts at once, which takes hardly longer than one kind of them."""
        now = int(time.time() * 1000)
        settings = [Param(name, str(value)[:MAX_VALUE_LENGTH]) for name, value in params.items()]
        numbers = [Metric(name, float(value), now, 0) for name, value in metrics.items() if value is not None]
        facts = [RunTag(name, str(value)[:MAX_VALUE_LENGTH]) for name, value in tags.items()]
        with in_our_words(f"log {_in_words(params, metrics, tags)}"):
            self.client.log_batch(self.run_id, numbers, settings[:MAX_PARAMS_AT_A_TIME], facts)
            for start in range(MAX_PARAMS_AT_A_TIME, len(settings), MAX_PARAMS_AT_A_TIME):
                self.client.log_batch(self.run_id, params=settings[start : start + MAX_PARAMS_AT_A_TIME])

    def text(self, content: str, name: str) -> None:
        """Log a text file."""
        self.files({name: content})

    def document(self, content: Mapping[str, Any], name: str) -> None:
        """Log a JSON file."""
        self.files({name: document_text(content)})

    def table(self, content: pd.DataFrame, name: str) -> None:
        """Log a TSV file."""
        self.text(table_text(content), name)

    def files(self, content: Path | Mapping[str, str | bytes], folder: str = "") -> None:
        """Log several files at once, which takes hardly longer than one.

        Parameters
        ----------
        content
            A folder, or text and bytes by file name; a name may hold folders, as in `figures/calibration.svg`.
        folder
            Where they stand among the run's files; empty text: at the top.
        """
        with in_our_words("log files"):
            if isinstance(content, Path):
                self.client.log_artifacts(self.run_id, str(content), folder or None)
                return
            with tempfile.TemporaryDirectory(prefix="krp-log-") as place:
                for name, one in content.items():
                    path = Path(place) / name
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(one.encode() if isinstance(one, str) else one)
                self.client.log_artifacts(self.run_id, place, folder or None)

    def data_set(self, *, name: str, digest: str, source: str) -> None:
        """Log which data the run used, by digest; the data stay where they are."""
        # MLflow keeps at most 36 characters of a digest; the full one is a tag.
        short = digest.removeprefix("sha256:")[:32]
        known = {"source": source[:MAX_VALUE_LENGTH]}
        data = MetaDataset(CodeDatasetSource(known), name=name[:MAX_VALUE_LENGTH], digest=short)  # type: ignore[abstract]
        entity = data._to_mlflow_entity()
        tag = InputTag("mlflow.data.context", "training")
        with in_our_words("log the data set's digest"):
            self.client.log_inputs(self.run_id, [DatasetInput(entity, [tag])])
        self.tags({"data_set_digest": digest})


def _in_words(params: Sized, metrics: Sized, tags: Sized) -> str:
    named = {"settings": params, "numbers": metrics, "facts": tags}
    return ", ".join(name for name, values in named.items() if len(values)) or "nothing"


def table_text(content: pd.DataFrame) -> str:
    """Return a table as TSV."""
    return content.to_csv(sep="\t", index=False)


def open_store(where: str | Path, *, must_exist: bool = False, artifacts: str | Path | None = None) -> Store:
    """Open a store, creating its database on first use.

    Parameters
    ----------
    where
        A folder, `sqlite:///FILE`, `postgresql://HOST/DATABASE`, or `http(s)://HOST` of a tracking server.
    must_exist
        Refuse to make a new folder or SQLite file.
    artifacts
        Folder for the files of new experiments in a PostgreSQL store (mlruns/artifacts).

    Raises
    ------
    UsageError
        If the address has no known form, the folder cannot be made, or its database is none of MLflow's.
    ModelUnavailableError
        If there is no store and `must_exist` says that there should be one.
    StoreUnreachableError
        If a database or server does not answer, or refuses user or password.
    """
    for name in QUIET_LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
    address = store_address(where, artifacts=artifacts)
    address.unlock()
    if address.folder is not None:
        _prepare_folder(address, must_exist=must_exist)
    else:
        with in_our_words("open it", where=address.shown):
            _knock(address)
    store = Store(address, _connected(address))
    store.select()
    return store


def _prepare_folder(address: StoreAddress, *, must_exist: bool) -> None:
    assert address.folder is not None, "asked only of stores in a folder"
    if must_exist and address.database and not address.database.is_file():
        raise ModelUnavailableError(
            f"expected a store with {address.database.name}, found none there.",
            where=address.folder.name,
            remedy="Name the store that `krp train` wrote, or train first.",
        )
    make_folder(address.folder)


def _knock(address: StoreAddress) -> None:
    """Find out in seconds whether anyone answers; MLflow itself would try again for minutes."""
    if address.is_server:
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
        with suppress(urllib.error.HTTPError):  # an answer, too
            urllib.request.urlopen(f"{address.uri}/health", timeout=SECONDS_TO_ANSWER).close()
        return
    try:
        engine = create_engine(address.uri, connect_args={"connect_timeout": SECONDS_TO_ANSWER})
    except ImportError as error:
        raise UsageError(
            "a store in PostgreSQL needs the driver psycopg, which is not installed.",
            where="--store",
            remedy='Install it: pip install "psycopg[binary]"',
        ) from error
    try:
        engine.connect().close()
    finally:
        engine.dispose()


def _connected(address: StoreAddress) -> MlflowClient:
    try:
        client = MlflowClient(address.uri, address.uri)
        client.search_experiments(max_results=1)
    except (MlflowException, SQLAlchemyError, CommandError, OSError) as error:
        if address.folder is None:
            with in_our_words("list its experiments", where=address.shown):
                raise error from None
        raise UsageError(
            f"the store's {DATABASE} cannot be opened by this version of MLflow.",
            where=DATABASE,
            remedy="Look whether there is room on the disk; a damaged or newer database needs another store.",
        ) from error
    return client


@contextmanager
def start_run(
    store: Store, experiment: str, *, name: str, parent: RunLog | None = None, kind: str = ""
) -> Iterator[RunLog]:
    """Open a run and close it as finished, as failed when an error passes through, or as killed when it is stopped.

    Ctrl-C and SIGTERM close it, too. After a `kill -9` it stays open, marked with its process (tag `process`), so that
    `krp doctor` can tell that nobody writes it any more.

    Parameters
    ----------
    store
        The log book.
    experiment
        Name of the experiment; made on first use.
    name
        Name of the run.
    parent
        Run to which it belongs.
    kind
        Tag `kind`, by which lists find it; "experiment", or "model" below a parent, unless given.

    Raises
    ------
    StoreReadOnlyError, StoreUnreachableError, RunDeletedError, TrackingError
        If the run cannot be opened, or not be closed after all went well.
    """
    with _stopped_by_sigterm():
        with in_our_words("open a run"):
            log = _create_run(store, experiment, name=name, parent=parent, kind=kind)
        try:
            yield log
        except BaseException as error:
            is_stopped = isinstance(error, (KeyboardInterrupt, SystemExit))
            # The error that is on its way says more than a store that cannot note it down.
            with suppress(TrackingError), in_our_words("close a run"):
                store.client.set_terminated(log.run_id, "KILLED" if is_stopped else "FAILED")
            raise
        with in_our_words("close a run"):
            if store.client.get_run(log.run_id).info.lifecycle_stage == "deleted":
                raise RunDeletedError("the run was deleted while it was written.")
            store.client.set_terminated(log.run_id, "FINISHED")


@contextmanager
def _stopped_by_sigterm() -> Iterator[None]:
    """Let SIGTERM unwind the program as Ctrl-C does, unless someone else looks after it already."""
    is_ours = threading.current_thread() is threading.main_thread()
    if not is_ours or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, _leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _leave(number: int, frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_IGN)  # the runs are being closed
    raise SystemExit(128 + number)


def _create_run(store: Store, experiment: str, *, name: str, parent: RunLog | None, kind: str) -> RunLog:
    tags = {PROCESS_TAG: this_process().text(), KIND_TAG: kind or ("model" if parent else "experiment")}
    if parent:
        tags["mlflow.parentRunId"] = parent.run_id
    experiment_id = parent.experiment_id if parent else _experiment_id(store, experiment)
    run = store.client.create_run(experiment_id, tags=tags, run_name=name)
    return RunLog(store.client, run.info.run_id, experiment_id)


def _experiment_id(store: Store, experiment: str) -> str:
    """Return the experiment's number, made on first use, by whoever comes first."""
    found = store.client.get_experiment_by_name(experiment)
    if found is None:
        try:
            return str(store.client.create_experiment(experiment, store.artifact_location(experiment)))
        except MlflowException as error:
            found = store.client.get_experiment_by_name(experiment)
            if found is None:
                raise error
    if found.lifecycle_stage == "deleted":
        raise UsageError(
            f"the experiment {experiment} was deleted from the store.",
            where="name",
            remedy="Restore it in MLflow, or give the experiment another name.",
        )
    return str(found.experiment_id)


def find_runs(
    store: Store, *, experiments: Sequence[str] = (), status: str = "FINISHED", kind: str = ""
) -> tuple[LoggedRun, ...]:
    """Return the runs of some experiments, parents and children, newest first.

    Parameters
    ----------
    store
        The log book.
    experiments
        Their names; none means all.
    status
        Only runs of this status; empty text means any.
    kind
        Only runs of this kind, such as "experiment" or "multiverse"; empty text means any.

    Raises
    ------
    ModelUnavailableError
        If the store knows no experiment of that name.
    """
    name_of = {one.experiment_id: one.name for one in paged(store.client.search_experiments)}
    check_known(experiments, name_of.values())
    wanted = [number for number, name in name_of.items() if not experiments or name in experiments]
    asked = {"attributes.status": status, f"tags.{KIND_TAG}": kind}
    query = " and ".join(f"{name} = '{value}'" for name, value in asked.items() if value)
    found = paged(store.client.search_runs, wanted, query, order_by=["attributes.start_time DESC"]) if wanted else ()
    return tuple(_as_logged(run, name_of) for run in found)


def find_versions(store: Store) -> dict[str, dict[str, str]]:
    """Return what the registry holds by the run that registered it: `label` (name, version, aliases) and `gate`.

    The gate's decision is "passed" or "refused", empty before it was asked.
    """
    aliases = {one.name: one.aliases for one in paged(store.client.search_registered_models)}
    found = {}
    for version in paged(store.client.search_model_versions):
        own = [alias for alias, number in aliases.get(version.name, {}).items() if str(number) == str(version.version)]
        label = f"{version.name}/{version.version}" + (f" ({', '.join(sorted(own))})" if own else "")
        found[version.run_id or ""] = {"label": label, "gate": version.tags.get("gate", "")}
    return found


def read_document(store: Store, run_id: str, name: str) -> dict[str, Any] | None:
    """Return a JSON file of a run, or None if the run has no such file."""
    with tempfile.TemporaryDirectory(prefix="krp-read-") as folder:
        try:
            path = store.client.download_artifacts(run_id, name, folder)
            return dict(json.loads(Path(path).read_bytes()))
        except (MlflowException, OSError, ValueError):
            return None


def read_text(store: Store, run_id: str, name: str) -> str | None:
    """Return a text file of a run, or None if the run has no such file."""
    with tempfile.TemporaryDirectory(prefix="krp-read-") as folder:
        try:
            return Path(store.client.download_artifacts(run_id, name, folder)).read_text(encoding="utf-8")
        except (MlflowException, OSError, ValueError):
            return None


def paged(search: Callable[..., Any], *arguments: Any, **options: Any) -> Iterator[Any]:
    """Everything that a search finds, page by page."""
    token = None
    while True:
        page = search(*arguments, max_results=PAGE, page_token=token, **options)
        yield from page
        token = page.token
        if not token:
            return


def _as_logged(run: Run, name_of: Mapping[str, str]) -> LoggedRun:
    info, data = run.info, run.data
    return LoggedRun(
        run_id=info.run_id,
        experiment=name_of.get(info.experiment_id, ""),
        name=info.run_name or "",
        status=info.status,
        started_at_s=(info.start_time or 0) / 1000,
        parent=data.tags.get("mlflow.parentRunId"),
        tags=data.tags,
        params=data.params,
        metrics=data.metrics,
    )
