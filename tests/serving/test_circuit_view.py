"""The circuit beside the drawing of the brain."""

from __future__ import annotations

from typing import Any

import pytest

from predictor.circuit.circuit import load_circuit
from predictor.errors import ExplanationAbsentError
from serving.web.circuit_view import N_SHOWN, circuit_document, circuit_view


def answer(**contributions: float) -> dict[str, Any]:
    """Return an answer with these contributions by feature."""
    items = [
        {
            "feature": feature,
            "value": 0.1,
            "unit": "beta",
            "contribution": amount,
            "circuit": "",
            "kind": feature.split("__")[0],
            "fold_sign_agreement": 1.0,
        }
        for feature, amount in contributions.items()
    ]
    return {"status": "ok", "outcome": {"name": "o", "unit": "percent"}, "explanation": {"contributions": items}}


MIXED = answer(
    rest_fisher_z__amygdala_L__vmPFC=2.0,
    gppi_faces__vmPFC__amygdala_L=1.5,
    rest_fisher_z__dACC__vmPFC=-4.0,
    activation_faces__amygdala_R=0.5,
    caps5_total_baseline=-1.0,
)


def test_measures_of_a_pair_are_summed_and_the_largest_comes_first() -> None:
    view = circuit_view(MIXED, load_circuit())
    assert view is not None
    assert [(row.name, row.amount, row.direction) for row in view.rows] == [
        ("dACC – vmPFC", "−4.0 points", "lowers"),
        ("left amygdala – vmPFC", "+3.5 points", "raises"),
    ]
    assert view.elsewhere == "+0.50 points from activation of single regions and −1.0 points from outside the brain"


def test_only_the_largest_pairs_are_listed_and_the_others_counted() -> None:
    circuit = load_circuit()
    many = {f"rest_fisher_z__{edge.source}__{edge.target}": 1.0 for edge in circuit.edges}
    view = circuit_view(answer(**many), circuit)
    assert view is not None
    assert (len(view.rows), view.n_more) == (N_SHOWN, len(circuit.edges) - N_SHOWN)


def test_without_an_explanation_or_coordinates_there_is_nothing_to_draw() -> None:
    refused = {"status": "refused", "outcome": {"unit": "percent"}}
    assert circuit_view(refused, load_circuit()) is None
    assert circuit_view(MIXED, None) is None
    with pytest.raises(ExplanationAbsentError):
        circuit_document(refused, load_circuit())


def test_the_3d_drawing_gets_places_numbers_and_sums() -> None:
    circuit = load_circuit()
    document = circuit_document(MIXED, circuit)
    by_name = {region["name"]: region for region in document["regions"]}
    for region in circuit.regions:
        assert tuple(by_name[region.name][axis] for axis in "xyz") == region.centre_mni_mm
    numbered = [region["name"] for region in document["regions"] if region["number"]]
    assert numbered == [name for name in circuit.region_names if name in {"amygdala_L", "amygdala_R", "vmPFC", "dACC"}]
    sums = {frozenset((edge["source"], edge["target"])): edge["contribution"] for edge in document["edges"]}
    assert sums == {frozenset(("amygdala_L", "vmPFC")): 3.5, frozenset(("dACC", "vmPFC")): -4.0}
