"""Pages about models: all of them side by side, and each one's card."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from fastapi import APIRouter, Request
from markupsafe import Markup
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse

from predictor.errors import ModelUnavailableError
from predictor.report.markdown_page import markdown_as_html
from serving.dependencies import CurrentModel, model_of
from serving.model_source import ListedModel, LoadedModel
from serving.model_store import ModelStore
from serving.web.model_comparison import MAX_BESIDE, ROWS, in_order, model_column
from serving.web.templating import render

router = APIRouter(prefix="/models", include_in_schema=False)


@router.get("")
async def models(request: Request) -> HTMLResponse:
    """Compare the models that the registry knows."""
    current = _current(request)
    shown = in_order(await _listed(request))
    checklist = current is not None and bool(current.bundle.tripod_ai_text)
    context = {
        "columns": [model_column(one, has_checklist=one.is_current and checklist) for one in shown[:MAX_BESIDE]],
        "n_more": max(0, len(shown) - MAX_BESIDE),
        "rows": ROWS,
    }
    return render(request, "models.html", context)


@router.get("/current/tripod-ai")
def tripod_ai(request: Request, model: CurrentModel) -> HTMLResponse:
    """Show the TRIPOD+AI table of the model that answers."""
    if not model.bundle.tripod_ai_text:
        raise HTTPException(404, "this model is from before there were TRIPOD+AI tables.")
    return _reading_page(request, "TRIPOD+AI checklist", model, model.bundle.tripod_ai_text)


@router.get("/current/card")
def current_card(request: Request, model: CurrentModel) -> HTMLResponse:
    """Show the card of the model that answers."""
    return _reading_page(request, "Model card", model, model.bundle.card_text)


@router.get("/{version}/card")
async def card(request: Request, version: str) -> HTMLResponse:
    """Show the card of a version that the registry knows."""
    found = next((one for one in await _listed(request) if one.version == version), None)
    if found is None or found.card is None:
        raise HTTPException(404, "there is no such version, or its card cannot be read.")
    title = f"{found.name} {found.version}"
    return render(request, "reading.html", {"heading": "Model card", "title": title, "text": "", "card": found.card})


def _reading_page(request: Request, heading: str, model: LoadedModel, text: str) -> HTMLResponse:
    """Text of a verified bundle; whatever is no Markdown in it is escaped."""
    context = {
        "heading": heading,
        "title": f"{model.bundle.name} {model.version.version}",
        "text": Markup(markdown_as_html(text)),
        "card": model.bundle.card,
    }
    return render(request, "reading.html", context)


async def _listed(request: Request) -> Sequence[ListedModel]:
    store: ModelStore = request.app.state.models
    return await asyncio.to_thread(store.listed)


def _current(request: Request) -> LoadedModel | None:
    try:
        return model_of(request)
    except ModelUnavailableError:
        return None
