"""What the papers on hazards, regulation and security say is there: tests, files, commands, settings."""

from __future__ import annotations

import argparse
import ast
import re
import shlex
from functools import cache
from pathlib import Path

import pytest

from predictor.__main__ import build_parser
from serving.settings import Settings

PAPERS = ("docs/hazards.md", "docs/regulatory.md", "SECURITY.md")
PROJECT = Path(__file__).resolve().parent.parent
# A number of checks below which a pattern has stopped to find anything.
N_HAZARDS = 25


@pytest.fixture(params=PAPERS)
def paper(request: pytest.FixtureRequest) -> str:
    return (PROJECT / str(request.param)).read_text(encoding="utf-8")


@pytest.fixture
def hazards() -> list[list[str]]:
    """Return the cells of each row of the table of hazards."""
    lines = (PROJECT / "docs/hazards.md").read_text(encoding="utf-8").splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| H")]


def quoted(text: str) -> list[str]:
    """Return what stands between backquotes on one line, and the lines of shell blocks."""
    blocks = re.findall(r"```sh[^\n]*\n(.*?)```", text, re.DOTALL)
    return re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL)) + "\n".join(blocks).splitlines()


@cache
def names_of_tests(file: str) -> frozenset[str]:
    """Return the names of a module's tests."""
    tree = ast.parse((PROJECT / file).read_text(encoding="utf-8"))
    return frozenset(
        node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    )


def test_every_hazard_has_a_control_and_a_test_that_exists(hazards: list[list[str]]) -> None:
    assert len(hazards) >= N_HAZARDS
    for hazard, control, tests in hazards:
        named = re.findall(r"`([^`]+)`", tests)
        assert control, hazard
        assert named, hazard
        for one in named:
            file, _, name = one.partition("::")
            assert (PROJECT / file).is_file(), one
            assert name in names_of_tests(file), one


def test_hazards_are_numbered_without_gaps_so_that_others_can_point_at_them(hazards: list[list[str]]) -> None:
    numbers = [int(hazard[1:].partition(".")[0]) for hazard, *_ in hazards]
    assert numbers == list(range(1, len(numbers) + 1))


def test_the_tests_of_hazards_are_not_skipped_on_purpose(hazards: list[list[str]]) -> None:
    for _, _, tests in hazards:
        for file in re.findall(r"`([^`:]+)::", tests):
            assert "mark.xfail" not in (PROJECT / file).read_text(encoding="utf-8"), file


def test_every_file_that_is_named_exists(paper: str) -> None:
    named = [one.partition("::")[0] for one in quoted(paper)]
    files = [
        one for one in named if re.fullmatch(r"(?:docs|tests|requirements|experiments|predictor|serving)/[\w./]*", one)
    ]
    files += [
        one
        for one in named
        if re.fullmatch(r"[A-Z]\w*(?:\.md|\.txt)?", one) and one in ("README.md", "SECURITY.md", "Dockerfile")
    ]
    assert [file for file in files if not (PROJECT / file).exists()] == []
    assert files


def test_every_command_that_is_named_exists(paper: str) -> None:
    (commands,) = (action for action in build_parser()._actions if isinstance(action, argparse._SubParsersAction))
    for line in (one for one in quoted(paper) if one.startswith("krp ")):
        words = shlex.split(line)[1:]
        parser = commands.choices[words[0]]
        known = {option for action in parser._actions for option in action.option_strings}
        assert {word for word in words if word.startswith("--")} <= known, line
        below = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
        if below and len(words) > 1:
            assert words[1] in below[0].choices, line


def test_every_word_of_make_that_is_named_exists(paper: str) -> None:
    makefile = (PROJECT / "Makefile").read_text(encoding="utf-8")
    for line in (one for one in quoted(paper) if one.startswith("make ")):
        assert re.search(rf"^{line.split()[1]}:", makefile, re.MULTILINE), line


def test_every_setting_and_section_that_is_named_exists(paper: str) -> None:
    assert {name.lower() for name in re.findall(r"KRP_([A-Z_]+[A-Z])", paper)} <= set(Settings.model_fields)
    for file, section in re.findall(r"`(docs/\w+\.md)`, \"([^\"]+)\"", paper):
        assert f"## {section}" in (PROJECT / file).read_text(encoding="utf-8"), section


def test_every_paper_says_that_it_is_for_research_only(paper: str) -> None:
    assert "research use only" in " ".join(paper.split()).lower()


def test_the_build_argument_that_is_named_exists() -> None:
    named = re.findall(r"--build-arg (\w+)=", (PROJECT / "SECURITY.md").read_text(encoding="utf-8"))
    assert named
    for name in named:
        assert f"ARG {name}=" in (PROJECT / "Dockerfile").read_text(encoding="utf-8")
