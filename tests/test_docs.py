from __future__ import annotations

import argparse
import re
import shlex
from pathlib import Path

import pytest

from predictor.__main__ import build_parser


def commands_of(page: Path) -> list[str]:
    """Return every krp command of a page's shell blocks, continuation lines joined."""
    blocks = re.findall(r"```sh\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [line.split(">")[0].removesuffix("&").strip() for line in lines if line.startswith("krp ")]


def test_every_command_of_the_readme_is_one_that_krp_takes(project: Path) -> None:
    commands = commands_of(project / "README.md")
    assert len(commands) >= 8
    for command in commands:
        arguments = build_parser().parse_args(shlex.split(command)[1:])
        assert callable(arguments.run), command


def test_every_command_stands_in_the_readme(project: Path) -> None:
    readme = (project / "README.md").read_text(encoding="utf-8")
    (subparsers,) = (action for action in build_parser()._actions if isinstance(action, argparse._SubParsersAction))
    assert [name for name in subparsers.choices if f"`krp {name}`" not in readme] == []


def test_the_files_that_the_readme_names_exist(project: Path) -> None:
    readme = (project / "README.md").read_text(encoding="utf-8")
    named = re.findall(r"\b(?:experiments|predictor|docs|tests)/[\w/]+(?:\.\w+)?", readme)
    assert [name for name in named if not (project / name).exists()] == []


@pytest.mark.parametrize("target", ["run", "test", "check", "bench", "mlflow"])
def test_the_makefile_has_the_words_that_the_readme_uses(project: Path, target: str) -> None:
    assert re.search(rf"^{target}:", (project / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
