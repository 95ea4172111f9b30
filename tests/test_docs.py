from __future__ import annotations

import argparse
import re
import shlex
from dataclasses import fields
from pathlib import Path
from typing import get_type_hints
from urllib.parse import unquote
from xml.etree import ElementTree

import pytest

from predictor.__main__ import build_parser
from training.config import ExperimentConfig

LINK = re.compile(r"!?\[[^\]]*\]\((?P<target>[^)\s]+)\)")
# What it is and how to begin has to be clear in two minutes; the rest is tables to look things up in.
MOST_WORDS = 1_100
MAX_IMAGE_BYTES = 200_000


def pages(project: Path) -> list[Path]:
    """Return every page that people read."""
    return [*project.glob("*.md"), *sorted((project / "docs").rglob("*.md"))]


def commands_of(page: Path) -> list[str]:
    """Return every krp command of a page's shell blocks, continuation lines joined."""
    blocks = re.findall(r"```sh[^\n]*\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [re.split(r"[>|]| #", line)[0].removesuffix("&").strip() for line in lines if line.startswith("krp ")]


def prose_of(text: str) -> str:
    """Return a page without its blocks of code."""
    return re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)


def test_every_command_of_the_readme_is_one_that_krp_takes(project: Path) -> None:
    commands = commands_of(project / "README.md")
    assert len(commands) >= 8
    for command in commands:
        arguments = build_parser().parse_args(shlex.split(command)[1:])
        assert callable(arguments.run), command


def test_every_command_stands_in_the_list_of_commands(project: Path) -> None:
    listed = (project / "docs/commands.md").read_text(encoding="utf-8")
    (subparsers,) = (action for action in build_parser()._actions if isinstance(action, argparse._SubParsersAction))
    assert [name for name in subparsers.choices if f"| `krp {name}` |" not in listed] == []


def test_the_files_that_the_readme_names_exist(project: Path) -> None:
    readme = (project / "README.md").read_text(encoding="utf-8")
    named = re.findall(r"\b(?:experiments|predictor|docs|tests)/[\w/]+(?:\.\w+)?", readme)
    assert [name for name in named if not (project / name).exists()] == []


def test_the_readme_can_be_read_in_minutes(project: Path) -> None:
    assert len(prose_of((project / "README.md").read_text(encoding="utf-8")).split()) <= MOST_WORDS


def test_numbers_with_intervals_are_those_of_the_page_that_explains_them(project: Path) -> None:
    readme, explained = ((project / name).read_text(encoding="utf-8") for name in ("README.md", "docs/performance.md"))
    numbers = re.findall(r"−?\.\d+ \[[^\]]+\]|\d+ of \d+|[\d.]+ ×|\d+ MB", readme)
    assert len(numbers) >= 7
    assert [number for number in numbers if number not in explained] == []


def test_links_between_pages_lead_somewhere(project: Path) -> None:
    broken = []
    for page in pages(project):
        for found in LINK.finditer(prose_of(page.read_text(encoding="utf-8"))):
            target, _, _ = unquote(found["target"]).partition("#")
            if target and "://" not in target and not target.startswith("mailto:"):
                broken += [] if (page.parent / target).exists() else [f"{page.relative_to(project)}: {target}"]
    assert broken == []


@pytest.mark.parametrize("name", ["data_flow.svg", "result_page.png"])
def test_pictures_of_the_readme_are_small_and_say_what_they_show(project: Path, name: str) -> None:
    picture = project / "docs/images" / name
    assert picture.stat().st_size <= MAX_IMAGE_BYTES
    words = re.search(rf"!\[([^\]]*)\]\(docs/images/{name}\)", (project / "README.md").read_text(encoding="utf-8"))
    assert words is not None
    assert len(words[1].split()) >= 10


def test_the_figure_of_the_data_flow_is_legible_light_and_dark_and_loads_nothing(project: Path) -> None:
    text = (project / "docs/images/data_flow.svg").read_text(encoding="utf-8")
    root = ElementTree.fromstring(text)
    names = {child.tag.rpartition("}")[2] for child in root}
    assert {"title", "desc"} <= names
    assert "prefers-color-scheme: dark" in text
    assert re.findall(r"""(?:href|src)=|url\((?!#)|@import""", text) == []
    assert min(float(size) for size in re.findall(r"font-size: ([\d.]+)px", text)) >= 13


@pytest.mark.parametrize("target", ["run", "test", "check", "bench", "robust", "mlflow"])
def test_the_makefile_has_the_words_that_the_readme_uses(project: Path, target: str) -> None:
    assert f"`make {target}`" in (project / "README.md").read_text(encoding="utf-8") or target == "test"
    assert re.search(rf"^{target}:", (project / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)


@pytest.mark.parametrize("folder", ["tutorials", "how_to"])
def test_every_tutorial_and_task_says_what_it_is_for(project: Path, folder: str) -> None:
    found = sorted(page for page in (project / "docs" / folder).glob("*.md") if page.name != "index.md")
    assert len(found) >= 5
    for page in found:
        text = page.read_text(encoding="utf-8")
        assert text.startswith("# "), page.name
        assert "research use only" in re.sub(r"\s+", " ", text).lower().replace("*", ""), page.name


def test_examples_on_real_data_name_nobody_and_say_what_they_are_for(project: Path) -> None:
    examples = sorted((project / "docs" / "examples").iterdir())
    assert len(examples) >= 4
    for example in examples:
        text = example.read_text(encoding="utf-8")
        assert "research use only" in text.lower(), example.name
        assert re.search(r"sub-[a-z]*\d", text) is None, example.name


def test_every_section_and_entry_of_an_experiment_file_is_documented(project: Path) -> None:
    text = (project / "docs" / "experiments.md").read_text(encoding="utf-8")
    sections = [entry.name for entry in fields(ExperimentConfig) if entry.name not in ("name", "source")]
    assert [name for name in sections if f"[{name}]" not in text] == []
    kinds = get_type_hints(ExperimentConfig)
    for name in ("cohort", "outcome", "features", "covariates", "model", "validation", "tracking"):
        assert [entry.name for entry in fields(kinds[name]) if f"`{entry.name}`" not in text] == [], name
