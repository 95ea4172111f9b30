"""Recipes, their documents and their hash."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import Any

import pytest

from predictor.circuit.circuit import embedded_circuit
from predictor.errors import ConfigError
from predictor.features import recipe as recipe_module
from predictor.features.recipe import FAMILIES, Recipe, default_recipe, recipe_from_document, region_table_recipe
from predictor.scan.task_description import RunDescription, TaskDescription, load_task_description

CHANGES: dict[str, Any] = {
    "circuit": embedded_circuit("fronto_limbic_williams"),
    "families": ("rest_partial",),
    "confound_strategy": "motion6",
    "censor_framewise_displacement_mm": None,
    "high_pass_hz": 0.01,
    "low_pass_hz": None,
    "drift_period_s": 100.0,
    "deconvolve_seed": False,
    "center_psychological": False,
    "microtime_bins": 32,
    "microtime_onset": 1,
    "bold_scale": "none",
    "minimum_coverage": 0.8,
    "minimum_volumes": 60,
    "minimum_trials_faces": 3,
    "minimum_trials_conflict": 6,
    "hrf": "glover",
    "hrf_derivatives": 1,
    "bootstrap_samples": 0,
    "bootstrap_block_s": 20.0,
    "rdcm_filter_strength": 5.0,
    "rdcm_scale": "percent",
}


def other_tasks() -> TaskDescription:
    document = load_task_description().runs
    rest = replace(document[0], tasks=("quiet",))
    assert isinstance(rest, RunDescription)
    return TaskDescription((rest, *document[1:]))


@pytest.mark.parametrize("make", [default_recipe, lambda: region_table_recipe(["a", "b"])], ids=["scan", "table"])
def test_a_recipe_survives_its_document_as_json(make) -> None:
    recipe = make()
    again = recipe_from_document(json.loads(json.dumps(recipe.document(), allow_nan=False)))
    assert again == recipe
    assert again.recipe_hash == recipe.recipe_hash


def test_every_field_changes_the_hash() -> None:
    recipe = default_recipe()
    changes = {**CHANGES, "tasks": other_tasks()}
    assert set(changes) == {field.name for field in fields(Recipe)}
    hashes = {replace(recipe, **{name: value}).recipe_hash for name, value in changes.items()}
    assert len(hashes | {recipe.recipe_hash}) == len(changes) + 1


def test_versions_that_change_numbers_change_the_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = default_recipe()
    before = recipe.recipe_hash
    recipe_module._recipe_hash.cache_clear()
    monkeypatch.setattr(recipe_module, "EXTRACTION_VERSION", recipe_module.EXTRACTION_VERSION + 1)
    newer = recipe.recipe_hash
    recipe_module._recipe_hash.cache_clear()
    hashes = {before, newer}
    for changed in ("nilearn", "numpy", "scipy", "scikit-learn"):
        recipe_module._recipe_hash.cache_clear()
        monkeypatch.setattr(recipe_module, "version", lambda name, c=changed: "0.0" if name == c else "1.0")
        hashes.add(recipe.recipe_hash)
    assert len(hashes) == 6
    recipe_module._recipe_hash.cache_clear()


def test_order_and_repetition_of_families_do_not_matter() -> None:
    recipe = default_recipe()
    shuffled = replace(recipe, families=(*reversed(FAMILIES), "quality"))
    assert shuffled == recipe
    assert shuffled.recipe_hash == recipe.recipe_hash


def test_the_hash_has_the_form_of_a_digest() -> None:
    prefix, digits = default_recipe().recipe_hash.split(":")
    assert prefix == "sha256"
    assert len(bytes.fromhex(digits)) == 32


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"families": ("rest_fisher_q",)}, "unknown feature family rest_fisher_q"),
        ({"families": ()}, "families"),
        ({"confound_strategy": "magic"}, "unknown confound strategy magic"),
        ({"bold_scale": "zscore"}, "unknown bold scale"),
        ({"low_pass_hz": 0.001}, "low_pass_hz"),
        ({"high_pass_hz": 0.0}, "high_pass_hz"),
        ({"censor_framewise_displacement_mm": -1.0}, "censor"),
        ({"minimum_coverage": 1.5}, "minimum_coverage"),
        ({"microtime_onset": 17}, "microtime_onset"),
        ({"minimum_volumes": 0}, "minimum_volumes"),
        ({"minimum_trials_faces": 0}, "minimum_trials_faces"),
        ({"minimum_trials_conflict": -1}, "minimum_trials_conflict"),
        ({"hrf": "fir"}, "unknown haemodynamic response fir"),
        ({"hrf_derivatives": 3}, "hrf_derivatives"),
        ({"bootstrap_samples": 5}, "bootstrap_samples"),
        ({"bootstrap_block_s": 0.0}, "bootstrap_block_s"),
        ({"rdcm_filter_strength": 0.0}, "rdcm_filter_strength"),
        ({"rdcm_scale": "none"}, "unknown scale of effective connectivity none"),
        ({"drift_period_s": float("nan")}, "not finite"),
        ({"low_pass_hz": float("inf")}, "not finite"),
    ],
)
def test_impossible_recipes_are_named_errors(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        replace(default_recipe(), **change)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("deconvolve_seed", 1),
        ("microtime_bins", 16.0),
        ("minimum_volumes", True),
        ("high_pass_hz", "0.01"),
        ("drift_period_s", None),
        ("bold_scale", None),
        ("hrf", 1),
        ("hrf_derivatives", True),
        ("bootstrap_samples", 200.0),
        ("rdcm_scale", None),
        ("families", "quality"),
    ],
)
def test_documents_with_values_of_the_wrong_type_are_named_errors(name: str, value: Any) -> None:
    document = {**default_recipe().document(), name: value}
    with pytest.raises(ConfigError):
        recipe_from_document(document)


def test_documents_with_other_entries_are_named_errors() -> None:
    document = default_recipe().document()
    with pytest.raises(ConfigError, match="surprise"):
        recipe_from_document({**document, "surprise": 1})
    del document["families"]
    with pytest.raises(ConfigError, match="families"):
        recipe_from_document(document)


def test_the_default_recipe_uses_the_embedded_circuit_and_every_family() -> None:
    recipe = default_recipe()
    assert recipe.circuit.name == "fronto_limbic"
    assert recipe.families == FAMILIES


def test_region_tables_are_neither_filtered_nor_rescaled() -> None:
    recipe = region_table_recipe(["GlobSig", "a", "b"], censor_framewise_displacement_mm=0.15)
    assert (recipe.high_pass_hz, recipe.low_pass_hz) == (None, None)
    assert (recipe.bold_scale, recipe.confound_strategy) == ("none", "none")
    assert len(recipe.circuit.edges) == 3


def test_tables_of_many_regions_get_no_standard_errors() -> None:
    assert region_table_recipe([f"r{number}" for number in range(150)]).bootstrap_samples == 200
    assert region_table_recipe([f"r{number}" for number in range(151)]).bootstrap_samples == 0
