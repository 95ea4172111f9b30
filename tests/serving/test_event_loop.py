from __future__ import annotations

import asyncio
from threading import current_thread

import pytest

from serving.event_loop import at_once_or_in_thread


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
