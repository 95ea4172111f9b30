"""The workers of a dask.distributed cluster as a backend of joblib: the same calls, computed on other machines.

joblib brings a dask backend of its own. Here, in contrast, calls within a task stay in that task, where joblib's turns
each into further tasks of a few milliseconds; what several tasks share, such as a cohort's inputs, travels once and as
a task of its own, so that it is made again when the worker that held it is lost (joblib's scattered data would be
gone); and what can be wrong with a cluster has a name.
"""

from __future__ import annotations

import logging
import os
import threading
import types
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import uuid4

from joblib import parallel_config
from joblib.parallel import AutoBatchingMixin, ParallelBackendBase
from threadpoolctl import threadpool_limits

from predictor import console
from predictor.errors import ClusterLostError, ClusterUnreachableError, ClusterVersionsError, UsageError

CONNECT_TIMEOUT_S: Final = 10.0
WORKERS_TIMEOUT_S: Final = 30.0
SCHEMES: Final = ("tcp", "tls")
ONE_THREAD: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
OURS: Final = "ketamine-response-predictor"
# What numbers depend on, or messages between machines.
COMPARED_PACKAGES: Final = (
    OURS, "joblib", "nilearn", "numba", "numpy", "pandas", "scikit-learn", "scipy",
    "cloudpickle", "dask", "distributed",
)  # fmt: skip
# A cohort's inputs are sent with one task; dask warns from 10 MB on.
LARGEST_MESSAGE: Final = "4 GiB"
# How many arguments are remembered to find those that come again.
N_REMEMBERED: Final = 64
# A worker may have several threads, but libraries that draw, warn or set options are not made for that.
_ONE_AT_A_TIME: Final = threading.Lock()
_SMALL: Final = (str, bytes, int, float, complex, types.NoneType, Path, type, types.BuiltinFunctionType)


class ClusterBackend(AutoBatchingMixin, ParallelBackendBase):
    """Submits joblib's batches to a cluster; `training.workers.open_workers` makes it the active backend."""

    supports_retrieve_callback = True
    is_cluster = True
    # Seconds of a batch: much more than the millisecond that a task costs the scheduler.
    MIN_IDEAL_BATCH_DURATION, MAX_IDEAL_BATCH_DURATION = 0.2, 1.0

    def __init__(self, client: Any) -> None:
        super().__init__()
        self._client = client
        self._parts = SharedParts(client)
        self._futures: set[Any] = set()

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """Return how many tasks run at once: 1 stays in this process, anything else is the whole cluster."""
        if n_jobs in (None, 1):
            return 1
        return max(2, len(self._client.nthreads()))  # 1 would mean this process

    def submit(self, func: Any, callback: Callable[[Any], None] | None = None) -> Any:
        """Send a batch; the callback gets its results, or a `_Failure`."""
        shared: list[Any] = []
        calls = tuple(self._packed(call, shared) for call in func.items)
        future = self._client.submit(
            run_calls, Calls(calls, version(OURS)), *shared, key=f"{_name_of(func)}-{uuid4().hex}", pure=False
        )
        self._futures.add(future)
        future.add_done_callback(partial(self._finish, callback))
        return future

    def retrieve_result_callback(self, out: Any) -> Any:
        """Return a batch's results, or raise what went wrong."""
        if isinstance(out, _Failure):
            raise _translated(out.error)
        return out

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """Cancel what was sent and is not done; tasks that have begun end by themselves."""
        self._client.cancel(list(self._futures))
        self._futures.clear()

    def terminate(self) -> None:
        """Forget what the calls of one `Parallel` shared, and how large their batches were."""
        self._parts.clear()
        self.reset_batch_stats()

    def _packed(self, call: tuple[Any, tuple[Any, ...], Mapping[str, Any]], shared: list[Any]) -> tuple[Any, ...]:
        function, args, kwargs = call
        packed = {name: self._parts.packed(part, shared) for name, part in kwargs.items()}
        return self._parts.packed(function, shared), [self._parts.packed(part, shared) for part in args], packed

    def _finish(self, callback: Callable[[Any], None] | None, future: Any) -> None:
        self._futures.discard(future)
        try:
            outcome = future.result()
        except BaseException as error:  # dask's CancelledError is no Exception
            outcome = _Failure(error)
        future.release()
        if callback is not None:
            callback(outcome)


@dataclass(frozen=True, slots=True)
class Calls:
    """A batch of calls; opaque, so that dask does not look into it."""

    calls: tuple[tuple[Any, ...], ...]  # function, args, kwargs; some of them `_Place`
    made_by: str  # version of this package


@dataclass(frozen=True, slots=True)
class _Place:
    """Stands for a part that travelled on its own."""

    number: int


@dataclass(frozen=True, slots=True)
class _Failure:
    """Why a batch has no results."""

    error: BaseException


class SharedParts:
    """Finds parts that come again, by identity, and keeps one task of the cluster for each."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._seen: OrderedDict[int, object] = OrderedDict()  # kept alive, so that an identity is not used twice
        self._kept: dict[int, tuple[object, Any]] = {}

    def packed(self, part: object, shared: list[Any]) -> object:
        """Return the part, or its place among `shared` from the second time on."""
        if isinstance(part, _SMALL) or (isinstance(part, types.FunctionType) and part.__closure__ is None):
            return part
        future = self._future_of(part)
        if future is None:
            return part
        if future not in shared:
            shared.append(future)
        return _Place(shared.index(future))

    def clear(self) -> None:
        """Let go of all parts, here and on the cluster."""
        self._seen.clear()
        self._kept.clear()

    def _future_of(self, part: object) -> Any:
        identity = id(part)
        if identity in self._kept:
            return self._kept[identity][1]
        if identity not in self._seen:
            self._seen[identity] = part
            if len(self._seen) > N_REMEMBERED:
                self._seen.popitem(last=False)
            return None
        future = self._client.submit(kept, part, key=f"shared-{uuid4().hex}", pure=False)
        self._kept[identity] = (self._seen.pop(identity), future)
        return future


def kept(part: object) -> object:
    """Return the part; a task that the cluster can run again where its worker is lost."""
    return part


def run_calls(batch: Calls, *shared: object) -> list[Any]:
    """Run a batch on a worker, one call after another and with one thread each.

    Raises
    ------
    ClusterVersionsError
        If the worker joined later and has another version of this package.
    """
    if batch.made_by != version(OURS):
        raise ClusterVersionsError(f"a worker has version {version(OURS)}, this process {batch.made_by}.")
    os.environ.update(dict.fromkeys(ONE_THREAD, "1"))  # for libraries that are loaded from now on
    threadpool_limits(limits=1)  # for those that are; never lifted, since other tasks may run beside this one
    with _ONE_AT_A_TIME, parallel_config("sequential"):
        return [_run(function, args, kwargs, shared) for function, args, kwargs in batch.calls]


@contextmanager
def connected(scheduler: str) -> Iterator[ClusterBackend]:
    """Connect to a cluster that runs already, and let go of it at the end.

    Parameters
    ----------
    scheduler
        "tcp://HOST:PORT", or "tls://HOST:PORT" with the certificates that dask's own configuration names.

    Raises
    ------
    UsageError
        If dask is not installed, or the address is none.
    ClusterUnreachableError
        If no scheduler answers within 10 s, or it has no worker within 30 s.
    ClusterVersionsError
        If a worker or the scheduler has other versions than this process.
    """
    try:
        import dask
        from distributed import Client
    except ImportError as error:
        raise UsageError(
            "--backend dask needs dask.distributed, which is not installed.",
            remedy="Install it: pip install 'ketamine-response-predictor[cluster]'; or use --backend loky.",
        ) from error
    _check_address(scheduler)
    with dask.config.set({"distributed.admin.large-graph-warning-threshold": LARGEST_MESSAGE}), _quiet_library():
        client = _client(Client, scheduler)
        try:
            _await_workers(client, scheduler)
            _check_versions(client.get_versions(packages=list(COMPARED_PACKAGES)))
            if max(client.nthreads().values()) > 1:
                console.say("a worker computes one task at a time; start more of them with --nthreads 1")
            yield ClusterBackend(client)
        finally:
            client.close()


@contextmanager
def _quiet_library() -> Iterator[None]:
    """Keep the library's tracebacks of a lost connection off the screen: our error says what happened."""
    log = logging.getLogger("distributed")
    before = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(before)


def _run(function: Any, args: list[Any], kwargs: Mapping[str, Any], shared: tuple[object, ...]) -> Any:
    def whole(part: Any) -> Any:
        return shared[part.number] if isinstance(part, _Place) else part

    return whole(function)(*map(whole, args), **{name: whole(part) for name, part in kwargs.items()})


def _name_of(batch: Any) -> str:
    """Return what the task is called on dask's pages: the function, without participants' names."""
    function = batch.items[0][0]
    return str(getattr(getattr(function, "func", function), "__name__", type(function).__name__))


def _translated(error: BaseException) -> BaseException:
    """Return our error for a cluster's, and everything else as it is."""
    from distributed import CancelledError, KilledWorker

    if isinstance(error, KilledWorker):
        return ClusterLostError(f"{error.allowed_failures + 1} workers died one after another at the same task.")
    if isinstance(error, CancelledError):
        return ClusterLostError("the connection to the scheduler was lost.")
    return error


def _check_address(scheduler: str) -> None:
    try:
        parts = urlsplit(scheduler)
        is_address = parts.scheme in SCHEMES and bool(parts.hostname) and parts.port is not None and not parts.path
    except ValueError:
        is_address = False
    if not is_address:
        raise UsageError(
            "expected an address such as tcp://HOST:8786.",
            where="--scheduler",
            remedy="`dask scheduler` prints its address when it starts.",
        )


def _client(make: Callable[..., Any], scheduler: str) -> Any:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Mismatched versions found")  # `_check_versions` says it better
        try:
            return make(scheduler, timeout=CONNECT_TIMEOUT_S, set_as_default=False, name="krp")
        except (OSError, TypeError, ValueError, RuntimeError) as error:  # TypeError: TLS without certificates
            raise ClusterUnreachableError(
                f"no scheduler answered at {scheduler} within {CONNECT_TIMEOUT_S:g} s.", where="--scheduler"
            ) from error


def _await_workers(client: Any, scheduler: str) -> None:
    try:
        client.wait_for_workers(1, timeout=WORKERS_TIMEOUT_S)
    except TimeoutError as error:
        raise ClusterUnreachableError(
            f"the scheduler at {scheduler} has no workers.",
            where="--scheduler",
            remedy=f"Start some: dask worker {scheduler} --nworkers 8 --nthreads 1",
        ) from error


def _check_versions(found: Mapping[str, Any]) -> None:
    """Refuse a cluster on which numbers, or messages, could come out differently."""
    ours = found["client"]["packages"]
    others = {"the scheduler": found["scheduler"], **{f"worker {name}": one for name, one in found["workers"].items()}}
    for name, one in others.items():
        theirs = (one or {}).get("packages", {})
        for package in ("python", *COMPARED_PACKAGES):
            if theirs.get(package) != ours.get(package):
                raise ClusterVersionsError(
                    f"{name} has {package} {theirs.get(package) or '(none)'}, this process {ours.get(package)}.",
                    where="--scheduler",
                )
