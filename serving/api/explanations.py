"""Files that explain a kept answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from serving.event_loop import compute_in_thread
from serving.explanation_files import EXPLANATION_FILES, ExplanationFile, files_for
from serving.kept_results import find_with_facts
from serving.schemas import ExplanationFileLink, ExplanationFiles, problem_responses

router = APIRouter(prefix="/v1/explanations", tags=["explanations"])
PROBLEMS = problem_responses(401, 403, 404, 409, 429, 503)


@router.get("/{result_id}", responses=PROBLEMS)
def list_files(request: Request, result_id: str) -> ExplanationFiles:
    """List the files that explain a kept answer."""
    found = find_with_facts(request, result_id)
    return ExplanationFiles(
        id=result_id,
        files=[
            ExplanationFileLink(
                name=file.name,
                media_type=file.media_type,
                description=file.description,
                href=f"/v1/explanations/{result_id}/{file.name}",
            )
            for file in files_for(found)
        ],
    )


def _add_file(file: ExplanationFile) -> None:
    """Add the route of one kind of file."""
    binary: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
    responses: dict[int | str, dict[str, Any]] = {
        200: {"description": file.description, "content": {file.media_type: binary}},
        **PROBLEMS,
    }
    stem = file.name.split(".", 1)[0]
    router.add_api_route(
        f"/{{result_id}}/{file.name}",
        _sender(file),
        methods=["GET"],
        responses=responses,
        response_class=Response,
        name=f"explanation_{stem}",
        description=file.description,
    )


def _sender(file: ExplanationFile) -> Callable[[Request, str], Awaitable[Response]]:
    async def send(request: Request, result_id: str) -> Response:
        found = await asyncio.to_thread(find_with_facts, request, result_id)
        content = await compute_in_thread(file.make, found)
        headers = {"Content-Disposition": f'inline; filename="{file.name}"'}
        return Response(content, media_type=file.media_type, headers=headers)

    return send


for _file in EXPLANATION_FILES:
    _add_file(_file)
