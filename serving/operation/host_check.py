"""Which names this service answers to; a foreign name that leads here (DNS rebinding) gets nothing."""

from __future__ import annotations

from collections.abc import Iterable

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from predictor.errors import HostUnknownError
from serving.error_handlers import respond_to

ANY = "*"


class HostCheck:
    """Refuse requests for other hosts, as a problem document like every other fault.

    Parameters
    ----------
    app
        What stands behind it.
    allowed
        Names and addresses without port; "*.example.org" takes every name below it, "*" any.
    """

    def __init__(self, app: ASGIApp, *, allowed: Iterable[str]) -> None:
        names = {name.lower().strip("[]") for name in allowed}
        self.app = app
        self._takes_any = ANY in names
        self._names = frozenset(names)
        self._endings = tuple(name[1:] for name in names if name.startswith("*."))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what is meant for this service."""
        if scope["type"] != "http" or self._takes_any or self.knows(host_of(scope)):
            await self.app(scope, receive, send)
            return
        error = HostUnknownError("the request's Host header names another host than this service's.")
        await respond_to(Request(scope), error)(scope, receive, send)

    def knows(self, host: str) -> bool:
        """Whether the service answers to a name or address."""
        return host in self._names or (bool(self._endings) and host.endswith(self._endings))


def host_of(scope: Scope) -> str:
    """Return the host of a request without its port, in lower case; empty if it names none, or several.

    Examples
    --------
    >>> host_of({"headers": [(b"host", b"[::1]:8000")]})
    '::1'
    """
    found = [value for name, value in scope["headers"] if name == b"host"]
    if len(found) != 1:
        return ""
    host: str = found[0].decode("latin-1").lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]
