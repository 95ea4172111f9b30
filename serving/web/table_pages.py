"""Pages that take a table of features: the form with its template, the faults by row and column, the results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Depends, Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response

from predictor.errors import ManyFaultsError, PartMissingError, PartUnknownError, PredictorError
from predictor.feature_rows import FeatureRow
from predictor.model.canonical_json import parse_json
from serving.answering import SCORE_FEATURES, Scored, deliver, digest_of
from serving.dependencies import AppSettings, CurrentModel, require_form
from serving.envelope import Envelope
from serving.error_handlers import problem_document
from serving.event_loop import compute_in_thread
from serving.feature_rows import read_feature_rows, score_in_turns, template_of
from serving.model_store import LoadedModel
from serving.multipart_form import MultipartForm, PartHead, SmallPart, feed_in_thread
from serving.web.model_view import covariate_views
from serving.web.result_view import arm_summary, arm_title
from serving.web.templating import render

router = APIRouter(include_in_schema=False)
MAX_FAULTS_SHOWN = 50


@dataclass(frozen=True, slots=True)
class FaultGroup:
    """One fault with all its places."""

    detail: str
    remedy: str
    code: str
    places: list[str]


@router.get("/table")
def table_form(request: Request, model: CurrentModel) -> HTMLResponse:
    """Ask for a table of features."""
    return _form(request, model, [], can_leave_out=False)


@router.get("/table/template.tsv")
def table_template(model: CurrentModel) -> Response:
    """Return an empty table with the model's columns."""
    headers = {"Content-Disposition": 'attachment; filename="template.tsv"'}
    return PlainTextResponse(template_of(model.bundle), media_type="text/tab-separated-values", headers=headers)


@router.post("/table", dependencies=[Depends(require_form)])
async def table(request: Request, model: CurrentModel, settings: AppSettings) -> Response:
    """Score a table; nothing is scored while a row is wrong, unless such rows are to be left out."""
    parts = await _small_form(request, {"table": settings.max_json_bytes, "leave_out": 16})
    if "table" not in parts:
        raise PartMissingError("expected a table, found none.", remedy="Choose a TSV or CSV file.")
    try:
        rows, faults = await compute_in_thread(
            read_feature_rows, parts["table"], model.bundle, max_rows=settings.max_rows
        )
    except PredictorError as error:
        listed = list(error.faults) if isinstance(error, ManyFaultsError) else [error]
        return _form(request, model, listed, can_leave_out=False)
    answers, more_faults = await score_in_turns(rows, model)
    faults += more_faults
    if faults and not ("leave_out" in parts and any(answers)):
        return _form(request, model, faults, can_leave_out=any(answers))
    answered = [(row, answer) for row, answer in zip(rows, answers, strict=True) if answer is not None]
    input_digest = await compute_in_thread(digest_of, parts["table"])
    envelopes = await _keep(request, answered, model, input_digest=input_digest)
    return await compute_in_thread(  # a page of thousands of rows
        _results, request, answered, envelopes, faults, model, n_kept=settings.max_results_per_owner
    )


async def _keep(
    request: Request, answered: Sequence[tuple[FeatureRow, bytes]], model: LoadedModel, *, input_digest: str
) -> list[Envelope]:
    """Keep the answers by the lines of the file: the labels in it are the people's own, and stay with them."""
    scored = [
        Scored(answer, SCORE_FEATURES, input_digest, row=number, label=row.place)
        for number, (row, answer) in enumerate(answered, start=1)
    ]
    return await deliver(request, scored, model, keep=True)


def _results(
    request: Request,
    answered: Sequence[tuple[FeatureRow, bytes]],
    envelopes: Sequence[Envelope],
    faults: Sequence[PredictorError],
    model: LoadedModel,
    *,
    n_kept: int,
) -> HTMLResponse:
    context = {
        "rows": [
            _row(envelope.id, row, answer, model) for envelope, (row, answer) in zip(envelopes, answered, strict=True)
        ],
        "arms": [arm_title(arm) for arm in model.bundle.arms],
        "faults": [problem_document(fault) for fault in faults],
        "n_not_held": max(0, len(answered) - n_kept),
    }
    return render(request, "table_results.html", context)


def _row(result_id: str, row: FeatureRow, answer: bytes, model: LoadedModel) -> dict[str, Any]:
    document = parse_json(answer)
    arms = document.get("arms") or {}
    unit = document["outcome"]["unit"]
    return {
        "id": result_id,
        "label": row.participant or row.place,
        "place": row.place,
        "status": document["status"],
        "arms": [arm_summary(arms[arm], unit) if arm in arms else "none given" for arm in model.bundle.arms],
    }


def _form(
    request: Request, model: LoadedModel, faults: Sequence[PredictorError], *, can_leave_out: bool
) -> HTMLResponse:
    context = {
        "faults": _grouped(faults[:MAX_FAULTS_SHOWN]),
        "n_shown": min(len(faults), MAX_FAULTS_SHOWN),
        "n_faults": len(faults),
        "can_leave_out": can_leave_out,
        "definitions": model.bundle.definitions,
        "covariates": covariate_views(model.bundle),
    }
    return render(request, "table.html", context, status=422 if faults else 200)


def _grouped(faults: Sequence[PredictorError]) -> list[FaultGroup]:
    """Return every fault once, with all the places that have it."""
    groups: dict[tuple[str, str, str], list[str]] = {}
    for fault in faults:
        groups.setdefault((str(fault), fault.remedy, fault.code), []).append(fault.where or "The file")
    return [FaultGroup(*words, places) for words, places in groups.items()]


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
