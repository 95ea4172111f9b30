"""What routes ask for: settings, the model, the right kind of body."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request
from starlette.exceptions import HTTPException

from serving.model_store import LoadedModel, ModelStore
from serving.settings import Settings
from serving.web.recent_results import RecentResults


def settings_of(request: Request) -> Settings:
    """Return the settings the service was built with."""
    settings: Settings = request.app.state.settings
    return settings


def model_of(request: Request) -> LoadedModel:
    """Return the model that answers now, or raise ModelUnavailableError."""
    models: ModelStore = request.app.state.models
    return models.current()


def results_of(request: Request) -> RecentResults:
    """Return the results the page keeps in memory."""
    results: RecentResults = request.app.state.results
    return results


def require_json(request: Request) -> None:
    """Refuse a body that does not say it is JSON."""
    _require(request, "application/json")


def require_form(request: Request) -> None:
    """Refuse a body that does not say it is a multipart form."""
    _require(request, "multipart/form-data")


def require_own_page(request: Request) -> None:
    """Refuse what a foreign page sends through a visitor's browser."""
    if request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        raise HTTPException(403, "this address takes requests from this service's own pages only.")


def _require(request: Request, expected: str) -> None:
    found = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if found != expected:
        raise HTTPException(415, f"expected a body of type {expected}.")


AppSettings = Annotated[Settings, Depends(settings_of)]
CurrentModel = Annotated[LoadedModel, Depends(model_of)]
Results = Annotated[RecentResults, Depends(results_of)]
