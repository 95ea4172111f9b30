from __future__ import annotations

import argparse
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
