"""Pages of one kept result: on screen, as files, and its end. Drawings and tables come from /v1/explanations."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from serving.event_loop import compute_in_thread
from serving.explanation_files import circuit_of
from serving.kept_results import FoundResult, delete_kept, envelope_of, find_with_facts
from serving.web.circuit_view import circuit_document
from serving.web.result_view import result_view
from serving.web.templating import render, standalone_page

router = APIRouter(prefix="/results/{result_id}", include_in_schema=False)


def found_result(request: Request, result_id: str) -> FoundResult:
    """Return the result of the address, if it is the caller's."""
    return find_with_facts(request, result_id)


Found = Annotated[FoundResult, Depends(found_result)]


@router.get("")
async def result(request: Request, found: Found) -> HTMLResponse:
    """Show a result."""
    return render(request, "result.html", {"view": await compute_in_thread(result_view, found)})


@router.get("/report.html")
async def result_report(found: Found) -> Response:
    """Return the result as one file that needs nothing else."""
    headers = {"Content-Disposition": 'attachment; filename="result.html"'}
    view = await compute_in_thread(result_view, found)
    return HTMLResponse(standalone_page("result.html", {"view": view}), headers=headers)


@router.get("/answer.json")
def result_json(found: Found) -> Response:
    """Return the envelope, as the API does."""
    return Response(envelope_of(found.kept).to_bytes(), media_type="application/json")


@router.get("/circuit.json")
def result_circuit(found: Found) -> Response:
    """Return what the 3-D drawing needs."""
    return JSONResponse(circuit_document(found.answer, circuit_of(found)))


@router.post("/delete")
async def delete_result(request: Request, result_id: str) -> Response:
    """Delete a result now."""
    await delete_kept(request, result_id)
    return RedirectResponse("/history", 303)
