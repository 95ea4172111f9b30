from __future__ import annotations

import argparse
import re
import shlex
from dataclasses import fields
from pathlib import Path
from typing import get_type_hints

import pytest

from predictor.__main__ import build_parser
from training.config import ExperimentConfig


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


def test_examples_on_real_data_name_nobody_and_say_what_they_are_for(project: Path) -> None:
    examples = sorted((project / "docs" / "examples").iterdir())
    assert len(examples) >= 4
    for example in examples:
        text = example.read_text(encoding="utf-8")
        assert "research use only" in text.lower(), example.name
        assert re.search(r"sub-[a-z]*\d", text) is None, example.name


@pytest.mark.parametrize("page", ["experiments.md", "experiment_log.md", "api.md", "deployment.md"])
def test_every_command_of_the_documentation_is_one_that_krp_takes(project: Path, page: str) -> None:
    for command in commands_of(project / "docs" / page):
        arguments = build_parser().parse_args(shlex.split(command)[1:])
        assert callable(arguments.run), command


def test_every_section_and_entry_of_an_experiment_file_is_documented(project: Path) -> None:
    text = (project / "docs" / "experiments.md").read_text(encoding="utf-8")
    sections = [entry.name for entry in fields(ExperimentConfig) if entry.name not in ("name", "source")]
    assert [name for name in sections if f"[{name}]" not in text] == []
    kinds = get_type_hints(ExperimentConfig)
    for name in ("cohort", "outcome", "features", "covariates", "model", "validation", "tracking"):
        assert [entry.name for entry in fields(kinds[name]) if f"`{entry.name}`" not in text] == [], name
