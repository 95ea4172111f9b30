"""The service, put together."""

from __future__ import annotations

from fastapi import FastAPI

from serving.access.gate import AccessGate
from serving.api import (
    audit,
    document,
    explanations,
    health,
    metrics,
    models,
    open_inference,
    predictions,
    results,
    scans,
)
from serving.error_handlers import ProblemForLargeBody, add_error_handlers
from serving.head_requests import HeadLikeGet
from serving.model_store import ModelStore, open_store
from serving.operation.admission import Admission
from serving.operation.body_patience import BodyPatience
from serving.operation.bug_net import BugNet
from serving.operation.host_check import HostCheck
from serving.operation.load import Load
from serving.operation.metrics import ServiceMetrics
from serving.operation.request_log import RequestLog
from serving.operation.upkeep import run_upkeep
from serving.security_headers import SecurityHeaders
from serving.settings import Settings
from serving.short_way import ShortWay
from serving.store.database import Database
from serving.web import pages, sign_in

DESCRIPTION = (
    "Expected improvement of PTSD symptoms under ketamine, from baseline fMRI. Research use only: no number from here "
    "may guide the treatment of a person."
)


def create_app(
    settings: Settings, *, models_store: ModelStore | None = None, database: Database | None = None
) -> FastAPI:
    """Build the service; nothing is read or started before its lifespan begins.

    Parameters
    ----------
    settings
        How the service is deployed.
    models_store
        A store that has its model already; by default the lifespan loads what the settings name.
    database
        One that is open already, and is closed by who opened it; by default the lifespan opens and closes it.
    """
    app = FastAPI(
        title="Ketamine response predictor",
        version="1",
        description=DESCRIPTION,
        lifespan=run_upkeep,
        # FastAPI's own pages load their scripts from other hosts; ours is in serving/web.
        docs_url=None,
        redoc_url=None,
        openapi_url=None,  # serving/api/document.py
        # What is measured stays in serving/operation/metrics.py, whatever the environment says about exporters.
        telemetry={
            "tracing": False,
            "metrics": False,
            "logs": False,
            "operation_spans": False,
            "auto_configure": False,
        },
    )
    app.state.settings = settings
    app.state.models = models_store or open_store(settings)
    app.state.database = database
    app.state.metrics = ServiceMetrics()
    app.state.load = Load()
    add_error_handlers(app)
    _add_layers(app, settings)
    # Routers are tried in this order, so the busiest comes first.
    app.include_router(predictions.router, max_body_size=settings.max_json_bytes)
    app.include_router(health.router)
    app.include_router(metrics.router)
    app.include_router(document.router)
    app.include_router(models.router)
    app.include_router(scans.router, max_body_size=settings.max_upload_bytes)
    app.include_router(results.router)
    app.include_router(explanations.router)
    app.include_router(audit.router)
    app.include_router(open_inference.router)
    app.include_router(open_inference.infer_router, max_body_size=settings.max_json_bytes)
    app.include_router(sign_in.router, max_body_size=sign_in.MAX_FORM_BYTES)
    pages.add_pages(app, settings)
    return app


def _add_layers(app: FastAPI, settings: Settings) -> None:
    """Put the layers around the routes, from the innermost to the outermost."""
    metrics: ServiceMetrics = app.state.metrics
    app.add_middleware(
        ShortWay,
        route=predictions.router.routes[0],
        path="/v1/predictions",
        endpoint=predictions.predict,
        max_body_bytes=settings.max_json_bytes,
    )
    app.add_middleware(BodyPatience, idle_s=settings.upload_idle_s)
    app.add_middleware(HeadLikeGet)
    app.add_middleware(ProblemForLargeBody)
    app.add_middleware(AccessGate)
    app.add_middleware(
        Admission,
        load=app.state.load,
        metrics=metrics,
        max_requests=settings.max_requests_at_once,
        max_uploads=settings.max_uploads_at_once,
    )
    app.add_middleware(HostCheck, allowed=settings.allowed_hosts)
    app.add_middleware(BugNet, metrics=metrics)
    app.add_middleware(SecurityHeaders)
    app.add_middleware(RequestLog, metrics=metrics)
