from __future__ import annotations

import re
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def page(project: Path) -> str:
    return (project / "docs/robustness.md").read_text(encoding="utf-8")


def test_every_command_names_a_file_that_exists(page: str, project: Path) -> None:
    named = set(re.findall(r"tests/[\w/]+\.py", page))
    assert named
    assert sorted(name for name in named if not (project / name).is_file()) == []


def test_every_kind_of_attack_that_ci_tries_stands_on_the_page(page: str, project: Path) -> None:
    makefile = (project / "Makefile").read_text(encoding="utf-8")
    listed = re.search(r"UNDER_ATTACK := \$\(patsubst %,tests/robustness/test_%\.py,((?:.*\\\n)*.*)\)", makefile)
    assert listed is not None
    names = listed[1].replace("\\", " ").split()
    assert len(names) > 10
    assert [name for name in names if f"tests/robustness/test_{name}.py" not in page] == []
    assert [name for name in names if not (project / f"tests/robustness/test_{name}.py").is_file()] == []
