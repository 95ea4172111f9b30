"""A fault of ours ends as an answer and a line in the log that tells where, but not what was sent."""

from __future__ import annotations

import logging

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from predictor.errors import InternalError
from serving.error_handlers import respond_to
from serving.operation.json_logs import FIELDS, frames_of
from serving.operation.metrics import ServiceMetrics

logger = logging.getLogger(__name__)


class BugNet:
    """Catch what nobody expected, behind the layers that add headers, so that this answer has them too.

    The framework's own net lies outside all layers and passes the exception on to the server, whose traceback would
    quote its text.
    """

    def __init__(self, app: ASGIApp, *, metrics: ServiceMetrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on; answer 500 where nothing has been answered yet."""
        has_begun = False

        async def send_and_note(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            await self.app(scope, receive, send_and_note)
        except Exception as error:
            if scope["type"] != "http":
                raise
            self.metrics.count_bug()
            fields = {
                "request_id": scope.get("state", {}).get("request_id"),
                "exception": type(error).__name__,
                "frames": frames_of(error),
            }
            logger.error("the request failed by a fault of ours", extra={FIELDS: fields})
            if has_begun:
                raise ConnectionResetError("the answer was cut off by a fault of ours") from None
            await respond_to(Request(scope), InternalError("the request failed."))(scope, receive, send)
