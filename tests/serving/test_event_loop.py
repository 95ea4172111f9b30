from __future__ import annotations

import asyncio
import threading
import time
from threading import current_thread

import pytest

from serving.event_loop import N_COMPUTING_THREADS, at_once_or_in_thread, compute_in_thread


@pytest.mark.parametrize("is_small", [True, False])
def test_only_small_work_runs_on_the_loop_itself(is_small: bool) -> None:
    async def run() -> bool:
        return await at_once_or_in_thread(is_small, current_thread) is current_thread()

    assert asyncio.run(run()) is is_small


@pytest.mark.parametrize("is_small", [True, False])
def test_arguments_and_errors_pass_through(is_small: bool) -> None:
    assert asyncio.run(at_once_or_in_thread(is_small, int, "ff", base=16)) == 255
    with pytest.raises(ValueError, match="invalid literal"):
        asyncio.run(at_once_or_in_thread(is_small, int, "x"))


def test_no_more_compute_at_once_than_there_are_computing_threads() -> None:
    lock, n_now, most = threading.Lock(), 0, 0

    def compute() -> None:
        nonlocal n_now, most
        with lock:
            n_now += 1
            most = max(most, n_now)
        time.sleep(0.01)
        with lock:
            n_now -= 1

    async def run() -> None:
        await asyncio.gather(*(compute_in_thread(compute) for _ in range(4 * N_COMPUTING_THREADS)))

    asyncio.run(run())
    assert most <= N_COMPUTING_THREADS


def test_what_waits_is_not_kept_by_what_computes() -> None:
    is_over = threading.Event()

    async def run() -> bool:
        computing = [asyncio.create_task(compute_in_thread(is_over.wait, 30)) for _ in range(N_COMPUTING_THREADS)]
        await asyncio.to_thread(is_over.set)
        return all(await asyncio.gather(*computing))

    assert asyncio.run(run())
