"""The history: a person's own kept results, how long each stays, and deleting them."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from serving.dependencies import AppSettings, Caller
from serving.kept_results import delete_all_kept
from serving.store.results import ResultStore, ResultSummary
from serving.web.retention import hours_in_words, time_left
from serving.web.templating import render

router = APIRouter(prefix="/history", include_in_schema=False)


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """One kept result in the list."""

    id: str
    label: str
    created: str
    created_iso: str
    status: str
    model_version: str
    time_left: str


@router.get("")
def history(request: Request, caller: Caller, settings: AppSettings) -> HTMLResponse:
    """List the caller's own results, newest first."""
    results: ResultStore = request.app.state.results
    context = {
        "rows": [_row(summary) for summary in results.list_of(caller.owner)],
        "kept_for": hours_in_words(settings.results_kept_hours),
        "max_results": settings.max_results_per_owner,
        "by_browser": caller.owner.startswith("browser:"),
    }
    return render(request, "history.html", context)


@router.post("/delete")
async def delete_all(request: Request) -> Response:
    """Delete everything that the caller kept."""
    await delete_all_kept(request)
    return RedirectResponse("/history", 303)


def _row(summary: ResultSummary) -> HistoryRow:
    return HistoryRow(
        id=summary.id,
        label=summary.label[:1].upper() + summary.label[1:],
        created=f"{summary.created:%d %B %Y, %H:%M} UTC",
        created_iso=summary.created.isoformat(timespec="seconds"),
        status=summary.status,
        model_version=summary.model_version,
        time_left=time_left(summary.expires),
    )
