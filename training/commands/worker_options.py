"""The options that say where a command computes: processes of this machine, or a dask cluster."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from predictor.errors import UsageError

if TYPE_CHECKING:
    from training.workers import Workers

ALL_PROCESSORS = -1


def add_workers(parser: argparse.ArgumentParser) -> None:
    """Add the options that name a cluster; --jobs comes from `add_jobs`."""
    parser.add_argument(
        "--backend", choices=("loky", "dask"), default="loky",
        help="compute in processes of this machine (loky) or on a dask cluster (dask)",
    )  # fmt: skip
    parser.add_argument(
        "--scheduler", metavar="ADDRESS", help="with --backend dask: the cluster's scheduler, such as tcp://HOST:8786"
    )


def start_early(arguments: argparse.Namespace, modules: Sequence[str]) -> bool:
    """Let these modules be imported for workers that will be forked, if there will be several on this machine.

    To be called before the command imports what itself needs, so that both happen at once.
    """
    from training.fork_server import start

    has_one_task = len(arguments.participant_label or ()) == 1
    is_dry_run = getattr(arguments, "dry_run", False)  # not every command has one
    if arguments.backend != "loky" or is_dry_run or has_one_task or arguments.jobs == 1:
        return False
    return start(modules)


def workers_of(arguments: argparse.Namespace, *, are_forked: bool = False) -> Workers:
    """Return where the command computes; on a cluster, paths are made absolute, for workers start elsewhere.

    Parameters
    ----------
    arguments
        With what `add_workers` and `add_jobs` added.
    are_forked
        What `start_early` returned.

    Raises
    ------
    UsageError
        If --backend, --scheduler and --jobs do not fit together.
    """
    from training.workers import Workers

    if arguments.backend == "loky":
        if arguments.scheduler is not None:
            raise UsageError("--scheduler is of a dask cluster.", where="--scheduler", remedy="Add --backend dask.")
        return Workers(n_jobs=arguments.jobs, are_forked=are_forked)
    if arguments.scheduler is None:
        raise UsageError(
            "--backend dask needs the address of a scheduler.",
            where="--scheduler",
            remedy="Start one with `dask scheduler`; it prints its address, for --scheduler tcp://HOST:8786.",
        )
    if arguments.jobs != ALL_PROCESSORS:
        raise UsageError("--jobs has no meaning on a cluster; all its workers take part.", where="--jobs")
    for name, value in vars(arguments).items():
        if isinstance(value, Path):
            setattr(arguments, name, value.absolute())
    return Workers(scheduler=arguments.scheduler)
