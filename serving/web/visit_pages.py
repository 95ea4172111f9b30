"""Pages that take a visit's scans: the form with its checks, the upload, and the sample visit."""

from __future__ import annotations

import json

from fastapi import APIRouter, Depends, Request
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, RedirectResponse, Response

from serving.answering import Scored, deliver
from serving.api.scans import score_visit
from serving.covariates import FIELD_PREFIX, CovariateValues, covariates_from_fields
from serving.dependencies import AppSettings, Caller, CurrentModel, require_form
from serving.event_loop import compute_in_thread
from serving.model_store import LoadedModel
from serving.multipart_form import feed_in_thread
from serving.sample_visit import find_sample_visit
from serving.scan_upload import ScanUpload, upload_for
from serving.settings import Settings
from serving.web.examples import curl_for_scans
from serving.web.model_view import covariate_views, run_views
from serving.web.templating import render

router = APIRouter(include_in_schema=False)


@router.get("/visit")
def visit_form(request: Request, caller: Caller, model: CurrentModel, settings: AppSettings) -> HTMLResponse:
    """Ask for the runs of a visit."""
    recipe = model.bundle.recipe
    context = {
        "takes_scans": model.takes_scans,
        "runs": run_views(recipe.families) if recipe else [],
        "tasks_json": json.dumps({run.kind: run.tasks for run in recipe.tasks.runs} if recipe else {}),
        "covariates": covariate_views(model.bundle),
        "max_bytes": settings.max_upload_bytes,
        "curl": curl_for_scans(str(request.base_url), needs_key=caller.is_signed_in),
        "needs_key": caller.is_signed_in,
    }
    return render(request, "visit.html", context)


@router.post("/visit", dependencies=[Depends(require_form)])
async def visit(request: Request, model: CurrentModel, settings: AppSettings) -> Response:
    """Score an uploaded visit and lead to its result."""
    names = [FIELD_PREFIX + covariate.name for covariate in model.bundle.covariates]
    upload = upload_for(request.headers["content-type"], model, settings, field_names=names)
    await feed_in_thread(upload.feed, request.stream())
    answer = await compute_in_thread(_score_upload, upload, model)
    return await _keep_and_lead_to(request, answer, model, label="Visit")


@router.post("/sample")
async def sample(request: Request, model: CurrentModel, settings: AppSettings) -> Response:
    """Score the sample visit and lead to its result."""
    answer = await compute_in_thread(_score_sample, model, settings)
    return await _keep_and_lead_to(request, answer, model, label="Sample visit")


def _score_upload(upload: ScanUpload, model: LoadedModel) -> bytes:
    visit = upload.finish()
    covariates: CovariateValues = covariates_from_fields(visit.fields, model.bundle.covariates)
    return score_visit(visit.session, covariates, model)


def _score_sample(model: LoadedModel, settings: Settings) -> bytes:
    if settings.sample_visit_dir is None:
        raise HTTPException(404, "this service has no sample visit.")
    found = find_sample_visit(settings.sample_visit_dir, model.bundle)
    return score_visit(found.read(model.bundle), found.covariates, model)


async def _keep_and_lead_to(request: Request, answer: bytes, model: LoadedModel, *, label: str) -> Response:
    (envelope,) = await deliver(request, [Scored.of_visit(answer, label=label)], model, keep=True)
    return RedirectResponse(f"/results/{envelope.id}", 303)
