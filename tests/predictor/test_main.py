from __future__ import annotations

import argparse
import errno
import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from predictor import __main__ as command_line
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
