"""Every fault as one form: a problem document (RFC 9457), or the same four parts on a page."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from predictor.errors import (
    AccessError,
    AddressUnknownError,
    BodyIdleError,
    BodyTooLargeError,
    BundleIncompatibleError,
    ContentTypeError,
    CredentialsInvalidError,
    CredentialsMissingError,
    DatabaseUnavailableError,
    ExplanationAbsentError,
    HeadIdleError,
    HeadTooLargeError,
    InternalError,
    JsonInvalidError,
    ManyFaultsError,
    MethodNotAllowedError,
    ModelUnavailableError,
    OverloadedError,
    PartTooLargeError,
    PredictorError,
    ProviderUnavailableError,
    RateLimitedError,
    RequestError,
    ScanTooLargeError,
    ScopeMissingError,
    ValueOutOfRangeError,
    one_error,
)
from serving.web.templating import prefers_page, render

PROBLEM_TYPE = "application/problem+json"
# The closest ancestor wins.
STATUS_OF_ERROR: dict[type[PredictorError], int] = {
    PredictorError: 422,
    InternalError: 500,
    RequestError: 400,
    BodyIdleError: 408,
    HeadIdleError: 408,
    HeadTooLargeError: 431,
    AddressUnknownError: 404,
    MethodNotAllowedError: 405,
    ExplanationAbsentError: 409,
    ContentTypeError: 415,
    BodyTooLargeError: 413,
    PartTooLargeError: 413,
    ScanTooLargeError: 413,
    BundleIncompatibleError: 409,
    ModelUnavailableError: 503,
    OverloadedError: 503,
    AccessError: 403,
    CredentialsMissingError: 401,
    CredentialsInvalidError: 401,
    RateLimitedError: 429,
    ProviderUnavailableError: 503,
    DatabaseUnavailableError: 503,
}
# What the web framework refuses by itself.
ERROR_OF_STATUS: dict[int, type[PredictorError]] = {
    400: JsonInvalidError,  # a body that is no UTF-8, nested without end, or with a number of thousands of digits
    404: AddressUnknownError,
    405: MethodNotAllowedError,
    413: BodyTooLargeError,
    415: ContentTypeError,
    500: InternalError,
}
MAX_FAULTS_LISTED = 100
DEFAULT_RETRY_AFTER_S = 10


def status_of(error: PredictorError) -> int:
    """HTTP status of an error: that of its closest listed ancestor."""
    return next(STATUS_OF_ERROR[kind] for kind in type(error).__mro__ if kind in STATUS_OF_ERROR)


def problem_document(error: PredictorError) -> dict[str, Any]:
    """One error as a problem document."""
    if isinstance(error, ManyFaultsError):
        document = problem_document(error.faults[0])
        document["errors"] = [
            {"code": fault.code, "where": fault.where, "detail": fault.unquoted}
            for fault in error.faults[:MAX_FAULTS_LISTED]
        ]
        return document
    return _document(error, status_of(error))


def add_error_handlers(app: FastAPI) -> None:
    """Answer every error with its code, place and remedy."""
    app.add_exception_handler(PredictorError, _reply_to_error)
    app.add_exception_handler(RequestValidationError, _reply_to_invalid_request)
    app.add_exception_handler(HTTPException, _reply_to_http_exception)
    app.add_exception_handler(ClientDisconnect, _reply_to_nobody)


class ProblemForLargeBody:
    """Give the framework's plain-text 413 the form of a problem document.

    FastAPI's `max_body_size` answers a declared length by itself, before any handler is asked.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on but that answer."""
        replaced = False

        async def send_problem(message: Message) -> None:
            nonlocal replaced
            if message["type"] == "http.response.start" and message["status"] == 413:
                replaced = (b"content-type", b"text/plain; charset=utf-8") in message["headers"]
                if replaced:
                    response = _respond(Request(scope), http_problem(413))
                    await response(scope, receive, send)
            if not replaced:
                await send(message)

        await self.app(scope, receive, send_problem)


def http_problem(status: int, detail: str = "") -> dict[str, Any]:
    """Return what the web framework refuses as a problem document."""
    kind = ERROR_OF_STATUS.get(status, RequestError)
    return _document(kind(detail or _title(kind)), status)


def respond_to(request: Request, error: PredictorError) -> Response:
    """Return the answer to an error; what stands before the routes has no other way to answer."""
    return _respond(request, problem_document(error), headers_of(error))


def headers_of(error: PredictorError) -> dict[str, str]:
    """Return the headers that tell a program what to do next: when to come again, or how to sign in."""
    status, headers = status_of(error), {}
    if status == 408:
        headers["Connection"] = "close"  # what else arrives belongs to a request that was given up
    if status in (429, 503):
        headers["Retry-After"] = str(getattr(error, "retry_after_s", DEFAULT_RETRY_AFTER_S))
    if isinstance(error, MethodNotAllowedError):
        headers["Allow"] = ", ".join(error.allowed)
    if status == 401:
        is_refused = isinstance(error, CredentialsInvalidError)
        headers["WWW-Authenticate"] = 'Bearer realm="krp"' + (', error="invalid_token"' if is_refused else "")
    if isinstance(error, ScopeMissingError):
        headers["WWW-Authenticate"] = 'Bearer realm="krp", error="insufficient_scope"'
    return headers


def _document(error: PredictorError, status: int) -> dict[str, Any]:
    return {
        "type": f"urn:krp:problem:{error.code}",
        "title": _title(type(error)),
        "status": status,
        "code": error.code,
        "detail": error.unquoted,
        "where": error.where,
        "remedy": error.remedy,
        "more": f"docs/errors.md#{error.code}",
    }


def _title(kind: type[PredictorError]) -> str:
    """First line of the class's docstring, which is the same for every occurrence."""
    return (kind.__doc__ or kind.code).strip().splitlines()[0]


def _respond(request: Request, document: dict[str, Any], headers: dict[str, str] | None = None) -> Response:
    status = document["status"]
    if request.url.path.startswith("/v2"):  # where the Open Inference Protocol is spoken, errors have its form
        document = {"error": document["detail"], **document}
        return Response(json.dumps(document), status, headers=headers, media_type="application/json")
    if prefers_page(request):
        context = {"problem": document, "offers_sign_in": status == 401}
        return render(request, "problem.html", context, status=status, headers=headers)
    return Response(json.dumps(document), status, headers=headers, media_type=PROBLEM_TYPE)


async def _reply_to_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, PredictorError)
    return respond_to(request, error)


async def _reply_to_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    phrase = HTTPStatus(error.status_code).phrase
    detail = "" if error.detail == phrase else error.detail
    return _respond(request, http_problem(error.status_code, detail), dict(error.headers or {}))


async def _reply_to_invalid_request(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return _respond(request, problem_document(one_error(faults_of(error.errors()))))


async def _reply_to_nobody(request: Request, error: Exception) -> Response:
    return Response(status_code=499)  # the client is gone: nobody reads this, and nothing was kept


def faults_of(errors: Iterable[Mapping[str, Any]], *, root: tuple[str, ...] = ()) -> list[PredictorError]:
    """Return one error per place; pydantic reports one per member of a union, and the number's is the telling one."""
    by_place: dict[str, PredictorError] = {}
    for item in errors:
        where = ", ".join([*root, place_of(item["loc"])] if item["loc"] or not root else root)
        if where not in by_place or item["type"] == "finite_number":
            by_place[where] = _fault(item, where)
    return list(by_place.values())


def _fault(item: Mapping[str, Any], where: str) -> PredictorError:
    if item["type"] == "finite_number":
        return ValueOutOfRangeError("expected a finite number, found NaN or infinity.", where=where)
    if item["type"] == "json_invalid":
        return JsonInvalidError(f"expected JSON: {item.get('ctx', {}).get('error', 'cannot be read')}.", where=where)
    return RequestError(f"{item['msg']}.", where=where)  # pydantic's sentence names types, never the value


def place_of(location: Sequence[str | int]) -> str:
    """Row and column of a pydantic location, counted from 1 as people count.

    Examples
    --------
    >>> place_of(("body", "rows", 2, "features", "rest_fisher_z__amygdala_L__vmPFC"))
    'row 3, column rest_fisher_z__amygdala_L__vmPFC'
    """
    match list(location):
        case ["body", "rows", int(row), "features" | "covariates", str(column), *_]:
            return f"row {row + 1}, column {column[:100]}"
        case ["body", "rows", int(row), str(member), *_]:
            return f"row {row + 1}, {member[:100]}"
        case ["body", "rows", int(row)]:
            return f"row {row + 1}"
        case ["body", int(position)]:
            return f"character {position}"
        case ["body", str(member), *_]:
            return member[:100]
    return ", ".join(str(part) for part in location if part != "body")[:100] or "body"
