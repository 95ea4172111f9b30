"""Pages from templates: escaped, with the same few names in each."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from starlette.requests import Request
from starlette.responses import HTMLResponse

_ENVIRONMENT = Environment(
    loader=PackageLoader("serving.web"),
    autoescape=select_autoescape(default=True, default_for_string=True),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def prefers_page(request: Request) -> bool:
    """Whether a person is asking: their browser names text/html, and the address is not a program's."""
    is_program_address = request.url.path.startswith(("/v1/", "/health/", "/openapi.json"))
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
    names = {"path": request.url.path, "standalone": False, **context}
    page = _ENVIRONMENT.get_template(template).render(names)
    return HTMLResponse(page, status, headers=dict(headers or {}))


def standalone_page(template: str, context: Mapping[str, Any]) -> str:
    """Return a page that carries its style, to be kept as one file."""
    style = files("serving.web").joinpath("static/page.css").read_text(encoding="utf-8")
    return _ENVIRONMENT.get_template(template).render({"path": "", "standalone": True, "style": style, **context})
