"""The embedded circuits, circuit files, and the round trip through JSON."""

from __future__ import annotations

import json
from itertools import combinations
from math import dist
from pathlib import Path

import pytest

from predictor.circuit.circuit import (
    Circuit,
    Edge,
    Region,
    circuit_document,
    circuit_from_document,
    circuit_of_names,
    embedded_circuit,
    load_circuit,
)
from predictor.errors import CircuitError

SMALL_FILE = """
name = "small"
space = "MNI152NLin2009cAsym"
[[regions]]
name = "amygdala_L"
group = "amygdala"
centre_mni_mm = [-24, -4, -19]
radius_mm = 6
[[regions]]
name = "vmPFC"
group = "vmPFC"
centre_mni_mm = [0, 26, -18]
radius_mm = 8
[[edges]]
sources = ["amygdala"]
targets = ["vmPFC"]
"""


def test_default_circuit_has_the_twelve_regions_in_their_fixed_order() -> None:
    assert load_circuit().region_names == (
        "amygdala_L",
        "amygdala_R",
        "hippocampus_anterior_L",
        "hippocampus_anterior_R",
        "vmPFC",
        "amPFC",
        "dmPFC",
        "rACC_L",
        "rACC_R",
        "dACC",
        "insula_anterior_L",
        "insula_anterior_R",
    )


def test_default_edges_are_every_medial_temporal_with_every_prefrontal_or_insular_region() -> None:
    circuit = load_circuit()
    sources, targets = circuit.region_names[:4], circuit.region_names[4:]
    assert circuit.edges == tuple(Edge(source, target) for source in sources for target in targets)


def test_groups_are_the_names_without_the_side() -> None:
    for region in load_circuit().regions:
        assert region.group == region.name.removesuffix("_L").removesuffix("_R")


@pytest.mark.parametrize("name", ["fronto_limbic", "fronto_limbic_williams"])
def test_spheres_of_embedded_circuits_do_not_touch(name: str) -> None:
    circuit = embedded_circuit(name)
    assert circuit.has_coordinates
    for one, other in combinations(circuit.regions, 2):
        assert one.centre_mni_mm is not None
        assert other.centre_mni_mm is not None
        assert one.radius_mm is not None
        assert other.radius_mm is not None
        assert dist(one.centre_mni_mm, other.centre_mni_mm) > one.radius_mm + other.radius_mm


def test_unknown_embedded_circuit_is_refused_with_the_known_names() -> None:
    with pytest.raises(CircuitError, match="fronto_limbic, fronto_limbic_williams"):
        embedded_circuit("default_mode")


def test_circuit_survives_json_exactly() -> None:
    for circuit in (load_circuit(), circuit_of_names(["a", "b", "c"], name="table")):
        assert circuit_from_document(json.loads(json.dumps(circuit_document(circuit)))) == circuit


def test_circuit_of_names_pairs_every_region_with_every_later_one() -> None:
    circuit = circuit_of_names(["a", "b", "c"], name="table")
    assert circuit.edges == (Edge("a", "b"), Edge("a", "c"), Edge("b", "c"))
    assert not circuit.has_coordinates


def test_reads_a_circuit_file(tmp_path: Path) -> None:
    path = tmp_path / "small.toml"
    path.write_text(SMALL_FILE)
    assert load_circuit(path) == Circuit(
        name="small",
        space="MNI152NLin2009cAsym",
        regions=(
            Region("amygdala_L", "amygdala", (-24.0, -4.0, -19.0), 6.0),
            Region("vmPFC", "vmPFC", (0.0, 26.0, -18.0), 8.0),
        ),
        edges=(Edge("amygdala_L", "vmPFC"),),
    )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('name = "small"', "name = ", "no valid TOML"),
        ('space = "MNI152NLin2009cAsym"', "", "lacks space"),
        ("radius_mm = 6", "radius_mm = 6\nradius_cm = 1", "unknown radius_cm"),
        ("radius_mm = 6", "radius_mm = -6", "radius of -6.0 mm"),
        ("radius_mm = 6", "radius_mm = nan", "finite number"),
        ("radius_mm = 6", 'radius_mm = "6"', "finite number"),
        ("radius_mm = 6", "", "both a centre and a radius"),
        ("[-24, -4, -19]", "[-24, -4]", "[x, y, z]"),
        ("[-24, -4, -19]", "[-24, -4, -1900]", "outside any head"),
        ('name = "vmPFC"', 'name = "amygdala_L"', "not unique"),
        ('sources = ["amygdala"]', 'sources = ["thalamus"]', "thalamus"),
        ('sources = ["amygdala"]', 'sources = ["vmPFC"]', "paired with itself"),
        ('sources = ["amygdala"]', 'sources = ["amygdala", "vmPFC"]', "paired with itself"),
    ],
)
def test_faulty_circuit_file_names_its_fault_and_itself(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "faulty.toml"
    assert old in SMALL_FILE
    path.write_text(SMALL_FILE.replace(old, new, 1))
    with pytest.raises(CircuitError) as caught:
        load_circuit(path)
    assert message in str(caught.value)
    assert caught.value.where == "faulty.toml"


def test_missing_circuit_file_is_named_without_its_folder(tmp_path: Path) -> None:
    with pytest.raises(CircuitError) as caught:
        load_circuit(tmp_path / "nowhere.toml")
    assert caught.value.where == "nowhere.toml"
    assert str(tmp_path) not in str(caught.value)
