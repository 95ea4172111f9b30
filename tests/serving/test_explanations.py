"""Files that explain an answer, one route each."""

from __future__ import annotations

import asyncio
from threading import current_thread
from typing import Any

import pytest

from serving.api.explanations import _sender
from serving.explanation_files import ExplanationFile


def test_files_are_drawn_in_the_computing_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    # In the framework's own forty threads, a few drawings at once would keep health from being answered.
    monkeypatch.setattr("serving.api.explanations.find_with_facts", lambda *_: None)
    file = ExplanationFile("name.txt", "text/plain", "Says where it is made.", lambda _: current_thread().name.encode())
    request: Any = None
    reply = asyncio.run(_sender(file)(request, "0" * 32))
    assert bytes(reply.body).startswith(b"computing")
