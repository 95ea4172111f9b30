from __future__ import annotations

import pytest
from package_graph import (
    PackageGraph,
    imports_between_packages,
    layers,
    module_cycles,
    package_graph,
    strong_components,
    without_detours,
)

CHAIN = PackageGraph({"a": 1, "b": 2, "c": 1}, {("a", "b"): 1, ("b", "c"): 4, ("a", "c"): 1}, {"a": 2, "b": 1, "c": 0})
CIRCLE = PackageGraph(
    {"a": 1, "b": 1, "c": 1}, {("a", "b"): 1, ("b", "a"): 1, ("b", "c"): 1}, {"a": 1.5, "b": 1, "c": 0}
)


def test_no_modules_import_one_another_in_a_circle() -> None:
    assert module_cycles() == []


def test_the_packages_import_downwards_only() -> None:
    assert set(imports_between_packages()) == {("serving", "predictor"), ("training", "predictor")}


def test_what_is_imported_lies_below_what_imports_it() -> None:
    assert layers(CHAIN) == [["a"], ["b"], ["c"]]
    assert layers(CIRCLE) == [["a"], ["b"], ["c"]]


def test_an_import_that_a_longer_chain_explains_is_a_detour() -> None:
    assert without_detours(CHAIN) == [("a", "b"), ("b", "c")]
    assert set(without_detours(CIRCLE)) == set(CIRCLE.imports)


@pytest.mark.parametrize(
    ("edges", "expected"),
    [
        ([], [["a"], ["b"], ["c"]]),
        ([("a", "b"), ("b", "c"), ("c", "a")], [["a", "b", "c"]]),
        ([("a", "b"), ("b", "a"), ("b", "c")], [["c"], ["a", "b"]]),
    ],
)
def test_circles_are_found(edges: list[tuple[str, str]], expected: list[list[str]]) -> None:
    assert strong_components("abc", edges) == expected


def test_the_stages_of_predictor_lie_in_the_order_of_the_flow() -> None:
    row_of = {unit: number for number, row in enumerate(layers(package_graph("predictor"))) for unit in row}
    stages = ["report", "pipeline", "model", "features", "scan", "circuit", "errors"]
    assert [row_of[stage] for stage in stages] == sorted(row_of[stage] for stage in stages)
    graph = package_graph("predictor")
    assert [pair for pair in graph.imports if pair[1] not in graph.beneath(pair[0])] == []
