"""The Open Inference Protocol, version 2, for ready features, so that clients of KServe and its like work."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from predictor.errors import ContentTypeError, ModelUnknownError
from predictor.feature_rows import FeatureRow
from predictor.model.bundle import ModelBundle
from serving.answering import deliver
from serving.api.body_route import BodyRoute
from serving.api.predictions import rows_scored, score_all
from serving.dependencies import CurrentModel, model_of, require_json, settings_of
from serving.event_loop import N_BYTES_AT_ONCE, N_ROWS_AT_ONCE, at_once_or_in_thread
from serving.model_store import LoadedModel
from serving.tensor_schemas import (
    InferReply,
    InferRequest,
    TensorModel,
    TensorModelReady,
    TensorServer,
    TensorServerLive,
    TensorServerReady,
    tensor_problems,
)
from serving.tensors import (
    input_descriptions,
    output_descriptions,
    output_tensors,
    parse_infer_request,
    rows_of_tensors,
)

PACKAGE = "ketamine-response-predictor"
router = APIRouter(prefix="/v2", tags=["open inference protocol"])
infer_router = APIRouter(prefix="/v2", tags=["open inference protocol"], route_class=BodyRoute)
ModelName = Annotated[str, Path(description="As /v1/models/current has it.")]
_SCHEMA = InferRequest.model_json_schema()
_TENSOR, _WANTED = (_SCHEMA["$defs"][name] for name in ("InferTensor", "WantedOutput"))
_BODY: dict[str, Any] = {
    "type": "object",
    "required": ["inputs"],
    "additionalProperties": False,
    "properties": {
        **_SCHEMA["properties"],
        "inputs": {"type": "array", "minItems": 1, "items": _TENSOR},
        "outputs": {"type": ["array", "null"], "items": _WANTED},
    },
}


def _infer_extra(*names: str) -> dict[str, Any]:
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}, "description": f"Model {name}."}
        for name in names
    ]
    return {
        "requestBody": {"required": True, "content": {"application/json": {"schema": _BODY}}},
        "parameters": parameters,
    }


INFER: dict[str, Any] = {
    "response_class": Response,
    "responses": {
        200: {"model": InferReply, "description": "One value per row in every output"},
        **tensor_problems(400, 401, 403, 404, 413, 415, 422, 429, 503),
    },
}


@router.get("", responses=tensor_problems(401, 429, 503))
async def server() -> TensorServer:
    """Say what this server is; it speaks no extension."""
    return TensorServer(name=PACKAGE, version=version(PACKAGE), extensions=[])


@router.get("/health/live")
async def server_live() -> TensorServerLive:
    """Answer as long as the process runs."""
    return TensorServerLive(live=True)


@router.get("/health/ready", responses=tensor_problems(503))
async def server_ready(model: CurrentModel) -> TensorServerReady:
    """Answer 200 once a verified model is loaded, 503 before."""
    return TensorServerReady(ready=True)


@router.get("/models/{name}", responses=tensor_problems(401, 404, 429, 503))
@router.get("/models/{name}/versions/{version}", responses=tensor_problems(401, 404, 429, 503))
async def tensor_model(model: CurrentModel, name: ModelName, version: str | None = None) -> TensorModel:
    """Describe the model's inputs and outputs. Every input but one may be left out: it is missing then."""
    _check_is_current(model, name, version)
    return TensorModel(
        name=name,
        versions=[model.version.version],
        platform=PACKAGE,
        inputs=input_descriptions(model.bundle),
        outputs=output_descriptions(model.bundle),
        parameters={"research_use_only": True, "digest": model.bundle.digest},
    )


@router.get("/models/{name}/ready", responses=tensor_problems(401, 404, 429, 503))
@router.get("/models/{name}/versions/{version}/ready", responses=tensor_problems(401, 404, 429, 503))
async def tensor_model_ready(model: CurrentModel, name: ModelName, version: str | None = None) -> TensorModelReady:
    """Answer 200 while this model is the one that answers."""
    _check_is_current(model, name, version)
    return TensorModelReady(name=name, ready=True)


@infer_router.post("/models/{name}/infer", openapi_extra=_infer_extra("name"), **INFER)
@infer_router.post("/models/{name}/versions/{version}/infer", openapi_extra=_infer_extra("name", "version"), **INFER)
async def infer(request: Request) -> Response:
    """Score rows of features given as tensors; `answer` holds each row's whole answer: no number stands alone."""
    require_json(request)
    if "inference-header-content-length" in request.headers:
        raise ContentTypeError("expected tensors as JSON; the binary extension is not spoken here.")
    model = model_of(request)
    _check_is_current(model, request.path_params["name"], request.path_params.get("version"))
    body, max_rows = await request.body(), settings_of(request).max_rows
    is_short = len(body) <= N_BYTES_AT_ONCE
    asked, rows = await at_once_or_in_thread(is_short, _read, body, model.bundle, max_rows=max_rows)
    answers = await score_all(rows, model)
    # Made before the audit entry is written: an output that the model does not have is the caller's mistake.
    content = await at_once_or_in_thread(len(rows) <= N_ROWS_AT_ONCE, _reply, asked, answers, model)
    await deliver(request, await at_once_or_in_thread(is_short, rows_scored, answers, body), model)
    return Response(content, media_type="application/json")


def _read(body: bytes, bundle: ModelBundle, *, max_rows: int) -> tuple[InferRequest, list[FeatureRow]]:
    asked = parse_infer_request(body)
    return asked, rows_of_tensors(asked, bundle, max_rows=max_rows)


def _reply(asked: InferRequest, answers: list[bytes], model: LoadedModel) -> bytes:
    wanted = [one.name for one in asked.outputs] if asked.outputs else None
    return (
        InferReply(
            model_name=model.bundle.name,
            model_version=model.version.version,
            id=asked.id,
            outputs=output_tensors(answers, model.bundle, wanted=wanted),
        )
        .model_dump_json()
        .encode()
    )


def _check_is_current(model: LoadedModel, name: str, version: str | None) -> None:
    if name != model.bundle.name or version not in (None, model.version.version):
        raise ModelUnknownError("another model answers here.")
