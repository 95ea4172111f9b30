from __future__ import annotations

import signal
import sys
from argparse import Namespace
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.machinery import ModuleSpec
from types import ModuleType

import pytest

from training import fork_server
from training.commands.worker_options import start_early, workers_of

SEVERAL = {"backend": "loky", "dry_run": False, "jobs": -1, "participant_label": None}


def main_module(file: str | None) -> ModuleType:
    module = ModuleType("__main__")
    if file is not None:
        module.__file__ = file
    return module


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Sequence[str]]:
    """Collect what would be imported early, and start nothing."""
    found: list[Sequence[str]] = []

    def start(modules: Sequence[str]) -> bool:
        found.append(modules)
        return True

    monkeypatch.setattr(fork_server, "start", start)
    return found


@pytest.mark.parametrize(
    ("file", "is_possible"), [("/usr/bin/krp", True), (None, True), ("/home/someone/analysis.py", False)]
)
@pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux only")
def test_no_workers_are_forked_for_a_script_that_they_would_run_once_more(
    file: str | None, is_possible: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "__main__", main_module(file))
    monkeypatch.setattr(fork_server.os, "sched_getaffinity", lambda _: {0, 1})
    assert fork_server._is_possible() is is_possible


@pytest.mark.parametrize(("name", "is_possible"), [("predictor.__main__", True), ("analysis", False)])
@pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux only")
def test_no_workers_are_forked_for_a_module_that_they_would_run_once_more(
    name: str, is_possible: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    main = main_module("/home/someone/main.py")
    main.__spec__ = ModuleSpec(name, None)
    monkeypatch.setitem(sys.modules, "__main__", main)
    monkeypatch.setattr(fork_server.os, "sched_getaffinity", lambda _: {0, 1})
    assert fork_server._is_possible() is is_possible


def test_nothing_is_forked_from_a_thread_on_one_processor_or_elsewhere_than_on_linux(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(fork_server.start, ["json"]).result() is False
    monkeypatch.setattr(fork_server.os, "sched_getaffinity", lambda _: {0}, raising=False)
    assert fork_server.start(["json"]) is False
    monkeypatch.setattr(fork_server.sys, "platform", "darwin")
    assert fork_server.start(["json"]) is False


def test_where_no_socket_can_be_made_nothing_is_forked(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise OSError("AF_UNIX path too long")

    monkeypatch.setattr(fork_server.forkserver, "ensure_running", refuse)
    monkeypatch.setattr(fork_server, "_is_possible", lambda: True)
    before = signal.getsignal(signal.SIGINT)
    assert fork_server.start(["json"]) is False
    assert signal.getsignal(signal.SIGINT) == before


def test_several_processes_of_this_machine_are_prepared_early(started: list[Sequence[str]]) -> None:
    arguments = Namespace(**SEVERAL, scheduler=None)
    are_forked = start_early(arguments, ("json",))
    assert are_forked
    assert started == [("json",)]
    assert workers_of(arguments, are_forked=are_forked).are_forked


@pytest.mark.parametrize("other", [{"backend": "dask"}, {"dry_run": True}, {"jobs": 1}, {"participant_label": ["01"]}])
def test_nothing_is_prepared_for_workers_that_will_not_be(
    started: list[Sequence[str]], other: dict[str, object]
) -> None:
    assert not start_early(Namespace(**{**SEVERAL, **other}), ("json",))
    assert started == []
