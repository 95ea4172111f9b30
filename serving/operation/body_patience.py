"""How long a request's body is waited for: slow lines are served, senders that stop or trickle are not."""

from __future__ import annotations

import asyncio
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from predictor.errors import BodyIdleError

# A line that brings less than this while we wait for `idle_s` is no line to send a scan over: 0.8 kB/s at 20 s.
MIN_BYTES: Final = 16 * 1024


class BodyPatience:
    """Raise where a route waits too long for the next bytes of its body.

    Only waiting counts: while we parse, the sender is not late. Bytes that trickle do not help, a wait is forgotten
    only once `MIN_BYTES` arrived.

    Parameters
    ----------
    app
        The routes; their error handler answers.
    idle_s
        Longest wait, in seconds.
    """

    def __init__(self, app: ASGIApp, *, idle_s: float) -> None:
        self.app = app
        self.idle_s = idle_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, with a `receive` that does not wait for ever."""
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD"):
            await self.app(scope, receive, send)
            return
        loop = asyncio.get_running_loop()
        waited_s, n_bytes, is_complete = 0.0, 0, False

        async def receive_in_time() -> Message:
            nonlocal waited_s, n_bytes, is_complete
            if is_complete:
                return await receive()  # only the client's leaving is left to hear of
            begin = loop.time()
            try:
                async with asyncio.timeout_at(begin + self.idle_s - waited_s):
                    message = await receive()
            except TimeoutError:
                raise BodyIdleError(f"the rest of the body did not arrive within {self.idle_s:g} s.") from None
            is_complete = not message.get("more_body", False)
            waited_s += loop.time() - begin
            n_bytes += len(message.get("body", b""))
            if n_bytes >= MIN_BYTES:
                waited_s, n_bytes = 0.0, 0
            return message

        await self.app(scope, receive_in_time, send)
