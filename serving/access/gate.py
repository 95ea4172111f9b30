"""The gate before every route: who asks, whether they may, and whether it is not too much."""

from __future__ import annotations

from contextlib import suppress
from typing import TypeGuard
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from predictor.errors import (
    AddressUnknownError,
    CredentialsInvalidError,
    CredentialsMissingError,
    DatabaseUnavailableError,
    ForeignPageError,
    MethodNotAllowedError,
    PredictorError,
    ScopeMissingError,
)
from serving.access.access_control import AccessControl
from serving.access.cookies import (
    BROWSER_COOKIE,
    SIGN_IN_COOKIE,
    browser_principal,
    cookie_of,
    new_browser,
    set_browser,
    set_sign_in,
)
from serving.access.principal import LOCAL, NOBODY, Principal
from serving.access.route_table import ROUTE_TABLE, Rule
from serving.error_handlers import respond_to
from serving.web.templating import prefers_page

SIGN_IN_PAGE = "/sign-in"
_SAFE_METHODS = ("GET", "HEAD")


class AccessGate:
    """Let through who may, as `request.state.principal`; answer everybody else."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, or refuse."""
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        if scope["type"] != "http":
            return await send({"type": "websocket.close", "code": 1008})  # there is no such route
        scope.setdefault("state", {})["principal"] = NOBODY
        try:
            cookie = await _admit(scope)
        except PredictorError as error:
            if isinstance(error, AddressUnknownError | MethodNotAllowedError):
                await _lead_on(scope)
            return await _refusal(Request(scope), error)(scope, receive, send)
        await self.app(scope, receive, send if cookie is None else _with_cookie(send, cookie))


async def _admit(scope: Scope) -> str | None:
    """Find out who asks and whether they may; return the cookie to give them, if any."""
    rule = ROUTE_TABLE.find(scope["method"], scope["path"])
    authorization, cookies, comes_from = _headers_of(scope)
    if scope["method"] not in _SAFE_METHODS and not _is_bearer(authorization):
        _check_own_page(comes_from)
    if rule.needs == "nothing":
        return None
    access: AccessControl = scope["app"].state.access
    if await access.is_open():
        scope["state"]["principal"], cookie = _neighbour(scope, rule, cookies)
        return cookie
    principal = await _identify(access, authorization, cookies, address=address_of(scope))
    scope["state"]["principal"] = principal
    if rule.needs != "sign-in" and not principal.may(rule.needs):
        raise ScopeMissingError(f"expected a key with the scope {rule.needs}.")
    access.spend(principal, rule)
    return None


async def _lead_on(scope: Scope) -> None:
    """Let the page of an unknown address offer what everybody may open while no keys are asked for."""
    access: AccessControl = scope["app"].state.access
    with suppress(DatabaseUnavailableError):
        if await access.is_open():
            scope["state"]["principal"] = LOCAL


def address_of(scope: Scope) -> str:
    """Return where a request comes from; empty behind a socket file."""
    client = scope.get("client")
    return client[0] if client else ""


def _headers_of(scope: Scope) -> tuple[str | None, str, dict[bytes, bytes]]:
    """Return the Authorization header, the cookies, and what a browser says about the page that sent it."""
    authorization, cookies, comes_from = None, "", {}
    for name, value in scope["headers"]:
        if name == b"authorization":
            # Two of them: whoever stands before us may have read the other one.
            authorization = value.decode("latin-1") if authorization is None else ""
        elif name == b"cookie":
            cookies = value.decode("latin-1")
        elif name in (b"sec-fetch-site", b"origin", b"host"):
            comes_from[name] = value
    return authorization, cookies, comes_from


async def _identify(access: AccessControl, authorization: str | None, cookies: str, *, address: str) -> Principal:
    if authorization is None:
        return await access.browser_of(cookie_of(cookies, SIGN_IN_COOKIE), address=address)
    if not _is_bearer(authorization):
        raise CredentialsInvalidError("expected one Authorization header of the kind Bearer.")
    return await access.bearer_of(authorization.partition(" ")[2].strip(), address=address)


def _is_bearer(authorization: str | None) -> TypeGuard[str]:
    """Whether a key or token came along, which no other site's page can send without asking us first.

    A browser adds what a person once typed into its own window ("Basic") to whatever any page sends here.
    """
    return authorization is not None and authorization.partition(" ")[0].lower() == "bearer"


def _neighbour(scope: Scope, rule: Rule, cookies: str) -> tuple[Principal, str | None]:
    """Return who asks while no keys are asked for: a browser by its cookie, so that its history is its own."""
    known = browser_principal(cookie_of(cookies, BROWSER_COOKIE))
    if known is not None or not rule.is_page:
        return known or LOCAL, None
    cookie = new_browser()
    made = browser_principal(cookie)
    assert made is not None
    return made, set_browser(cookie, scope)


def _check_own_page(comes_from: dict[bytes, bytes]) -> None:
    """Refuse what another site's page sends through a visitor's browser; programs say nothing about pages."""
    site = comes_from.get(b"sec-fetch-site")
    if site is not None:
        is_own = site in (b"none", b"same-origin")
    else:  # browsers from before 2023
        origin = comes_from.get(b"origin")
        is_own = origin is None or origin.partition(b"://")[2] == comes_from.get(b"host")
    if not is_own:
        raise ForeignPageError("this address takes requests from this service's own pages only.")


def _refusal(request: Request, error: PredictorError) -> Response:
    """Answer a refusal; who came with a browser and no key is led to the page where one is pasted."""
    if isinstance(error, CredentialsMissingError) and request.method in _SAFE_METHODS and prefers_page(request):
        leads_to = f"{SIGN_IN_PAGE}?next={quote(request.url.path)}"
        response = RedirectResponse(leads_to, 303)
        if SIGN_IN_COOKIE in request.cookies:  # one that has run out; it may also just not have come along
            response.headers["Set-Cookie"] = set_sign_in("", request.scope)
        return response
    return respond_to(request, error)


def _with_cookie(send: Send, cookie: str) -> Send:
    async def send_with_cookie(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), (b"set-cookie", cookie.encode())]}
        await send(message)

    return send_with_cookie
