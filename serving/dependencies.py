"""What routes ask for: settings, the model, the right kind of body."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from predictor.errors import ContentTypeError, RequestError
from serving.access.principal import Principal
from serving.model_store import LoadedModel, ModelStore
from serving.settings import Settings


def settings_of(request: Request) -> Settings:
    """Return the settings the service was built with."""
    settings: Settings = request.app.state.settings
    return settings


def model_of(request: Request) -> LoadedModel:
    """Return the model that answers now.

    Raises
    ------
    ModelUnavailableError
        If none has been loaded yet.
    """
    models: ModelStore = request.app.state.models
    return models.current()


def principal_of(request: Request) -> Principal:
    """Return who asks, as the access gate found out."""
    found: Principal = request.state.principal
    return found


def require_json(request: Request) -> None:
    """Refuse a body that does not say it is JSON.

    Raises
    ------
    ContentTypeError
        If it is of another type or charset, or packed.
    """
    _require(request, "application/json")


def require_form(request: Request) -> None:
    """Refuse a body that does not say it is a multipart form.

    Raises
    ------
    ContentTypeError
        If it is of another type or charset, or packed.
    """
    _require(request, "multipart/form-data")


def wants_to_keep(request: Request) -> bool:
    """Return whether the caller asked to find the answer again (`?keep=true`); nothing is kept otherwise.

    Raises
    ------
    RequestError
        If the question is something else than `keep` with true or false.
    """
    if not request.scope["query_string"]:
        return False
    found = request.query_params.multi_items()
    if len(found) != 1 or found[0][0] != "keep" or found[0][1] not in ("true", "false"):
        raise RequestError("expected nothing behind the address but keep=true or keep=false.", where="query")
    return found[0][1] == "true"


def _require(request: Request, expected: str) -> None:
    """Refuse another type, another charset than UTF-8, and what is packed."""
    kind, _, parameters = request.headers.get("content-type", "").lower().partition(";")
    if kind.strip() != expected:
        raise ContentTypeError(f"expected a body of type {expected}.")
    charset = parameters.partition("charset=")[2].split(";")[0].strip(' "')
    if charset not in ("", "utf-8", "utf8", "us-ascii"):
        raise ContentTypeError("expected text in UTF-8, found another charset.", where="header Content-Type")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise ContentTypeError("expected a body that is not packed.", where="header Content-Encoding")


AppSettings = Annotated[Settings, Depends(settings_of)]
Caller = Annotated[Principal, Depends(principal_of)]
CurrentModel = Annotated[LoadedModel, Depends(model_of)]
