"""A way round the web framework for the busiest address: its routing costs as much as the scoring."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import Request
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from predictor.errors import PredictorError
from serving.error_handlers import respond_to

# Python refuses to read numbers of thousands of digits.
MAX_LENGTH_DIGITS = 18


class ShortWay:
    """Hand a request whose address, method and length are plain to its function; everything else takes the usual way.

    Put it around the routes and behind every other layer: both ways give the same answers.

    Parameters
    ----------
    app
        The usual way.
    route
        The route as the framework has it, for who asks which one took the request.
    path
        Its address, without fields.
    endpoint
        Its function, which reads the body itself.
    max_body_bytes
        Longer bodies, and those that do not say how long they are, take the usual way, which counts and refuses.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        route: BaseRoute,
        path: str,
        endpoint: Callable[[Request], Awaitable[Response]],
        max_body_bytes: int,
    ) -> None:
        self.app = app
        self.route = route
        self.path = path
        self.endpoint = endpoint
        self.max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass on."""
        if scope["type"] != "http" or not self._is_plain(scope):
            await self.app(scope, receive, send)
            return
        scope["route"] = self.route
        request = Request(scope, receive)
        try:
            response = await self.endpoint(request)
        except PredictorError as error:
            response = respond_to(request, error)
        except ClientDisconnect:
            return
        await response(scope, receive, send)

    def _is_plain(self, scope: Scope) -> bool:
        if scope["path"] != self.path or scope["method"] != "POST" or scope.get("root_path"):
            return False
        lengths = [value for name, value in scope["headers"] if name == b"content-length"]
        if len(lengths) != 1 or not lengths[0].isdigit() or len(lengths[0]) > MAX_LENGTH_DIGITS:
            return False
        return int(lengths[0]) <= self.max_body_bytes
