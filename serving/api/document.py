"""The OpenAPI document, for programs."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from predictor.errors import ModelUnavailableError
from serving.api_document import document_of_model
from serving.dependencies import AppSettings, model_of

router = APIRouter(include_in_schema=False)


@router.get("/openapi.json")
def openapi(request: Request, settings: AppSettings) -> dict[str, Any]:
    """Describe every route, and what the model that answers now takes; without a model, what any model may take."""
    document: dict[str, Any] = request.app.openapi()
    try:
        bundle = model_of(request).bundle
    except ModelUnavailableError:
        return document
    return document_of_model(document, bundle, settings)
