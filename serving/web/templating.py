"""Pages from templates: escaped, with the same few names in each."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from starlette.requests import Request
from starlette.responses import HTMLResponse

from serving.access.principal import NOBODY, Principal, Scope

_ENVIRONMENT = Environment(
    loader=PackageLoader("serving.web"),
    autoescape=select_autoescape(default=True, default_for_string=True),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
# Main pages, and what a person must be allowed to do to be led there.
SCORING: tuple[Scope, ...] = ("score", "read")  # a page that scores leads to the result, which is read
PAGES: tuple[tuple[str, str, tuple[Scope, ...]], ...] = (
    ("/visit", "Score a visit", SCORING),
    ("/table", "Score a feature table", SCORING),
    ("/history", "History", ("read",)),
    ("/models", "Models", ()),
    ("/docs", "API", ()),
)


def prefers_page(request: Request) -> bool:
    """Whether a person is asking: their browser names text/html, and the address is not a program's."""
    is_program_address = request.url.path.startswith(("/v1/", "/v2", "/health/", "/metrics", "/openapi.json"))
    return "text/html" in request.headers.get("accept", "") and not is_program_address


def render(
    request: Request,
    template: str,
    context: Mapping[str, Any],
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> HTMLResponse:
    """Answer with a page."""
    caller: Principal = getattr(request.state, "principal", NOBODY)
    names = {
        "path": request.url.path,
        "standalone": False,
        "pages": [page[:2] for page in PAGES if _is_open_to(caller, page[2])],
        "may_score": _is_open_to(caller, SCORING),
        "is_signed_in": caller.is_signed_in,
        "offers_sign_in": caller == NOBODY,
        **context,
    }
    page = _ENVIRONMENT.get_template(template).render(names)
    return HTMLResponse(page, status, headers=dict(headers or {}))


def _is_open_to(caller: Principal, scopes: tuple[Scope, ...]) -> bool:
    return caller != NOBODY and all(caller.may(scope) for scope in scopes)


def standalone_page(template: str, context: Mapping[str, Any]) -> str:
    """Return a page that carries its style, to be kept as one file."""
    names = {"path": "", "standalone": True, "may_score": False, "style": _style(), **context}
    return _ENVIRONMENT.get_template(template).render(names)


@cache
def _style() -> str:
    return files("serving.web").joinpath("static/page.css").read_text(encoding="utf-8")
