"""What may run on the event loop itself, and what goes into a thread so that others are answered meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")
# So few rows, or so short a body, take less time than a thread and the way back would cost.
N_ROWS_AT_ONCE: Final = 8
N_BYTES_AT_ONCE: Final = 128 * 1024


async def at_once_or_in_thread(
    is_small: bool,  # what follows are the function's own arguments
    function: Callable[Arguments, Result],
    *arguments: Arguments.args,
    **options: Arguments.kwargs,
) -> Result:
    """Call a function here when its work is small, in a thread otherwise."""
    if is_small:
        return function(*arguments, **options)
    return await asyncio.to_thread(function, *arguments, **options)
