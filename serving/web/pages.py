"""The pages, put together: routes of every page, and the files that they load."""

from __future__ import annotations

from importlib.resources import files

from fastapi import APIRouter, FastAPI, Request
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.staticfiles import StaticFiles

from predictor.errors import ModelUnavailableError
from serving.dependencies import AppSettings, Caller, model_of
from serving.model_store import LoadedModel
from serving.settings import Settings
from serving.web import history_pages, model_pages, result_pages, table_pages, visit_pages
from serving.web.brain_surface import surface_bytes
from serving.web.examples import curl_for_rows, curl_for_scans, listed_routes
from serving.web.model_view import model_view
from serving.web.templating import render

router = APIRouter(include_in_schema=False)
PLOTLY = "package_data/plotly.min.js"


def add_pages(app: FastAPI, settings: Settings) -> None:
    """Add the pages and their static files."""
    for part in (router, history_pages.router, model_pages.router, result_pages.router):
        app.include_router(part, max_body_size=settings.max_json_bytes)
    app.include_router(table_pages.router, max_body_size=settings.max_json_bytes)
    app.include_router(visit_pages.router, max_body_size=settings.max_upload_bytes)
    static = files("serving.web").joinpath("static")
    app.mount("/static", StaticFiles(directory=str(static)), name="static")


@router.get("/")
def home(request: Request, settings: AppSettings) -> HTMLResponse:
    """Say what it is, what it is not, which model answers."""
    try:
        model: LoadedModel | None = model_of(request)
    except ModelUnavailableError:
        model = None
    has_sample = model is not None and model.takes_scans and settings.sample_visit_dir is not None
    return render(request, "home.html", {"model": model_view(model) if model else None, "has_sample": has_sample})


@router.get("/docs")
def docs(request: Request, caller: Caller) -> HTMLResponse:
    """List the routes for programs."""
    address, needs_key = str(request.base_url), caller.is_signed_in
    try:
        feature = model_of(request).bundle.feature_names[0]
    except ModelUnavailableError:
        feature = "FEATURE"
    context = {
        "routes": listed_routes(request.app.openapi()),
        "needs_key": needs_key,
        "curl_rows": curl_for_rows(address, feature=feature, needs_key=needs_key),
        "curl_scans": curl_for_scans(address, needs_key=needs_key),
    }
    return render(request, "docs.html", context)


@router.get("/static/plotly.min.js")
def plotly() -> FileResponse:
    """Return the 3-D library of the installed plotly; only the result page asks for it, and only on demand."""
    return FileResponse(str(files("plotly").joinpath(PLOTLY)), media_type="text/javascript")


@router.get("/static/brain-surface.bin")
def brain_surface() -> Response:
    """Return the brain's surface for the 3-D drawing."""
    return Response(surface_bytes(), media_type="application/octet-stream")
