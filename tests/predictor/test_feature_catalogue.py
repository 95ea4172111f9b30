"""Names, units and descriptions of features."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from predictor.features.feature_catalogue import (
    STANDARD_ERROR_METHODS,
    family_feature_names,
    feature_definitions,
    feature_source,
    kind_feature_names,
    run_kinds,
    spoken_name,
)
from predictor.features.recipe import FAMILIES, default_recipe, region_table_recipe


def test_the_default_recipe_has_its_features_in_fixed_order_without_repetition() -> None:
    definitions = feature_definitions(default_recipe())
    names = [definition.name for definition in definitions]
    assert len(set(names)) == len(names)
    families = Counter(definition.family for definition in definitions)
    assert families == {
        "rest_fisher_z": 32,
        "rest_partial": 32,
        "rdcm_rest": 64,
        "activation_faces": 12,
        "gppi_faces": 96,
        "rdcm_faces": 64,
        "activation_conflict": 12,
        "activation_conflict_regulation": 12,
        "quality": 9,
    }
    assert list(families) == list(FAMILIES)
    assert names[:2] == ["rest_fisher_z__amygdala_L__vmPFC", "rest_fisher_z__amygdala_L__amPFC"]


def test_names_units_and_labels_are_those_of_the_contract() -> None:
    by_name = {definition.name: definition for definition in feature_definitions(default_recipe())}
    gppi = by_name["gppi_faces__vmPFC__amygdala_L"]
    assert (gppi.unit, gppi.family, gppi.kind, gppi.circuit) == ("beta", "gppi_faces", "gppi", "amygdala-vmPFC")
    assert gppi.description == "task connectivity from vmPFC to left amygdala while viewing faces, beyond control"
    mean = by_name["gppi_faces_mean__amygdala_L__vmPFC"]
    assert mean.description == ("task connectivity between left amygdala and vmPFC while viewing faces, beyond control")
    rest = by_name["rest_fisher_z__amygdala_L__vmPFC"]
    assert (rest.unit, rest.kind, rest.circuit) == ("fisher_z", "rest", "amygdala-vmPFC")
    activation = by_name["activation_faces__dACC"]
    assert (activation.unit, activation.kind, activation.circuit) == ("percent", "activation", "dACC")
    directed = by_name["rdcm_faces__vmPFC__amygdala_L"]
    assert (directed.unit, directed.kind, directed.circuit) == ("Hz", "rdcm", "amygdala-vmPFC")
    assert directed.description == (
        "directed influence of vmPFC on left amygdala while viewing faces and control pictures; positive excites, "
        "negative inhibits"
    )
    assert by_name["rdcm_rest__amygdala_L__vmPFC"].circuit == "amygdala-vmPFC"
    regulation = by_name["activation_conflict_regulation__dACC"]
    assert (regulation.unit, regulation.kind, regulation.circuit) == ("percent", "activation", "dACC")
    quality = by_name["quality_mean_framewise_displacement_mm__faces"]
    assert (quality.unit, quality.kind) == ("mm", "quality")


def test_families_choose_the_features_and_the_runs() -> None:
    recipe = default_recipe()
    rest_only = replace(recipe, families=("rest_partial", "quality"))
    assert run_kinds(rest_only) == ("rest",)
    assert run_kinds(replace(recipe, families=("gppi_faces", "quality"))) == ("faces",)
    assert run_kinds(replace(recipe, families=("activation_conflict", "rdcm_rest"))) == ("rest", "conflict")
    assert run_kinds(replace(recipe, families=("quality",))) == ("rest",)
    assert {d.family for d in feature_definitions(rest_only)} == {"rest_partial", "quality"}
    assert not any(d.name.endswith("__faces") for d in feature_definitions(rest_only))


def test_every_family_says_its_run_and_how_its_standard_errors_are_made() -> None:
    for definition in feature_definitions(default_recipe()):
        assert feature_source(definition) in {"rest", "faces", "conflict"}
        assert STANDARD_ERROR_METHODS[definition.family]
    for kind in ("rest", "faces", "conflict"):
        names = kind_feature_names(default_recipe(), kind)
        assert sum(name.startswith("quality_") for name in names) == 3
        assert all(kind in name.split("__")[0] for name in names if not name.startswith("quality_"))
    assert family_feature_names(default_recipe(), "activation_conflict")[0] == "activation_conflict__amygdala_L"


def test_a_region_table_has_every_pair_in_row_order() -> None:
    names = [definition.name for definition in feature_definitions(region_table_recipe(["GlobSig", "a", "b"]))]
    assert names == ["rest_partial__GlobSig__a", "rest_partial__GlobSig__b", "rest_partial__a__b"]


@pytest.mark.parametrize(
    ("name", "spoken"),
    [
        ("amygdala_L", "left amygdala"),
        ("insula_anterior_R", "right anterior insula"),
        ("rACC_L", "left rACC"),
        ("dmPFC", "dmPFC"),
        ("_L", " L"),
        ("GlobSig", "GlobSig"),
    ],
)
def test_regions_are_called_as_one_would_say_them(name: str, spoken: str) -> None:
    assert spoken_name(name) == spoken
