from __future__ import annotations

import io
import json
import logging
from typing import Any

import pytest

from serving.operation.json_logs import FIELDS, log_as_json


def logged(write: Any, *, level: str = "info") -> list[dict[str, Any]]:
    stream = io.StringIO()
    with log_as_json(level, stream=stream):
        write()
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_entry_is_one_line_of_json_with_its_facts() -> None:
    (entry,) = logged(lambda: logging.getLogger("serving.x").info("request", extra={FIELDS: {"status": 200}}))
    assert entry["time"].endswith("+00:00")
    assert (entry["level"], entry["logger"], entry["message"]) == ("info", "serving.x", "request")
    assert entry["status"] == 200


def test_what_an_exception_says_is_not_written_but_where_it_happened() -> None:
    def fail() -> None:
        try:
            raise ValueError("sub-07 Jane Doe")
        except ValueError:
            logging.getLogger("serving.x").exception("it failed")

    (entry,) = logged(fail)
    assert entry["exception"] == "ValueError"
    assert "test_json_logs.py" in entry["frames"][-1]
    assert "Jane" not in json.dumps(entry)


def test_of_others_only_the_first_line_is_written_without_credentials() -> None:
    message = "cannot open postgresql://ada:secret@db.example/x\nExceptionText: sub-07"
    (entry,) = logged(lambda: logging.getLogger("asyncio").error(message))
    assert "secret" not in entry["message"]
    assert "sub-07" not in entry["message"]
    assert "cannot open" in entry["message"]


def test_a_message_with_a_line_break_stays_one_line() -> None:
    (entry,) = logged(lambda: logging.getLogger("serving.x").info("one\ntwo"))
    assert entry["message"] == "one\ntwo"


def test_entries_below_the_level_are_left_out() -> None:
    assert logged(lambda: logging.getLogger("serving.x").info("no"), level="warning") == []


def test_logging_is_as_before_when_the_block_ends() -> None:
    root = logging.getLogger()
    before = list(root.handlers), root.level
    with pytest.raises(RuntimeError), log_as_json("debug", stream=io.StringIO()):
        raise RuntimeError
    assert (list(root.handlers), root.level) == before
