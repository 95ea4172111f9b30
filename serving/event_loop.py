"""What may run on the event loop itself, and what goes into a thread so that others are answered meanwhile."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")
# So few rows, or so short a body, take less time than a thread and the way back would cost.
N_ROWS_AT_ONCE: Final = 8
N_BYTES_AT_ONCE: Final = 128 * 1024
# One per processor, two at least. Scoring holds Python's lock nearly all the time, so more threads answer nobody
# sooner; but each of them may go before the event loop whenever that wants the lock back, several times per answer.
N_COMPUTING_THREADS: Final = max(2, os.cpu_count() or 1)
_COMPUTING: Final = ThreadPoolExecutor(N_COMPUTING_THREADS, thread_name_prefix="computing")


async def at_once_or_in_thread(
    is_small: bool,  # what follows are the function's own arguments
    function: Callable[Arguments, Result],
    *arguments: Arguments.args,
    **options: Arguments.kwargs,
) -> Result:
    """Call a function here when its work is small, in a computing thread otherwise."""
    if is_small:
        return function(*arguments, **options)
    return await compute_in_thread(function, *arguments, **options)


async def compute_in_thread(
    function: Callable[Arguments, Result], *arguments: Arguments.args, **options: Arguments.kwargs
) -> Result:
    """Call a function that keeps a processor busy in one of the few computing threads, first come first served.

    What waits, for a database or a registry, belongs into `asyncio.to_thread`: it would keep visits from being read.
    """
    call = partial(function, *arguments, **options)
    return await asyncio.get_running_loop().run_in_executor(_COMPUTING, call)
