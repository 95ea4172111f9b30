from __future__ import annotations

from pathlib import Path

import pytest
from module_pages import first_line, modules_table, package_sections


@pytest.mark.parametrize("root", ["predictor", "training", "serving"])
def test_every_module_says_in_one_line_what_it_holds(project: Path, root: str) -> None:
    modules = [path for path in (project / root).rglob("*.py") if path.stem[0] != "_"]
    assert [str(path.relative_to(project)) for path in modules if not first_line(path)] == []
    text = package_sections(root)
    assert [path.stem for path in modules if f"| `{path.stem}` |" not in text] == []


def test_a_table_lists_the_modules_of_one_package_only() -> None:
    text = modules_table("predictor.circuit")
    assert "| `circuit` | The circuit: named regions in MNI space and the pairs between them. |" in text
    assert "pipeline" not in text
