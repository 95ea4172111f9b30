"""Who computes the tasks of a command: processes of this machine, or the workers of a dask cluster.

Everything that can be done in parallel is a joblib call with the number of processes it was given. `open_workers`
decides where such calls run; the code that makes them is the same, and so are its results.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar

from joblib import Parallel, delayed, parallel_config
from joblib.parallel import get_active_backend

from predictor.errors import WorkerLostError

Item = TypeVar("Item")
Result = TypeVar("Result")

ALL_PROCESSORS = -1
LOOKS_AFTER_S = 2.0


@dataclass(frozen=True, slots=True)
class Workers:
    """Where tasks are computed."""

    n_jobs: int = ALL_PROCESSORS  # processes of this machine; without meaning for a cluster
    scheduler: str | None = None  # a cluster's "tcp://HOST:PORT"; None: processes of this machine
    are_forked: bool = False  # from `training.fork_server`, which runs; then tasks should have small arguments


@contextmanager
def open_workers(workers: Workers) -> Iterator[int]:
    """Let the joblib calls of this thread run there; gives the `n_jobs` to make them with.

    Raises
    ------
    UsageError
        If dask is not installed, or the address is none.
    ClusterError
        If the cluster cannot be reached, has no workers, or other versions than this process.
    WorkerLostError
        If a process of this machine was killed; a cluster does its task again.
    """
    if workers.scheduler is None:
        try:
            with _forked() if workers.are_forked else parallel_config("loky", **ends_with(os.getpid())):
                yield workers.n_jobs
        except BrokenProcessPool as error:
            raise WorkerLostError("a process that computed was ended from outside.") from error
        return
    from training.cluster import connected  # dask takes half a second to import, and is an extra

    with connected(workers.scheduler) as backend, parallel_config(backend):
        yield backend.effective_n_jobs(ALL_PROCESSORS)


@contextmanager
def _forked() -> Iterator[None]:
    from training.forked_workers import ForkedBackend

    with closing(ForkedBackend()) as backend, parallel_config(backend):
        try:
            yield
        except BaseException:  # Ctrl+C between two results: nobody waits for what is still computed
            backend.abort_everything()
            raise


def is_cluster_open() -> bool:
    """Whether joblib calls of this thread run on a cluster."""
    backend, _ = get_active_backend()
    return bool(getattr(backend, "is_cluster", False))


def one_thread_each() -> AbstractContextManager[Any]:
    """Give processes one thread for linear algebra: answers must not change with the number of threads.

    The workers of a cluster see to that themselves.
    """
    if is_cluster_open():
        return nullcontext()
    return parallel_config("loky", inner_max_num_threads=1, **ends_with(os.getpid()))


def ends_with(parent: int) -> dict[str, Any]:
    """Options of joblib's processes: let them end when the process that started them was killed.

    By themselves they wait five minutes for a next task of a parent that is gone.
    """
    return {"initializer": watch_parent, "initargs": (parent,)}


def watch_parent(parent: int) -> None:
    """End this process within seconds of its parent's end; runs in every process that computes."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(LOOKS_AFTER_S)
        os._exit(1)

    threading.Thread(target=watch, name="watch-parent", daemon=True).start()


def worthwhile_jobs(n_tasks: int, n_jobs: int) -> int:
    """Return `n_jobs`, or 1 where a second process is not worth its start.

    A lone task goes to a cluster all the same: this machine may be one that nothing should be computed on.
    """
    return 1 if n_tasks < 2 and not is_cluster_open() else n_jobs


def map_compiled(function: Callable[[Item], Result], items: Sequence[Item], *, n_jobs: int) -> Iterator[Result]:
    """Results in the order of the items, of compiled code that holds no lock: threads here, tasks on a cluster."""
    if is_cluster_open():
        yield from Parallel(n_jobs=n_jobs, return_as="generator")(delayed(function)(item) for item in items)
        return
    with ThreadPoolExecutor(n_jobs) as threads:
        yield from threads.map(function, items)
