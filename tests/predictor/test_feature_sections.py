from __future__ import annotations

from dataclasses import replace

import numpy as np

from predictor.features.feature_vector import FeatureDefinition, FeatureVector
from predictor.features.recipe import Recipe
from predictor.report import feature_sections
from predictor.report.feature_sections import feature_context


def _vector(*named: tuple[str, str, float, float]) -> FeatureVector:
    """Features of (name, family, value, standard error); NaN is missing."""
    values = np.array([value for _, _, value, _ in named])
    return FeatureVector(
        definitions=tuple(
            FeatureDefinition(name, "beta", family, "", "", f"about {name}") for name, family, *_ in named
        ),
        values=values,
        missing_reasons=tuple("no run" if np.isnan(value) else None for value in values),
        recipe_hash="sha256:1",
        input_digest="sha256:2",
        standard_errors=np.array([error for *_, error in named]),
        first_half=np.full(len(named), np.nan),
        second_half=np.full(len(named), np.nan),
    )


def test_rows_have_numbers_errors_or_reasons(report_recipe: Recipe) -> None:
    vector = _vector(
        ("quality_share_censored__rest", "quality", 0.123456, np.nan),
        ("activation_faces__vmPFC", "activation_faces", -2.5, 0.25),
        ("activation_faces__dACC", "activation_faces", np.nan, np.nan),
    )
    context = feature_context(vector, report_recipe.circuit)
    first, second, third = context["features"]
    assert (first["value"], first["error"], first["reason"]) == ("0.1235", "–", None)
    assert (second["value"], second["error"]) == ("−2.5", "0.25")
    assert third["reason"] == "no run"
    assert (context["n_known"], context["n_features"]) == (2, 3)
    assert context["families"] == ["quality", "activation_faces"]
    assert "vmPFC -2.50" in context["activation_svg"]


def test_families_without_any_number_are_not_drawn(report_recipe: Recipe) -> None:
    vector = _vector(("rest_fisher_z__amygdala_L__vmPFC", "rest_fisher_z", np.nan, np.nan))
    context = feature_context(vector, report_recipe.circuit)
    assert context["connections"] == []
    assert context["activation_svg"] == ""


def test_the_mean_of_both_directions_is_what_the_glass_brain_shows(report_recipe: Recipe) -> None:
    vector = _vector(
        ("gppi_faces__amygdala_L__vmPFC", "gppi_faces", 0.5, 0.1),
        ("gppi_faces__vmPFC__amygdala_L", "gppi_faces", 0.1, 0.1),
        ("gppi_faces_mean__amygdala_L__vmPFC", "gppi_faces", 0.3, 0.1),
    )
    [connection] = feature_context(vector, report_recipe.circuit)["connections"]
    matrix, brain = connection["figures"]
    assert ">0.50<" in matrix
    assert ">0.30<" not in matrix
    assert "0.30 beta" in brain


def test_a_circuit_without_coordinates_has_no_glass_brain(report_recipe: Recipe) -> None:
    circuit = report_recipe.circuit
    nowhere = tuple(replace(region, centre_mni_mm=None, radius_mm=None) for region in circuit.regions)
    vector = _vector(("rest_fisher_z__amygdala_L__vmPFC", "rest_fisher_z", 0.5, 0.1))
    [connection] = feature_context(vector, replace(circuit, regions=nowhere))["connections"]
    assert len(connection["figures"]) == 1


def test_a_long_table_is_cut_and_says_so(report_recipe: Recipe, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(feature_sections, "MAX_LISTED", 3)
    monkeypatch.setattr(feature_sections, "MAX_DESCRIBED", 2)
    vector = _vector(*((f"x__{number}", "x", float(number), np.nan) for number in range(5)))
    context = feature_context(vector, report_recipe.circuit)
    assert [row["name"] for row in context["features"]] == ["x__0", "x__1", "x__2"]
    assert not any(row["description"] for row in context["features"])
    assert context["n_unlisted"] == 2
