from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import predictor

PUBLIC = [
    "BaselineSession",
    "Circuit",
    "FeatureVector",
    "ModelBundle",
    "PredictorError",
    "QualityReport",
    "Recipe",
    "ScoredVisit",
    "default_recipe",
    "extract_features",
    "find_visits",
    "load_bundle",
    "load_circuit",
    "read_session",
    "score_session",
    "session_quality",
]


def test_the_public_names_are_these_and_no_others() -> None:
    assert predictor.__all__ == PUBLIC


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_leads_to_a_documented_object(name: str) -> None:
    found = getattr(predictor, name)
    assert found.__name__ == name
    assert len(inspect.getdoc(found) or "") > 20


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = predictor.no_such_name


def test_type_checkers_and_python_find_every_name_in_the_same_module() -> None:
    tree = ast.parse(inspect.getsource(predictor))
    [for_checkers] = [node for node in tree.body if isinstance(node, ast.If)]
    declared = {
        alias.name: node.module
        for node in for_checkers.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert declared == predictor._HOME
    assert sorted(declared) == PUBLIC


def test_importing_the_package_loads_nothing_of_it_and_no_library() -> None:
    code = "import sys, predictor; print(*sorted(sys.modules)); print(*dir(predictor))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded, names = (line.split() for line in done.stdout.splitlines())
    assert [name for name in loaded if name.startswith("predictor.")] == []
    assert not {"numpy", "pandas", "scipy", "sklearn", "nilearn", "matplotlib", "rich"}.intersection(loaded)
    assert names == PUBLIC


def test_type_checkers_are_not_told_that_every_name_exists() -> None:
    tree = ast.parse(inspect.getsource(predictor))
    [branches] = [node for node in tree.body if isinstance(node, ast.If)]
    of_python_only = {node.name for node in branches.orelse if isinstance(node, ast.FunctionDef)}
    assert "__getattr__" in of_python_only
    assert "__getattr__" not in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_people_who_check_types_get_ours(project: Path) -> None:
    assert (project / "predictor" / "py.typed").is_file()
