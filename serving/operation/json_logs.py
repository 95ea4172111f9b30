"""One line of JSON per log entry, without anything a person or a scan could be known by.

Messages of this project name stages, codes and counts only. Others' are cut to their first line without credentials,
and of an exception only its type and its places in the code are written: its text may quote what was sent.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, TextIO

import orjson

from predictor.store_address import without_credentials

OWN_LOGGERS = ("predictor", "serving")
MAX_MESSAGE_LENGTH = 500
MAX_FRAMES = 20
# Of an entry of ours: facts beside the message, `logger.info("request", extra={FIELDS: {...}})`.
FIELDS = "krp_fields"
# What they say at their usual level is of no use here, or says it in other words than ours.
QUIET_LOGGERS = ("mlflow", "alembic", "sqlalchemy", "httpx", "httpcore", "joserfc", "urllib3")

# Facts that an entry collects and no line shows; left out as the logging HOWTO describes ("Optimization"), which halves
# the cost of an entry.
_UNUSED_FACTS = ("_srcfile", "logThreads", "logProcesses", "logMultiprocessing", "logAsyncioTasks")


class JsonLines(logging.Formatter):
    """Entries as JSON: time (UTC), level, logger, message, the entry's facts, and where an exception came from."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line."""
        entry: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _message_of(record),
            **getattr(record, FIELDS, {}),
        }
        if record.exc_info and record.exc_info[1] is not None:
            entry["exception"] = type(record.exc_info[1]).__name__
            entry["frames"] = frames_of(record.exc_info[1])
        return orjson.dumps(entry, default=str).decode()


@contextmanager
def log_as_json(level: str, *, stream: TextIO | None = None) -> Iterator[None]:
    """Send every entry of this process to standard error as JSON until the block ends; for entry points only."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    before = (
        root.handlers,
        root.level,
        {name: getattr(logging, name) for name in _UNUSED_FACTS if hasattr(logging, name)},
    )
    root.handlers = [handler]
    for name in before[2]:
        setattr(logging, name, None)
    root.setLevel(level.upper())
    for name in QUIET_LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.handlers = before[0]
        root.setLevel(before[1])
        for name, value in before[2].items():
            setattr(logging, name, value)


def frames_of(error: BaseException) -> list[str]:
    """Return the places an exception went through, innermost last: file inside its package, line, function."""
    frames = traceback.extract_tb(error.__traceback__)[-MAX_FRAMES:]
    return [f"{'/'.join(frame.filename.split('/')[-3:])}:{frame.lineno} {frame.name}" for frame in frames]


def _message_of(record: logging.LogRecord) -> str:
    message = record.getMessage()
    if record.name.split(".")[0] not in OWN_LOGGERS:
        message = without_credentials(message.partition("\n")[0])
    return message[:MAX_MESSAGE_LENGTH]
