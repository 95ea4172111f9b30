"""What holds for every command: its help is complete, fits a terminal, and shows calls that can be made."""

from __future__ import annotations

import argparse
import re
import shlex
from pathlib import Path

import pytest

from predictor.__main__ import build_parser
from predictor.command_parser import every_command
from predictor.exit_codes import ALWAYS_POSSIBLE, MEANING

COMMANDS = dict(every_command(build_parser()))
# They stand in every help, and are exercised for the root.
OF_EVERY_COMMAND = {"-h", "--help", "--quiet", "--debug"}


def part_of(name: str, title: str) -> list[str]:
    """Return the lines of one part of a command's epilog."""
    epilog = COMMANDS[name].epilog or ""
    assert f"{title}:\n" in epilog, f"krp {name} has no {title}"
    return re.split(r"\n\n", epilog.split(f"{title}:\n", 1)[1])[0].splitlines()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_shows_calls_of_itself_that_can_be_made(name: str) -> None:
    examples = [line.strip() for line in part_of(name, "examples")]
    assert examples
    for example in examples:
        command = re.split(r" > |\)\"$", example.removeprefix('eval "$('))[0]
        assert command.startswith(f"krp {name.split()[0]}"), example
        arguments = build_parser().parse_args(shlex.split(command)[1:])
        assert callable(arguments.run), example


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_documents_its_exit_codes(name: str) -> None:
    lines = part_of(name, "exit codes")
    codes = {int(line.split()[0]) for line in lines}
    assert set(ALWAYS_POSSIBLE) <= codes <= set(MEANING), name
    assert all(len(line.split()) > 1 for line in lines)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_help_fits_80_columns_and_describes_every_argument(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    parser = COMMANDS[name]
    assert max(map(len, parser.format_help().splitlines())) <= 80
    assert (parser.description or "").endswith(".")
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            continue
        said = action.help or ""
        assert said, f"krp {name}: {action.dest}"
        assert said == argparse.SUPPRESS or not said.endswith("."), f"krp {name} {action.dest}: no sentence"
        is_flag = action.nargs == 0
        assert is_flag or not action.option_strings or action.metavar or action.choices, f"{name}: {action.dest}"


@pytest.mark.parametrize("name", COMMANDS)
def test_defaults_are_shown_and_never_as_nothing(name: str) -> None:
    shown = COMMANDS[name].format_help()
    assert "None" not in shown
    assert shown.count("(default") == len(re.findall(r"\(default:\s", shown))


def test_the_root_lists_every_command_and_every_exit_code() -> None:
    shown = build_parser().format_help()
    for name in COMMANDS:
        assert " " in name or f"\n  {name} " in shown, name
    for code in MEANING:
        assert re.search(rf"^  {code}\s", shown, re.MULTILINE), code


@pytest.mark.parametrize("words", ["keys --quiet list", "keys list --quiet", "audit-log show --quiet"])
def test_what_every_command_takes_may_stand_before_or_after_an_action(words: str) -> None:
    assert build_parser().parse_args(words.split()).quiet
    assert not build_parser().parse_args(words.replace("--quiet", "").split()).quiet


def test_every_option_is_exercised_by_a_test_or_documented(project: Path) -> None:
    places = [*project.glob("docs/**/*.md"), project / "README.md", project / "Makefile"]
    places += [path for path in project.glob("tests/**/*.py") if path != Path(__file__)]
    texts = "\n".join(path.read_text(encoding="utf-8") for path in places)
    forgotten = [
        f"krp {name} {option}"
        for name, parser in COMMANDS.items()
        for action in parser._actions
        for option in action.option_strings
        if option not in OF_EVERY_COMMAND and not re.search(rf"{re.escape(option)}(?![\w-])", texts)
    ]
    assert forgotten == []
