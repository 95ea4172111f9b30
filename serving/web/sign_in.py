"""Signing in and out with a browser: a person pastes a key, the browser keeps a cookie."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from predictor.errors import AccessError, PredictorError, RateLimitedError, RequestError
from serving.access.access_control import AccessControl
from serving.access.cookies import SIGN_IN_COOKIE, set_sign_in
from serving.access.gate import SIGN_IN_PAGE, address_of
from serving.access.route_table import ROUTE_TABLE
from serving.access.sign_ins import SIGNED_IN_FOR
from serving.error_handlers import headers_of, problem_document, status_of
from serving.store.audit_chain import AuditChain, AuditEvent
from serving.web.templating import render

router = APIRouter(include_in_schema=False)
MAX_FORM_BYTES = 4096
HOME = "/"


@router.get(SIGN_IN_PAGE)
async def sign_in_form(request: Request) -> Response:
    """Ask for a key, unless nobody needs one."""
    access: AccessControl = request.app.state.access
    leads_to = _own_page(request.query_params.get("next", HOME))
    return RedirectResponse(leads_to, 303) if await access.is_open() else _form(request, leads_to=leads_to)


@router.post(SIGN_IN_PAGE)
async def sign_in(request: Request) -> Response:
    """Take a key, and lead to where the person wanted to go."""
    access: AccessControl = request.app.state.access
    audit: AuditChain = request.app.state.audit
    fields = _fields_of(await request.body())
    leads_to = _own_page(fields.get("next", HOME))
    if await access.is_open():
        return RedirectResponse(leads_to, 303)
    try:
        cookie, principal = await access.sign_in(fields.get("key", "").strip(), address=address_of(request.scope))
    except AccessError as error:
        return _form(request, leads_to=leads_to, error=error)
    await audit.record([AuditEvent(owner=principal.owner, action="sign-in")])
    await _forget(request)
    return RedirectResponse(leads_to, 303, headers={"Set-Cookie": set_sign_in(cookie, request.scope)})


@router.post("/sign-out")
async def sign_out(request: Request) -> Response:
    """Forget the browser, here and there."""
    await _forget(request)
    return RedirectResponse(SIGN_IN_PAGE, 303, headers={"Set-Cookie": set_sign_in("", request.scope)})


async def _forget(request: Request) -> None:
    """End the sign-in that the browser came with, if it came with one."""
    access: AccessControl = request.app.state.access
    cookie = request.cookies.get(SIGN_IN_COOKIE)
    if cookie:
        await access.sign_out(cookie)


def _fields_of(body: bytes) -> dict[str, str]:
    try:
        fields = parse_qs(body.decode("utf-8", "replace"), max_num_fields=8)
    except ValueError as error:
        raise RequestError("expected the fields key and next, found many more.") from error
    return {name: values[0] for name, values in fields.items()}


def _form(request: Request, *, leads_to: str, error: AccessError | None = None) -> Response:
    context = {
        "leads_to": leads_to,
        "problem": problem_document(error) if error else None,
        "wait_s": error.retry_after_s if isinstance(error, RateLimitedError) else None,
        "hours": int(SIGNED_IN_FOR.total_seconds() // 3600),
    }
    if error is None:
        return render(request, "sign_in.html", context)
    return render(request, "sign_in.html", context, status=status_of(error), headers=headers_of(error))


def _own_page(address: str) -> str:
    """Return the address if it is one of our pages, else the home page: a link must not lead elsewhere."""
    try:
        path = urlsplit(address).path
        is_ours = path == address and ROUTE_TABLE.find("GET", path).is_page
    except (PredictorError, ValueError):
        is_ours = False
    return address if is_ours and address != SIGN_IN_PAGE else HOME
