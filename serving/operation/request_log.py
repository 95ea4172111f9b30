"""Every request has an id, a line in the log, and its place in the metrics."""

from __future__ import annotations

import logging
import os
import re
from time import perf_counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.operation.json_logs import FIELDS
from serving.operation.metrics import ServiceMetrics

logger = logging.getLogger(__name__)

# Hexadecimal digits and hyphens, as UUIDs and trace ids are: no name of a person or a file can be spelled with it.
_SANE_ID = re.compile(rb"[0-9a-fA-F-]{16,64}")
_N_ID_BYTES = 16
_QUIET = ("/health/", "/v2/health/", "/metrics", "/static/")  # asked all the time, and never about anyone
CLIENT_GONE = 499  # nginx's number for it


class RequestLog:
    """The outermost layer: gives the request its id, and notes how it ended.

    The line holds method, route template, status, milliseconds and the caller's opaque owner; never the address that
    was asked for, since ids and file names may stand in it, nor headers or the client's address.
    """

    def __init__(self, app: ASGIApp, *, metrics: ServiceMetrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, add X-Request-Id to the answer, and write it down."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, status = perf_counter(), CLIENT_GONE
        request_id = id_of(scope)
        scope.setdefault("state", {})["request_id"] = request_id.decode()

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", request_id)]
            await send(message)

        try:
            await self.app(scope, receive, send_with_id)
        finally:
            self._note(scope, status=status, seconds=perf_counter() - started)

    def _note(self, scope: Scope, *, status: int, seconds: float) -> None:
        route, method = route_of(scope), scope["method"]
        self.metrics.count_request(route=route, method=method, status=status, seconds=seconds)
        level = logging.WARNING if status >= 500 else logging.INFO
        if status < 400 and scope["path"].startswith(_QUIET):
            level = logging.DEBUG
        if not logger.isEnabledFor(level):
            return
        principal = scope["state"].get("principal")
        fields = {
            "request_id": scope["state"]["request_id"],
            "method": method if method.isalpha() and len(method) <= 8 else "OTHER",
            "route": route,
            "status": status,
            "ms": round(seconds * 1000, 2),
            "owner": principal.owner if principal else None,
        }
        logger.log(level, "request", extra={FIELDS: fields})


def id_of(scope: Scope) -> bytes:
    """Return the caller's X-Request-Id where it is sane, else a new one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            return bytes(value) if _SANE_ID.fullmatch(value) else _new_id()
    return _new_id()


def route_of(scope: Scope) -> str | None:
    """Return the template of the route that took the request; None if none did."""
    route = scope.get("route")
    if route is not None:
        return str(route.path)
    return "/static" if scope["path"].startswith("/static/") else None


def _new_id() -> bytes:
    return os.urandom(_N_ID_BYTES).hex().encode()
