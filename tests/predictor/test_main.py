from __future__ import annotations

import argparse
import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from predictor import __main__ as command_line
from predictor import console
from predictor.errors import PromotionRefusedError, TableError, UsageError


def run_with(monkeypatch: pytest.MonkeyPatch, action: Callable[[argparse.Namespace], int]) -> int:
    """Run a command line that has one command, `act`."""

    def build_parser() -> argparse.ArgumentParser:
        parser = argparse.ArgumentParser(prog="krp")
        subparser = parser.add_subparsers(dest="command").add_parser("act")
        subparser.set_defaults(run=action, quiet=False, debug=False)
        return parser

    monkeypatch.setattr(command_line, "build_parser", build_parser)
    return command_line.main(["act"])


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("no such reader."), 2),
        (TableError("a cell is empty.", where="row 3"), 3),
        (PromotionRefusedError("2 of 6 checks failed."), 4),
        (ZeroDivisionError("division by zero"), 70),
    ],
)
def test_the_exit_code_and_the_last_line_agree(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception, code: int
) -> None:
    def fail(_: argparse.Namespace) -> int:
        raise error

    assert run_with(monkeypatch, fail) == code
    assert capsys.readouterr().err.splitlines()[-1].endswith(f"(exit {code})")


def test_a_full_disk_is_no_bug_of_ours(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(_: argparse.Namespace) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/srv/somebody/trial.tsv")

    assert run_with(monkeypatch, fail) == 2
    shown = capsys.readouterr().err
    assert "No space left on device" in shown
    assert "where   trial.tsv" in shown
    assert "/srv" not in shown
    assert "Traceback" not in shown


def test_a_system_error_of_another_kind_stays_a_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: argparse.Namespace) -> int:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))

    assert run_with(monkeypatch, fail) == 70


def test_an_error_is_shown_with_its_four_parts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: argparse.Namespace) -> int:
        raise TableError("a cell is empty.", where="row 3")

    run_with(monkeypatch, fail)
    shown = capsys.readouterr().err
    assert "table-invalid: a cell is empty." in shown
    assert "where   row 3" in shown
    assert "remedy  Correct the named row" in shown
    assert "more    docs/errors.md#table-invalid" in shown


def test_every_command_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    parser = command_line.build_parser()
    (subparsers,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    assert {"simulate", "extract", "train", "promote", "score", "serve"} <= set(subparsers.choices)
    for name, subparser in subparsers.choices.items():
        assert subparser.description, name
        undocumented = [action.dest for action in subparser._actions if action.help is None]
        assert not undocumented, name


WRITES_TO_A_CLOSED_PIPE = """
import argparse, sys
from predictor import __main__ as command_line, console
from predictor.errors import TableError

def act(arguments):
    if arguments.fails:
        raise TableError("a cell is empty.")
    console.emit("x" * 100_000)
    return 0

def build_parser():
    parser = argparse.ArgumentParser()
    subparser = parser.add_subparsers(dest="command").add_parser("act")
    subparser.add_argument("--fails", action="store_true")
    subparser.set_defaults(run=act, quiet=False, debug=False)
    return parser

command_line.build_parser = build_parser
sys.exit(command_line.main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    ("arguments", "is_stderr_closed", "code"),
    [(["act"], False, 0), (["act"], True, 0), (["act", "--fails"], True, 3)],
)
def test_a_reader_that_goes_away_changes_no_exit_code(arguments: list[str], is_stderr_closed: bool, code: int) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    try:
        ended = subprocess.run(
            [sys.executable, "-c", WRITES_TO_A_CLOSED_PIPE, *arguments],
            stdout=write_end,
            stderr=write_end if is_stderr_closed else subprocess.PIPE,
            text=True,
            check=False,
        )
    finally:
        os.close(write_end)
    assert ended.returncode == code
    if not is_stderr_closed:
        assert ended.stderr == "krp act: done\n"


@pytest.mark.parametrize("words", [["--version"], ["--help"], ["extract", "--help"], ["completion", "bash"]])
@pytest.mark.parametrize("is_buffered", [True, False])
def test_a_full_disk_under_what_was_asked_for_is_an_error_with_a_name(words: list[str], is_buffered: bool) -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        ended = run_krp(words, stdout=full, is_buffered=is_buffered)
    assert ended.returncode == 2
    assert ended.stderr.startswith("usage: standard output cannot be written: No space left on device.")
    assert ended.stderr.endswith("wrong use (exit 2)\n")


@pytest.mark.parametrize("words", [["--version"], ["extract", "--help"], ["completion", "bash"]])
def test_a_reader_that_goes_away_gets_no_complaint(words: list[str]) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    try:
        ended = run_krp(words, stdout=write_end)
    finally:
        os.close(write_end)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_full_disk_under_the_lines_for_people_stops_no_work() -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = run_krp(["completion", "bash"], stderr=full)
        misspelt = run_krp(["trian"], stderr=full)
    assert (done.returncode, misspelt.returncode) == (0, 2)
    assert "krp" in done.stdout


def run_krp(words: list[str], *, is_buffered: bool = True, **streams: Any) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own, with streams of its own."""
    environment = {**os.environ, "PYTHONUNBUFFERED": "" if is_buffered else "1"}
    given = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams}
    call = [sys.executable, "-m", "predictor", *words]
    return subprocess.run(call, env=environment, text=True, check=False, **given)


def test_a_closed_output_is_an_error_and_closed_errors_are_none(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def act(_: argparse.Namespace) -> int:
        console.say("working")
        console.emit("result")
        return 0

    with monkeypatch.context() as closed:
        closed.setattr(sys, "stderr", None)
        assert run_with(monkeypatch, act) == 0
    assert capsys.readouterr().out == "result\n"
    monkeypatch.setattr(sys, "stdout", None)
    assert run_with(monkeypatch, act) == 2
    assert "standard output cannot be written: it is closed." in capsys.readouterr().err


def test_a_broken_pipe_of_something_else_is_no_success(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: argparse.Namespace) -> int:
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))

    assert run_with(monkeypatch, fail) == 70


def test_ctrl_c_says_what_is_left_of_the_work(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(arguments: argparse.Namespace) -> int:
        arguments.if_interrupted = "participants that were finished are kept"
        raise KeyboardInterrupt

    assert run_with(monkeypatch, stop) == 130
    assert capsys.readouterr().err.splitlines() == [
        "participants that were finished are kept",
        "krp act: interrupted (exit 130)",
    ]


@pytest.mark.parametrize(("command", "kept"), [("extract a b group", "are kept"), ("train a.toml", "is lost")])
def test_long_commands_know_what_ctrl_c_leaves(command: str, kept: str) -> None:
    assert kept in command_line.build_parser().parse_args(command.split()).if_interrupted


def test_numbers_are_computed_by_one_thread_so_that_the_service_gives_the_same_bytes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in command_line.ONE_THREAD:
        monkeypatch.setenv(name, "4")
    at_work: list[str | None] = []
    run_with(monkeypatch, lambda _: at_work.extend(map(os.environ.get, command_line.ONE_THREAD)) or 0)
    assert at_work == ["1"] * len(command_line.ONE_THREAD)
    ended = subprocess.run(
        [
            sys.executable,
            "-c",
            "import predictor.__main__ as m, sys; m.build_parser(); sys.exit('numpy' in sys.modules)",
        ],
        check=False,
    )
    assert ended.returncode == 0, "a module that defines commands imports numpy before the number of threads is set"
