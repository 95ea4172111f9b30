from __future__ import annotations

import argparse

import command_line_reference
import pytest
from command_line_reference import all_commands, command_overview, commands_of, exit_codes

from predictor.__main__ import build_parser


def test_every_command_and_option_stands_in_the_reference() -> None:
    text = all_commands()
    for name, parser in commands_of(build_parser()).items():
        assert f"# krp {name}\n" in text
        for action in parser._actions:
            absent = [option for option in action.option_strings if option not in text]
            assert absent == [] or set(action.option_strings) & command_line_reference.COMMON_OPTIONS


def test_every_command_has_a_line_and_a_link_in_the_overview() -> None:
    overview = command_overview()
    assert [name for name in commands_of(build_parser()) if f"(#krp-{name})" not in overview] == []


def test_the_exit_codes_are_those_of_the_command_line() -> None:
    assert "| `4` | refused |" in exit_codes()
    assert "| `70` |" in exit_codes()


def test_commands_within_commands_and_marks_in_help_are_shown_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    parser = argparse.ArgumentParser(prog="krp")
    outer = parser.add_subparsers().add_parser("keys", help="keys", description="Keys of *all* people.")
    inner = outer.add_subparsers().add_parser("make", help="make one", epilog="Example:\n\n  krp keys make --days 3")
    inner.add_argument("--days", type=int, default=7, metavar="N|ever", help="how long (%(default)s days)")
    monkeypatch.setattr(command_line_reference, "_parser", lambda: parser)
    text = all_commands()
    assert "(krp-keys-make)=\n## krp keys make" in text
    assert r"Keys of \*all\* people." in text
    assert "| `--days N|ever` | how long (7 days) |" in text.replace("\\", "")
    assert "```text\nkrp keys make --days 3\n```" in text
