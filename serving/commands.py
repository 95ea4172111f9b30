"""The command `krp serve`."""

from __future__ import annotations

import argparse
import ipaddress
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from serving.model_store import ModelStore
    from serving.settings import Settings


def add_commands(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `serve` to the command line."""
    parser = subparsers.add_parser(
        "serve",
        help="answer over HTTP, with a page for people",
        description=(
            "Serve the API and the page on this machine. The model comes from a bundle folder, or from the MLflow "
            "registry: the champion, or, where there is none yet, the candidate, labelled as not promoted."
        ),
        epilog="Settings can also come from the environment: KRP_BUNDLE, KRP_MODEL, KRP_TRACKING_URI, KRP_PORT, ...",
    )
    model = parser.add_mutually_exclusive_group()
    model.add_argument("--bundle", type=Path, metavar="DIR", help="serve this bundle folder, without a registry")
    model.add_argument(
        "--model", metavar="URI", help="models:/NAME@ALIAS or models:/NAME/VERSION (default: the champion)"
    )
    parser.add_argument("--tracking-uri", metavar="URI", help="MLflow registry (default: sqlite:///mlruns/mlflow.db)")
    parser.add_argument("--host", help="loopback address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, help="port to listen on (default: 8000; 0 takes a free one)")
    parser.add_argument(
        "--sample-visit", type=Path, metavar="DIR", help="a participant's folder in an fMRIPrep output, as the sample"
    )
    parser.set_defaults(run=serve)


def serve(arguments: argparse.Namespace) -> int:
    """Load the model, say what to open, and answer until interrupted."""
    import uvicorn

    from serving.app import create_app
    from serving.model_store import ModelStore, source_of
    from serving.settings import read_settings

    settings = read_settings(**_given(arguments))
    check_is_loopback(settings.host)
    store = ModelStore(source_of(settings))
    store.refresh()  # what cannot be trusted stops the command, before anything listens
    config = uvicorn.Config(
        create_app(settings, models_store=store),
        host=settings.host,
        port=settings.port,
        log_level="warning",
        access_log=False,
        server_header=False,
    )
    server = uvicorn.Server(config)
    listener = _listen(settings)
    _announce(settings, store, port=listener.getsockname()[1])
    server.run(sockets=[listener])
    return 0


def check_is_loopback(host: str) -> None:
    """Refuse to listen where others could reach the service.

    Raises
    ------
    UsageError
        If the address is not a loopback address.
    """
    from predictor.errors import UsageError

    try:
        is_loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_loopback = False
    if not is_loopback:
        raise UsageError(
            f"expected a loopback address such as 127.0.0.1, got {host}.",
            where="--host",
            remedy="Without access keys, which come later, it listens on this machine only; an SSH tunnel reaches it.",
        )


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
        from predictor.errors import UsageError

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
    }
    return {name: value for name, value in named.items() if value is not None}


def _announce(settings: Settings, store: ModelStore, *, port: int) -> None:
    from predictor.console import say
    from serving.sample_visit import find_sample_visit, sample_curl

    model = store.current()
    folder = settings.sample_visit_dir if model.takes_scans else None
    sample = find_sample_visit(folder, model.bundle) if folder else None
    address = f"http://{f'[{settings.host}]' if ':' in settings.host else settings.host}:{port}"
    label = "champion" if model.version.is_promoted else "not promoted: its numbers are for trying things out"
    say(f"Model    {model.bundle.name} {model.version.version} ({label})")
    say(f"Open     {address}")
    if sample is not None:
        say("Sample   press “Score the sample visit” on the page, or run")
        say(sample_curl(sample, address))
    say("Research use only. Stop with Ctrl+C.")
