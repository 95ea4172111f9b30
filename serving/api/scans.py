"""An answer for the scans of one visit."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from predictor.model.answer import answer_bytes
from predictor.pipeline import score_session
from predictor.scan.session import BaselineSession
from predictor.scan.task_description import RUN_KINDS
from serving.answering import Scored, deliver
from serving.covariates import CovariateValues, covariates_from_json
from serving.dependencies import AppSettings, CurrentModel, require_form, wants_to_keep
from serving.event_loop import compute_in_thread
from serving.model_store import LoadedModel
from serving.multipart_form import feed_in_thread
from serving.scan_upload import MAX_RUNS_OF_A_KIND, TABLE_PARTS, ScanUpload, UploadedVisit, upload_for
from serving.schemas import KEEP_PARAMETER, Envelope, problem_responses

router = APIRouter(prefix="/v1", tags=["predictions"])
_FILE: dict[str, Any] = {"type": "string", "contentMediaType": "application/octet-stream"}
_NUMBER = rf"([2-9]|1[0-9]|{MAX_RUNS_OF_A_KIND})"
# As the first run of each kind has them: a resting run has no events.
_ENDINGS = "|".join(f"{part.split('_')[0]}_{_NUMBER}_{part.split('_', 1)[1]}" for part in TABLE_PARTS)
_FURTHER_RUN = rf"^(({'|'.join(RUN_KINDS)})_{_NUMBER}|{_ENDINGS})$"
_FORM: dict[str, Any] = {
    "type": "object",
    "properties": {
        **{kind: {**_FILE, "description": f"{kind} run, .nii or .nii.gz in MNI space"} for kind in RUN_KINDS},
        **dict.fromkeys(TABLE_PARTS, _FILE),
        "covariates": {
            "type": "object",
            "additionalProperties": {"type": ["string", "number", "null"]},
            "description": "JSON object, value by covariate name",
        },
    },
    # Further runs of a kind and their tables: rest_2, rest_2_confounds, ...
    "patternProperties": {_FURTHER_RUN: _FILE},
    "additionalProperties": False,
    "anyOf": [{"required": [kind]} for kind in RUN_KINDS],
    "dependentRequired": {part: [part.split("_")[0]] for part in TABLE_PARTS},
}
REQUEST: dict[str, Any] = {
    "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": _FORM}}},
    "parameters": [KEEP_PARAMETER],
}
RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"model": Envelope, "description": "The answer, also when it is refused or flagged"},
    **problem_responses(400, 401, 403, 408, 409, 413, 415, 422, 429, 503),
}


@router.post(
    "/scans",
    responses=RESPONSES,
    response_class=Response,
    openapi_extra=REQUEST,
    dependencies=[Depends(require_form)],
)
async def score_scans(request: Request, model: CurrentModel, settings: AppSettings) -> Response:
    """Score one visit; parts in any order, any subset of the runs. Scans are read as they arrive and never stored.

    Nothing of the answer is kept either, unless asked for.
    """
    keep = wants_to_keep(request)
    upload = upload_for(request.headers["content-type"], model, settings)
    await feed_in_thread(upload.feed, request.stream())
    answer = await compute_in_thread(_score, upload, model)
    (envelope,) = await deliver(request, [Scored.of_visit(answer)], model, keep=keep)
    return Response(envelope.to_bytes(), media_type="application/json")


def score_visit(session: BaselineSession, covariates: CovariateValues, model: LoadedModel) -> bytes:
    """Return the answer's bytes for one visit."""
    return answer_bytes(score_session(session, covariates, model.bundle, promoted=model.version.is_promoted))


def _score(upload: ScanUpload, model: LoadedModel) -> bytes:
    visit: UploadedVisit = upload.finish()
    covariates = covariates_from_json(visit.fields.get("covariates"))
    return score_visit(visit.session, covariates, model)
