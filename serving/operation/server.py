"""The server process: a fast event loop, and an end in which nobody's answer is lost."""

from __future__ import annotations

import gc
import logging
import socket
import sys
import time
from types import FrameType

import uvicorn
from fastapi import FastAPI

from serving.operation.guarded_protocol import GuardedProtocol
from serving.operation.load import Load

logger = logging.getLogger(__name__)

# Time for connections to close and for what was cancelled to end, once everything has been answered or given up.
CLOSING_S = 2
BACKLOG = 2048
# How long a thread that scores may keep others from running. With Python's 5 ms the event loop, which needs several
# turns to answer, waits for tenths of a second while visits and long tables are computed.
SWITCH_INTERVAL_S = 0.001
# New containers until Python looks for cycles among them. An answer makes hundreds and no cycle, and with Python's 700
# every few answers would be searched.
GC_THRESHOLD = 20_000


class DrainingServer(uvicorn.Server):
    """Told to stop, it still listens until the answers under way have left, says so on /health/ready, and then ends.

    uvicorn by itself stops listening at once, so that whoever balances the load sees broken connections instead of a
    service that is not ready. Told twice, it ends at once.
    """

    def __init__(self, config: uvicorn.Config, *, load: Load, shutdown_s: float) -> None:
        super().__init__(config)
        self._load = load
        self._shutdown_s = shutdown_s
        self._ends_at: float | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop, or end at once when this is not the first time."""
        if self._load.is_stopping:
            self.should_exit = self.force_exit = True
            return
        self._load.is_stopping = True
        self._ends_at = time.monotonic() + self._shutdown_s

    async def on_tick(self, counter: int) -> bool:
        """Tell whether to end now; asked ten times a second."""
        if self._ends_at is not None and (self._load.is_idle or time.monotonic() > self._ends_at):
            if not self._load.is_idle:
                logger.warning("ending with %d requests unanswered", self._load.n_requests)
            self.should_exit = True
        return await super().on_tick(counter)


def run_server(app: FastAPI, listener: socket.socket) -> None:
    """Answer on a listening socket until the process is told to stop."""
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http=GuardedProtocol,
        ws="none",
        lifespan="on",
        log_config=None,  # the entry point has configured logging
        access_log=False,  # RequestLog writes it
        server_header=False,
        backlog=BACKLOG,
        timeout_graceful_shutdown=CLOSING_S,
    )
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    settings, load = app.state.settings, app.state.load
    # Modules and the model stay for good: looking through them for garbage again and again costs pauses.
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, *gc.get_threshold()[1:])
    DrainingServer(config, load=load, shutdown_s=settings.shutdown_s).run(sockets=[listener])
