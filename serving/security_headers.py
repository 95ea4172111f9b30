"""Headers that keep pages to themselves: nothing from other hosts, nothing inline, nothing stored."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

CONTENT_SECURITY_POLICY = "; ".join(
    [
        "default-src 'none'",
        "style-src 'self'",
        "script-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    ]
)
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


# As bytes, made once: this runs for every answer.
_NO_STORE = (b"cache-control", b"no-store")
_RAW = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
_NAMES = frozenset(name for name, _ in _RAW)
_NAMES_OF_UNCACHED = _NAMES | {_NO_STORE[0]}


class SecurityHeaders:
    """Add the headers to every answer; only static files may be cached."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, and complete the head of the answer."""
        is_static = scope.get("path", "").startswith("/static/")
        replaced, added = (_NAMES, _RAW) if is_static else (_NAMES_OF_UNCACHED, [*_RAW, _NO_STORE])

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                kept = [header for header in message.get("headers", ()) if header[0] not in replaced]
                message["headers"] = kept + added
            await send(message)

        await self.app(scope, receive, send_with_headers if scope["type"] == "http" else send)
