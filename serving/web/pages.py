"""The pages: forms in, results out; without a script they work as plain forms."""

from __future__ import annotations

import asyncio
import json
from importlib.resources import files

from fastapi import APIRouter, Depends, FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.staticfiles import StaticFiles

from predictor.errors import ModelUnavailableError, PartMissingError, PartUnknownError, PredictorError
from predictor.model.canonical_json import parse_json
from predictor.report.waterfall import waterfall_svg
from serving.api.scans import score_visit
from serving.covariates import FIELD_PREFIX, CovariateValues, covariates_from_fields
from serving.dependencies import (
    AppSettings,
    CurrentModel,
    Results,
    model_of,
    require_form,
    require_own_page,
)
from serving.envelope import put_in_envelope
from serving.error_handlers import ManyFaultsError, problem_document
from serving.feature_rows import read_feature_rows, score_rows, template_of
from serving.model_store import LoadedModel
from serving.multipart_form import MultipartForm, PartHead, SmallPart, feed_in_thread
from serving.sample_visit import find_sample_visit
from serving.scan_upload import ScanUpload, upload_for
from serving.settings import Settings
from serving.web.examples import curl_for_rows, curl_for_scans, listed_routes
from serving.web.model_view import covariate_views, model_view, run_views
from serving.web.recent_results import RecentResults, Result
from serving.web.result_view import arm_summary, arm_title, result_view
from serving.web.templating import render, standalone_page

router = APIRouter(include_in_schema=False)
OWN_FORM = [Depends(require_form), Depends(require_own_page)]
MAX_FAULTS_SHOWN = 50


def add_pages(app: FastAPI, settings: Settings) -> None:
    """Add the pages and their static files."""
    app.include_router(router, max_body_size=settings.max_upload_bytes)
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
def docs(request: Request) -> HTMLResponse:
    """List the routes for programs."""
    context = {
        "routes": listed_routes(request.app.openapi()),
        "curl_rows": curl_for_rows(str(request.base_url)),
        "curl_scans": curl_for_scans(str(request.base_url)),
    }
    return render(request, "docs.html", context)


@router.get("/visit")
def visit_form(request: Request, model: CurrentModel, settings: AppSettings) -> HTMLResponse:
    """Ask for the runs of a visit."""
    recipe = model.bundle.recipe
    context = {
        "takes_scans": model.takes_scans,
        "runs": run_views(recipe.families) if recipe else [],
        "tasks_json": json.dumps({run.kind: run.tasks for run in recipe.tasks.runs} if recipe else {}),
        "covariates": covariate_views(model.bundle.covariates),
        "max_bytes": settings.max_upload_bytes,
        "curl": curl_for_scans(str(request.base_url)),
    }
    return render(request, "visit.html", context)


@router.post("/visit", dependencies=OWN_FORM)
async def visit(request: Request, model: CurrentModel, settings: AppSettings, results: Results) -> Response:
    """Score an uploaded visit and lead to its result."""
    names = [FIELD_PREFIX + covariate.name for covariate in model.bundle.covariates]
    upload = upload_for(request.headers["content-type"], model, settings, field_names=names)
    await feed_in_thread(upload.feed, request.stream())
    answer = await asyncio.to_thread(_score_upload, upload, model)
    return _lead_to(_hold(answer, model, results, label="Visit"))


@router.post("/sample", dependencies=[Depends(require_own_page)])
def sample(model: CurrentModel, settings: AppSettings, results: Results) -> Response:
    """Score the sample visit and lead to its result."""
    if settings.sample_visit_dir is None:
        raise HTTPException(404, "this service has no sample visit.")
    found = find_sample_visit(settings.sample_visit_dir, model.bundle)
    answer = score_visit(found.read(model.bundle), found.covariates, model)
    return _lead_to(_hold(answer, model, results, label="Sample visit"))


@router.get("/table")
def table_form(request: Request, model: CurrentModel) -> HTMLResponse:
    """Ask for a table of features."""
    return _table_page(request, model, [], can_leave_out=False)


@router.get("/table/template.tsv")
def table_template(model: CurrentModel) -> Response:
    """Return an empty table with the model's columns."""
    return PlainTextResponse(template_of(model.bundle), media_type="text/tab-separated-values")


@router.post("/table", dependencies=OWN_FORM)
async def table(request: Request, model: CurrentModel, settings: AppSettings, results: Results) -> Response:
    """Score a table; nothing is scored while a row is wrong, unless such rows are to be left out."""
    parts = await _small_form(request, {"table": settings.max_json_bytes, "leave_out": 16})
    if "table" not in parts:
        raise PartMissingError("expected a table, found none.", remedy="Choose a TSV or CSV file.")
    return await asyncio.to_thread(
        _score_table,
        request,
        parts["table"],
        model,
        results,
        max_rows=settings.max_rows,
        leaves_out="leave_out" in parts,
    )


@router.get("/results/{result_id}")
def result(request: Request, result_id: str, results: Results, settings: AppSettings) -> HTMLResponse:
    """Show a result."""
    view = result_view(_held(results, result_id), minutes_kept=60 * settings.results_kept_hours)
    return render(request, "result.html", {"view": view})


@router.get("/results/{result_id}/answer.json")
def result_json(result_id: str, results: Results) -> Response:
    """Return the envelope, as the API does."""
    return Response(_held(results, result_id).envelope.to_bytes(), media_type="application/json")


@router.get("/results/{result_id}/waterfall.svg")
def result_waterfall(result_id: str, results: Results) -> Response:
    """Return the waterfall as a file."""
    held = _held(results, result_id)
    if not held.answer.get("explanation"):
        raise HTTPException(404, "this result has no explanation.")
    return Response(waterfall_svg(held.answer), media_type="image/svg+xml")


@router.get("/results/{result_id}/report.html")
def result_report(result_id: str, results: Results, settings: AppSettings) -> Response:
    """Return the result as one file that needs nothing else."""
    view = result_view(_held(results, result_id), minutes_kept=60 * settings.results_kept_hours)
    headers = {"Content-Disposition": 'attachment; filename="result.html"'}
    return HTMLResponse(standalone_page("result.html", {"view": view}), headers=headers)


@router.post("/results/{result_id}/delete", dependencies=[Depends(require_own_page)])
def delete_result(result_id: str, results: Results) -> Response:
    """Forget a result."""
    results.delete(result_id)
    return RedirectResponse("/", 303)


def _score_upload(upload: ScanUpload, model: LoadedModel) -> bytes:
    visit = upload.finish()
    covariates: CovariateValues = covariates_from_fields(visit.fields, model.bundle.covariates)
    return score_visit(visit.session, covariates, model)


def _hold(answer: bytes, model: LoadedModel, results: RecentResults, *, label: str) -> str:
    envelope = put_in_envelope(answer, model_version=model.version.version)
    return results.add(Result(envelope, parse_json(answer), model, label))


def _lead_to(result_id: str) -> Response:
    return RedirectResponse(f"/results/{result_id}", 303)


def _held(results: RecentResults, result_id: str) -> Result:
    found = results.get(result_id)
    if found is None:
        raise HTTPException(404, "this result is gone: results are held for a while only, and can be deleted.")
    return found


async def _small_form(request: Request, max_bytes: dict[str, int]) -> dict[str, bytes]:
    """Parts of a form without scans; unlike the framework's own parser this never spools to disk."""
    parts: dict[str, SmallPart] = {}

    def open_part(head: PartHead) -> SmallPart:
        if head.name not in max_bytes:
            raise PartUnknownError(f"no part is called {head.printable}.", remedy="Send the part table.")
        parts[head.name] = SmallPart(max_bytes[head.name])
        return parts[head.name]

    form = MultipartForm(request.headers["content-type"], open_part)
    await feed_in_thread(form.feed, request.stream())
    form.finish()
    return {name: bytes(part.content) for name, part in parts.items()}


def _score_table(
    request: Request, content: bytes, model: LoadedModel, results: RecentResults, *, max_rows: int, leaves_out: bool
) -> Response:
    try:
        rows, faults = read_feature_rows(content, model.bundle, max_rows=max_rows)
    except PredictorError as error:
        listed = list(error.faults) if isinstance(error, ManyFaultsError) else [error]
        return _table_page(request, model, listed, can_leave_out=False)
    answers, more_faults = score_rows(rows, model)
    faults += more_faults
    if faults and not (leaves_out and any(answers)):
        return _table_page(request, model, faults, can_leave_out=any(answers))
    shown = []
    for row, answer in zip(rows, answers, strict=True):
        if answer is not None:
            label = row.participant or row.place
            shown.append(_row_view(_hold(answer, model, results, label=label), label, answer, model))
    context = {
        "rows": shown,
        "arms": [arm_title(arm) for arm in model.bundle.arms],
        "faults": [problem_document(fault) for fault in faults],
        "n_not_held": max(0, len(shown) - results.n_kept),
    }
    return render(request, "table_results.html", context)


def _row_view(result_id: str, label: str, answer: bytes, model: LoadedModel) -> dict[str, object]:
    document = parse_json(answer)
    arms = document.get("arms") or {}
    unit = document["outcome"]["unit"]
    return {
        "id": result_id,
        "label": label,
        "status": document["status"],
        "arms": [arm_summary(arms[arm], unit) if arm in arms else "none given" for arm in model.bundle.arms],
    }


def _table_page(
    request: Request, model: LoadedModel, faults: list[PredictorError], *, can_leave_out: bool
) -> HTMLResponse:
    context = {
        "faults": [problem_document(fault) for fault in faults[:MAX_FAULTS_SHOWN]],
        "n_faults": len(faults),
        "can_leave_out": can_leave_out,
        "definitions": model.bundle.definitions,
        "covariates": covariate_views(model.bundle.covariates),
    }
    return render(request, "table.html", context, status=422 if faults else 200)
