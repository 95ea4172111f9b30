from __future__ import annotations

import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from import_graph import drawing, imports_table, summary, svg_of
from package_graph import PACKAGES, PackageGraph, package_graph


@pytest.mark.parametrize("root", PACKAGES)
def test_every_unit_stands_in_drawing_and_table_and_the_drawing_is_well_formed(root: str) -> None:
    drawn, words = drawing(root), imports_table(root)
    ElementTree.fromstring(drawn)
    for unit in package_graph(root).n_modules:
        assert f">{unit}</text>" in drawn
        assert f"| `{unit}` |" in words


@pytest.mark.parametrize("root", PACKAGES)
def test_no_two_boxes_touch(root: str) -> None:
    found = re.findall(r'<rect x="(\d+)" y="(\d+)" width="(\d+)"', drawing(root))
    boxes = sorted((int(y), int(x), int(width)) for x, y, width in found)
    gaps = [right[1] - (left[1] + left[2]) for left, right in pairwise(boxes) if left[0] == right[0]]
    assert min(gaps) > 0


def test_a_line_says_who_imports_whom_and_how_often() -> None:
    graph = PackageGraph({"upper": 1, "lower<": 3}, {("upper", "lower<"): 7}, {"upper": 1, "lower<": 0})
    drawn = svg_of(graph, title="two units")
    assert "<title>upper imports lower&lt;: 7</title>" in drawn
    assert "3 modules" in drawn
    assert "upwards" not in drawn


def test_an_import_that_goes_up_is_marked() -> None:
    graph = PackageGraph({"upper": 1, "lower": 1}, {("lower", "upper"): 1}, {"upper": 1, "lower": 0})
    assert 'class="line upwards"' in svg_of(graph, title="two units")


def test_the_summary_says_that_nothing_goes_in_a_circle() -> None:
    assert "No module takes part in a circle of imports." in summary()
