"""Processes forked from `training.fork_server` as a backend of joblib: the same calls, in workers that start at once.

For tasks with small arguments, such as a visit that is read in its worker. Large arrays are better off with joblib's
own processes, which share them.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from joblib import cpu_count
from joblib.parallel import AutoBatchingMixin, ParallelBackendBase


class ForkedBackend(AutoBatchingMixin, ParallelBackendBase):
    """Submits joblib's batches to forked workers; `training.workers.open_workers` makes it the active backend."""

    supports_retrieve_callback = True

    def __init__(self) -> None:
        super().__init__()
        self._pool: ProcessPoolExecutor | None = None
        self._n_workers = 0

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """Return how many tasks run at once: 1 stays in this process, negative numbers count from all processors."""
        if n_jobs is None:
            return 1
        return n_jobs if n_jobs > 0 else max(cpu_count() + 1 + n_jobs, 1)

    def configure(self, n_jobs: int = 1, parallel: Any = None, *_: Any, **__: Any) -> int:
        """Make workers, or keep those of the last call if they are as many."""
        self.parallel = parallel
        n_workers = self.effective_n_jobs(n_jobs)
        if n_workers > 1 and (self._pool is None or n_workers != self._n_workers):
            self.close()
            context = multiprocessing.get_context("forkserver")
            self._pool = ProcessPoolExecutor(n_workers, mp_context=context, initializer=belong_to_parent)
            self._n_workers = n_workers
        return n_workers

    def submit(self, func: Callable[[], Any], callback: Callable[[Future[Any]], None] | None = None) -> Future[Any]:
        """Send a batch; the callback gets its future."""
        assert self._pool is not None  # joblib configures first
        try:
            future = self._pool.submit(func)
        except (EOFError, ConnectionError) as error:
            raise BrokenProcessPool("the process from which workers are forked was ended.") from error
        if callback is not None:
            future.add_done_callback(callback)
        return future

    def retrieve_result_callback(self, out: Any) -> Any:
        """Return a batch's results, or raise what went wrong."""
        return out.result()

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """Kill the workers at what they are at; the next call makes others."""
        if self._pool is not None:
            for process in list((self._pool._processes or {}).values()):
                process.kill()
        self.close()

    def terminate(self) -> None:
        """Forget how large batches were; the workers wait for the next call."""
        self.reset_batch_stats()

    def close(self) -> None:
        """Let the workers end."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None


def belong_to_parent() -> None:
    """Leave Ctrl+C to the parent, and end when it was killed; runs in every worker first."""
    gc.freeze()  # what the server imported is nobody's garbage
    gc.enable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, name="watch-parent", daemon=True).start()
