"""What runs beside the requests: the database, the audit writer, looking for models, deleting what is over."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import timedelta
from threading import Thread
from typing import Any

from fastapi import FastAPI

from predictor.errors import PredictorError
from serving.access.access_control import AccessControl
from serving.model_store import ModelStore
from serving.operation.json_logs import FIELDS, frames_of
from serving.operation.metrics import ServiceMetrics
from serving.operation.warm_up import warm_up
from serving.settings import Settings
from serving.store.audit_chain import AuditChain
from serving.store.database import Database
from serving.store.results import ResultStore

logger = logging.getLogger(__name__)

PURGE_EVERY_S = 600.0


@asynccontextmanager
async def run_upkeep(app: FastAPI) -> AsyncIterator[None]:
    """Open what the routes need, keep it going, and close it in the opposite order.

    Answers under way are finished before: the server ends its requests first and this afterwards.
    """
    state, settings = app.state, app.state.settings
    async with AsyncExitStack() as stack:
        await _open_database(app, settings, stack)
        state.access = AccessControl(settings, state.database)
        stack.push_async_callback(asyncio.to_thread, state.access.close)
        state.audit = AuditChain(state.database, observe=state.metrics.count_audit_group)
        state.audit.start()
        stack.push_async_callback(asyncio.to_thread, state.audit.stop)
        state.results = ResultStore(
            state.database,
            keep=timedelta(hours=settings.results_kept_hours),
            max_per_owner=settings.max_results_per_owner,
        )
        _repeat(stack, lambda: follow_model(state.models, state.metrics), every_s=settings.refresh_s)
        _repeat(stack, lambda: purge(state.results, state.metrics), every_s=PURGE_EVERY_S)
        # A daemon: a service that is told to stop while it warms up need not wait for imports.
        Thread(target=warm_up, name="warm-up", daemon=True).start()
        yield


async def follow_model(models: ModelStore, metrics: ServiceMetrics) -> None:
    """Look at the source once; whatever is wrong there, the model that was loaded before goes on answering."""
    try:
        await _beside(models.refresh)
    except PredictorError as error:
        metrics.count_refresh_failure(error.code)
        logger.warning("the model was not refreshed: %s: %s", error.code, error)
    if models.is_loaded:
        loaded = models.current()
        metrics.show_model(version=loaded.version.version, digest=loaded.bundle.digest, state=loaded.state)


async def purge(results: ResultStore, metrics: ServiceMetrics) -> None:
    """Delete kept results whose time is over; tried again later while the database does not answer."""
    try:
        metrics.count_purged(await asyncio.to_thread(results.purge))
    except PredictorError as error:
        logger.warning("results whose time is over were not deleted yet: %s", error.code)


async def _beside(do: Callable[[], object]) -> None:
    """Call what waits for another machine in a thread that nobody waits for when the service ends.

    Python joins the threads of its pools before it ends: with a registry that hangs, a stop would take as long as
    MLflow goes on trying.
    """
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()

    def settle(error: BaseException | None) -> None:
        if ended.done():  # nobody waits any more
            return
        if error is None:
            ended.set_result(None)
        else:
            ended.set_exception(error)

    def call() -> None:
        error: BaseException | None = None
        try:
            do()
        except BaseException as raised:
            error = raised
        with suppress(RuntimeError):  # the loop is closed, the service has ended
            loop.call_soon_threadsafe(settle, error)

    Thread(target=call, name="beside", daemon=True).start()
    await ended


async def _open_database(app: FastAPI, settings: Settings, stack: AsyncExitStack) -> None:
    """Open the database, unless it was handed in; then whoever opened it closes it."""
    if app.state.database is None:
        app.state.database = await asyncio.to_thread(Database.open, settings.database_url)
        stack.callback(app.state.database.close)


def _repeat(stack: AsyncExitStack, do: Callable[[], Awaitable[None]], *, every_s: float) -> None:
    """Do something at once and from time to time until the stack ends; every 0 s means once."""

    async def for_ever() -> None:
        await _do_once(do)
        while every_s:
            await asyncio.sleep(every_s)
            await _do_once(do)

    stack.push_async_callback(_end, asyncio.create_task(for_ever()))


async def _do_once(do: Callable[[], Awaitable[None]]) -> None:
    try:
        await do()
    except Exception as error:  # a fault of ours must not end what has to go on for weeks
        fields = {"exception": type(error).__name__, "frames": frames_of(error)}
        logger.error("upkeep failed by a fault of ours", extra={FIELDS: fields})


async def _end(task: asyncio.Task[Any]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
