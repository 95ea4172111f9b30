"""HEAD answers like GET, without the body."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

# What the router writes down about a request, and the request log reads.
_WRITTEN_BY_ROUTER = ("route", "endpoint", "path_params")


class HeadLikeGet:
    """Ask the routes for GET where the client asked for HEAD, and keep the body back; its length and type stay."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything else on as it is."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self.app(scope, receive, send)
            return
        as_get = {**scope, "method": "GET"}  # a copy: the server itself must go on knowing that it was HEAD

        async def send_head(message: Message) -> None:
            scope.update({key: as_get[key] for key in _WRITTEN_BY_ROUTER if key in as_get})
            if message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        await self.app(as_get, receive, send_head)
