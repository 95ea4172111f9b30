"""The service, put together."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from fastapi import FastAPI
from starlette.middleware.trustedhost import TrustedHostMiddleware

from predictor.errors import PredictorError
from serving.api import health, models, predictions, scans
from serving.error_handlers import ProblemForLargeBody, add_error_handlers
from serving.model_store import ModelStore, source_of
from serving.security_headers import SecurityHeaders
from serving.settings import Settings
from serving.web import pages
from serving.web.recent_results import RecentResults

logger = logging.getLogger(__name__)

DESCRIPTION = (
    "Expected improvement of PTSD symptoms under ketamine, from baseline fMRI. Research use only: no number from here "
    "may guide the treatment of a person."
)


def create_app(settings: Settings, *, models_store: ModelStore | None = None) -> FastAPI:
    """Build the service; nothing is read or started before its lifespan begins.

    Parameters
    ----------
    settings
        How the service is deployed.
    models_store
        A store that has its model already; by default the lifespan loads what the settings name.
    """
    app = FastAPI(
        title="Ketamine response predictor",
        version="1",
        description=DESCRIPTION,
        lifespan=_follow_models,
        # FastAPI's own pages load their scripts from other hosts; ours is in serving/web.
        docs_url=None,
        redoc_url=None,
    )
    app.state.settings = settings
    app.state.models = models_store or ModelStore(source_of(settings))
    app.state.results = RecentResults(n_kept=100, keep_s=3600 * settings.results_kept_hours)
    add_error_handlers(app)
    app.add_middleware(ProblemForLargeBody)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(settings.allowed_hosts), www_redirect=False)
    app.add_middleware(SecurityHeaders)
    app.include_router(health.router)
    app.include_router(models.router)
    app.include_router(predictions.router, max_body_size=settings.max_json_bytes)
    app.include_router(scans.router, max_body_size=settings.max_upload_bytes)
    pages.add_pages(app, settings)
    return app


@asynccontextmanager
async def _follow_models(app: FastAPI) -> AsyncIterator[None]:
    """Load the model, and look for another one from time to time."""
    following = asyncio.create_task(_refresh_for_ever(app.state.models, every_s=app.state.settings.refresh_s))
    try:
        yield
    finally:
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following


async def _refresh_for_ever(store: ModelStore, *, every_s: float) -> None:
    while True:
        try:
            await asyncio.to_thread(store.refresh)
        except PredictorError as error:
            logger.warning("the model was not refreshed: %s: %s", error.code, error)
        if not every_s:
            return
        await asyncio.sleep(every_s)
