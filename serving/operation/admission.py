"""How much is let in at once, so that what is under way stays fast and health is always answered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from predictor.errors import OverloadedError, PredictorError, StoppingError
from serving.access.route_table import RULES
from serving.error_handlers import respond_to
from serving.operation.load import Load
from serving.operation.metrics import ServiceMetrics

# Always let in: they cost next to nothing, and whoever watches over the service must get an answer.
_WATCHERS = ("/health/", "/v2/health/", "/metrics")
_READINESS = frozenset({"/health/ready", "/v2/health/ready"})
# What reads the scans of a visit, and so keeps a processor busy for seconds.
VISIT_PATHS = frozenset(rule.path for rule in RULES if rule.is_scan)
# A client that is turned away in the middle of its upload would see a broken connection instead of the answer, were
# the rest not taken for a moment.
LINGER_S = 1.0
LINGER_BYTES = 8 * 1024 * 1024


class Admission:
    """Count what is under way, and turn away what is too much, or comes after the service was told to stop."""

    def __init__(
        self, app: ASGIApp, *, load: Load, metrics: ServiceMetrics, max_requests: int, max_uploads: int
    ) -> None:
        self.app = app
        self.load = load
        self.metrics = metrics
        self.max_requests = max_requests
        self.max_uploads = max_uploads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let in, or answer 503 with Retry-After at once."""
        path = scope.get("path", "")
        if scope["type"] != "http" or path.startswith(_WATCHERS):
            if path in _READINESS and self.load.is_stopping:
                await respond_to(Request(scope), StoppingError("the service has been told to stop."))(
                    scope, receive, send
                )
                return
            await self.app(scope, receive, send)
            return
        is_upload = path in VISIT_PATHS and scope["method"] == "POST"
        reason = self._reason_to_refuse(is_upload=is_upload)
        if reason is not None:
            self.metrics.count_overload(reason)
            await _turn_away(_ERRORS[reason](), scope, receive, send)
            return
        await self._answer(scope, receive, send, is_upload=is_upload)

    def _reason_to_refuse(self, *, is_upload: bool) -> str | None:
        if self.load.is_stopping:
            return "stopping"
        if self.load.n_requests >= self.max_requests:
            return "requests"
        return "uploads" if is_upload and self.load.n_uploads >= self.max_uploads else None

    async def _answer(self, scope: Scope, receive: Receive, send: Send, *, is_upload: bool) -> None:
        load = self.load
        load.n_requests += 1
        load.n_uploads += is_upload
        if is_upload:
            receive = self._counting(receive)
        try:
            await self.app(scope, receive, send)
        finally:
            load.n_requests -= 1
            load.n_uploads -= is_upload

    def _counting(self, receive: Receive) -> Receive:
        async def receive_and_count() -> Message:
            message = await receive()
            self.metrics.count_upload(len(message.get("body", b"")))
            return message

        return receive_and_count


_ERRORS: dict[str, Callable[[], PredictorError]] = {
    "stopping": lambda: StoppingError("the service has been told to stop."),
    "requests": lambda: OverloadedError("as many requests are under way as the service takes at once."),
    "uploads": lambda: OverloadedError("as many visits are being read as the service takes at once."),
}


async def _turn_away(error: PredictorError, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer before the body is read, and close the connection once the client has had the time to see it."""

    async def send_and_linger(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], (b"connection", b"close")]
            await send(message)
            return
        await send({**message, "more_body": True})
        await _drain(receive)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    await respond_to(Request(scope), error)(scope, receive, send_and_linger)


async def _drain(receive: Receive) -> None:
    """Take what is still being sent, for a moment and up to a limit, and forget it."""
    n_bytes = 0
    try:
        async with asyncio.timeout(LINGER_S):
            while n_bytes < LINGER_BYTES:
                message = await receive()
                n_bytes += len(message.get("body", b""))
                if message["type"] != "http.request" or not message.get("more_body", False):
                    return
    except TimeoutError:
        return
