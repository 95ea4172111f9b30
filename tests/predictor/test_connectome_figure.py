from __future__ import annotations

import re

import numpy as np

from predictor.circuit.circuit import load_circuit
from predictor.report.connectome_figure import (
    EdgeValue,
    RegionValue,
    activation_svg,
    glass_brain_svg,
    matrix_svg,
)
from predictor.report.palette import ABOVE_ZERO, BELOW_ZERO

PAIRS = [("amygdala_L", "vmPFC"), ("amygdala_L", "dACC"), ("amygdala_R", "vmPFC"), ("amygdala_R", "dACC")]
UNDIRECTED = [EdgeValue(*pair, value, 0.1) for pair, value in zip(PAIRS, (0.5, -0.4, 0.1, None), strict=True)]


def _x_of(words: str, svg: str) -> float:
    [x] = re.findall(rf'<text[^>]*\bx="([\d.]+)"[^>]*>{words}<', svg)
    return float(x)


def test_values_whose_interval_leaves_out_zero_are_bold() -> None:
    svg = matrix_svg(UNDIRECTED, name="m", title="Rest", unit="Fisher z")
    assert [edge.is_clear for edge in UNDIRECTED] == [True, True, False, False]
    assert re.findall(r"font[^>]*700[^>]*>([^<]+)<", svg) == ["0.50", "−0.40"]
    assert ">0.50<" in svg
    assert ">−0.40<" in svg
    assert ">–<" in svg  # missing
    assert "3 of 4 values are known" in svg
    assert "lowest left amygdala and dACC (-0.40 Fisher z)" in svg


def test_two_sides_make_one_matrix_per_direction() -> None:
    there = [EdgeValue(a, b, 0.11 + 0.01 * n, None) for n, (a, b) in enumerate(PAIRS)]
    back = [EdgeValue(b, a, 0.31 + 0.01 * n, None) for n, (a, b) in enumerate(PAIRS)]
    both = [edge for pair in zip(there, back, strict=True) for edge in pair]
    svg = matrix_svg(both, name="m", title="t", unit="Hz", directions=("row drives column", "column drives row"))
    assert svg.count(">vmPFC<") == 2
    middle = (_x_of("row drives column", svg) + _x_of("column drives row", svg)) / 2
    assert all(_x_of(f"0.1{digit}", svg) < middle for digit in range(1, 5))
    assert all(_x_of(f"0.3{digit}", svg) > middle for digit in range(1, 5))


def test_regions_of_one_kind_make_a_square_matrix() -> None:
    ring = [EdgeValue("a", "b", 0.1, None), EdgeValue("b", "c", 0.2, None), EdgeValue("c", "a", 0.3, None)]
    svg = matrix_svg(ring, name="m", title="t", unit="z")
    assert all(svg.count(f">{value}<") == 2 for value in ("0.10", "0.20", "0.30"))  # above and below the diagonal


def test_large_matrices_show_colours_only() -> None:
    names = [f"r{number}" for number in range(40)]
    edges = [EdgeValue(a, b, 0.1, None) for i, a in enumerate(names) for b in names[:i]]
    svg = matrix_svg(edges, name="m", title="t", unit="z")
    assert ">0.10<" not in svg
    assert ">40 regions<" in svg


def test_nothing_known_is_no_error() -> None:
    unknown = [EdgeValue(*pair, None, None) for pair in PAIRS]
    assert "No value is known." in matrix_svg(unknown, name="m", title="t", unit="z")
    assert "No value is known." in glass_brain_svg(unknown, load_circuit(), name="g", title="t", unit="z")


def test_the_glass_brain_draws_every_known_pair_in_three_views() -> None:
    svg = glass_brain_svg(UNDIRECTED, load_circuit(), name="g", title="t", unit="z")
    assert svg.count(ABOVE_ZERO) == 2 * 3
    assert svg.count(BELOW_ZERO) == 1 * 3


def test_of_many_pairs_the_strongest_are_drawn(rng: np.random.Generator) -> None:
    circuit = load_circuit()
    names = circuit.region_names
    pairs = [(a, b) for i, a in enumerate(names) for b in names[:i]]
    edges = [EdgeValue(*pair, 1.0 + number, None) for number, pair in enumerate(pairs * 2)]
    assert len(edges) > 100
    assert glass_brain_svg(edges, circuit, name="g", title="t", unit="z").count(ABOVE_ZERO) == 100 * 3


def test_activations_are_points_with_intervals() -> None:
    drawn = {}
    for standard_error in (None, 0.2):
        values = [RegionValue("vmPFC", 0.4, standard_error), RegionValue("dACC", None, None)]
        drawn[standard_error] = activation_svg([("By faces", values)], name="a", title="Activation", unit="percent")
        assert ">missing<" in drawn[standard_error]
        assert ">vmPFC<" in drawn[standard_error]
        assert "By faces (percent): vmPFC 0.40" in drawn[standard_error]
    assert drawn[0.2].count(ABOVE_ZERO) == drawn[None].count(ABOVE_ZERO) + 1
