"""`krp serve`: answer over HTTP, with a page for people."""

from __future__ import annotations

import argparse
import socket
import sys
from collections.abc import Callable
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

from predictor.command_parser import Subparsers, add_command
from predictor.console import say, show_error
from predictor.errors import PredictorError, UsageError
from predictor.exit_codes import DONE

if TYPE_CHECKING:
    from serving.model_store import ModelStore
    from serving.sample_visit import SampleVisit
    from serving.settings import Settings

# How a model is shown, by how far it is to be trusted.
LABELS = {
    "promoted": "champion",
    "not-promoted": "not promoted: its numbers are for trying things out",
    "cached": "a copy of what was served last: the registry does not answer",
}


def add_serve(subparsers: Subparsers[Any]) -> None:
    """Add `serve` to the command line."""
    parser = add_command(
        subparsers,
        "serve",
        help="answer over HTTP, with a page for people",
        description=(
            "Serve the API and the page on this machine. The model comes from a bundle folder, or from the MLflow "
            "registry: the champion, or, where there is none yet, the candidate, labelled as not promoted."
        ),
        examples=(
            "krp serve",
            "krp serve --bundle bundle --port 0",
            "krp serve --model models:/ketamine-response@champion --tracking-uri http://127.0.0.1:5000",
        ),
        notes="Settings can also come from the environment: KRP_BUNDLE, KRP_MODEL, KRP_TRACKING_URI, KRP_PORT, ...; "
        "docs/deployment.md lists them.",
    )
    model = parser.add_mutually_exclusive_group()
    model.add_argument("--bundle", type=Path, metavar="DIR", help="serve this bundle folder, without a registry")
    model.add_argument(
        "--model", metavar="URI", help="models:/NAME@ALIAS or models:/NAME/VERSION (default: the champion)"
    )
    parser.add_argument("--tracking-uri", metavar="URI", help="MLflow registry (default: sqlite:///mlruns/mlflow.db)")
    parser.add_argument(
        "--host",
        metavar="ADDRESS",
        help="address to listen on; others than this machine's need access keys (default: 127.0.0.1)",
    )
    parser.add_argument("--port", type=int, metavar="N", help="port to listen on; 0 takes a free one (default: 8000)")
    parser.add_argument(
        "--sample-visit", type=Path, metavar="DIR", help="a participant's folder in an fMRIPrep output, as the sample"
    )
    parser.add_argument(
        "--database-url",
        metavar="URL",
        help="kept results, keys and audit log: sqlite:///FILE or postgresql://... (default: sqlite:///mlruns/service.db)",
    )
    parser.set_defaults(run=serve)


def serve(arguments: argparse.Namespace) -> int:
    """Load the model, say what to open, and answer until told to stop."""
    from serving.access.api_keys import ApiKeys
    from serving.access.listening import check_may_listen
    from serving.app import create_app
    from serving.model_store import open_store
    from serving.operation.json_logs import log_as_json
    from serving.operation.server import run_server
    from serving.settings import read_settings
    from serving.store.database import Database

    settings = read_settings(**_given(arguments))
    _check_sample_folder(settings.sample_visit_dir)
    with log_as_json(_log_level(settings)), closing(Database.open(settings.database_url)) as database:
        has_keys = ApiKeys(database).any_was_ever_made()
        check_may_listen(settings, has_keys=has_keys)
        needs_key = has_keys or settings.require_keys or settings.oidc_issuer is not None
        with closing(_listen(settings)) as listener:
            store = open_store(settings)
            announce = partial(_announce, settings, store, port=listener.getsockname()[1], needs_key=needs_key)
            if store.load_kept():
                Thread(target=_confirm, args=(store, announce), daemon=True).start()
            else:
                store.refresh()  # what cannot be trusted stops the command, before anything is answered
                announce()
            run_server(create_app(settings, models_store=store, database=database), listener)
    return DONE


def _confirm(store: ModelStore, announce: Callable[[], None]) -> None:
    """Ask the registry what to serve while the copy of the last model answers, then say what is served."""
    with suppress(PredictorError):  # the service asks again from time to time, and logs what is wrong
        store.refresh()
    if store.is_loaded:
        try:
            announce()
        except PredictorError as error:  # another model was fetched, which does not take the sample visit
            show_error(error)


def _log_level(settings: Settings) -> str:
    """Return the level of the log; a person at a terminal sees a line per request only if they asked for it."""
    is_watched = sys.stderr.isatty() and "log_level" not in settings.model_fields_set
    return "warning" if is_watched else settings.log_level


def _listen(settings: Settings) -> socket.socket:
    """Return a socket that listens; uvicorn's own way would end the process without saying what to do.

    It listens before the address is announced: whoever connects at once waits a moment instead of being turned away.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
        listener.listen()
    except OSError as error:
        listener.close()
        raise UsageError(
            f"cannot listen on port {settings.port}: {error.strerror}.",
            where="--port",
            remedy="Stop what listens there, choose another port, or let 0 take a free one.",
        ) from error
    return listener


def _given(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the settings that the command line names; the others come from the environment or are defaults."""
    named = {
        "bundle": arguments.bundle,
        "model": arguments.model,
        "tracking_uri": arguments.tracking_uri,
        "host": arguments.host,
        "port": arguments.port,
        "sample_visit_dir": arguments.sample_visit,
        "database_url": arguments.database_url,
    }
    return {name: value for name, value in named.items() if value is not None}


def _check_sample_folder(folder: Path | None) -> None:
    """Refuse now what can be seen without a model; whether it takes the runs is known once there is one."""
    if folder is not None and not (folder.is_dir() and folder.resolve().name.startswith("sub-")):
        raise UsageError(
            "expected a participant's folder (sub-<label>) as the sample visit, found none there.",
            where="--sample-visit",
            remedy="Name a folder such as derivatives/fmriprep/sub-01, or leave the option out.",
        )


def _sample_of(settings: Settings, store: ModelStore) -> SampleVisit | None:
    """Return the sample visit as the model at work takes it; None where none is named, or the model takes no scans.

    Raises
    ------
    SessionError
        If the folder that was named is none of a participant, or holds no run that the model knows.
    """
    from serving.sample_visit import find_sample_visit

    model = store.current()
    folder = settings.sample_visit_dir if model.takes_scans else None
    return find_sample_visit(folder, model.bundle) if folder else None


def _announce(settings: Settings, store: ModelStore, *, port: int, needs_key: bool) -> None:
    from serving.sample_visit import sample_curl

    model, sample = store.current(), _sample_of(settings, store)
    address = f"http://{f'[{settings.host}]' if ':' in settings.host else settings.host}:{port}"
    say(f"Model    {model.bundle.name} {model.version.version} ({LABELS[model.state]})")
    say(f"Open     {address}")
    if sample is not None:
        say("Sample   press “Score the sample visit” on the page, or run")
        say(sample_curl(sample, address, needs_key=needs_key))
    say("Research use only. Stop with Ctrl+C.")
