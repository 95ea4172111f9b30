from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from predictor.errors import BundleDamagedError, BundleIncompatibleError, ModelBundleError
from predictor.features.recipe import default_recipe, region_table_recipe
from predictor.model import bundle as bundle_module
from predictor.model.bundle import ModelBundle, load_bundle, save_bundle, verify_bundle
from predictor.model.canonical_json import canonical_json
from predictor.model.linear_model import LinearEnsemble, LinearResponseModel


def assert_equal(one: Any, other: Any) -> None:
    """Compare records to the last bit."""
    if isinstance(one, np.ndarray):
        assert one.tobytes() == other.tobytes()
    elif is_dataclass(one):
        for field in fields(one):
            if field.init and field.name != "digest":
                assert_equal(getattr(one, field.name), getattr(other, field.name))
    else:
        assert one == other


def reseal(folder: Path, name: str, content: bytes) -> None:
    """Change a file and make the manifest agree: what someone who means harm would do."""
    (folder / name).write_bytes(content)
    manifest = json.loads((folder / "manifest.json").read_bytes())
    manifest["files"][name] = {"sha256": "sha256:" + hashlib.sha256(content).hexdigest(), "size": len(content)}
    (folder / "manifest.json").write_bytes(canonical_json(manifest))


@pytest.fixture
def folder(bundle: ModelBundle, tmp_path: Path) -> Path:
    save_bundle(bundle, tmp_path / "bundle")
    return tmp_path / "bundle"


def test_a_bundle_comes_back_to_the_last_bit(bundle: ModelBundle, folder: Path) -> None:
    loaded = load_bundle(folder)
    assert_equal(bundle, loaded)
    assert loaded.digest == verify_bundle(folder)


@pytest.mark.parametrize("recipe", [default_recipe(), region_table_recipe(["a", "b", "c"])])
def test_the_recipe_comes_back_with_its_hash(bundle: ModelBundle, tmp_path: Path, recipe: Any) -> None:
    save_bundle(replace(bundle, recipe=recipe, recipe_hashes=(recipe.recipe_hash,)), tmp_path / "bundle")
    loaded = load_bundle(tmp_path / "bundle")
    assert loaded.recipe == recipe
    assert loaded.recipe is not None
    assert loaded.recipe.recipe_hash == recipe.recipe_hash


def test_equal_bundles_are_equal_bytes(make_bundle: Callable[..., ModelBundle], folder: Path, tmp_path: Path) -> None:
    digest = save_bundle(make_bundle(), tmp_path / "again")
    assert digest == verify_bundle(folder)
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            assert path.read_bytes() == (tmp_path / "again" / path.relative_to(folder)).read_bytes()


def test_another_outcome_gives_another_digest(bundle: ModelBundle, folder: Path, tmp_path: Path) -> None:
    assert save_bundle(replace(bundle, trained_on=81), tmp_path / "other") != verify_bundle(folder)


def test_a_changed_array_is_noticed_before_anything_is_parsed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / "arrays/model.coefficients.npy"
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    monkeypatch.setattr(bundle_module, "parse_json", lambda content: pytest.fail("parsed"))
    with pytest.raises(BundleDamagedError) as caught:
        load_bundle(folder)
    assert caught.value.where == "arrays/model.coefficients.npy"


def test_objects_are_never_unpickled_even_if_the_manifest_agrees(folder: Path, tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "exploded",))

    np.save(tmp_path / "bomb.npy", np.array([Bomb()], dtype=object), allow_pickle=True)
    reseal(folder, "arrays/model.intercept.npy", (tmp_path / "bomb.npy").read_bytes())
    with pytest.raises(BundleDamagedError):
        load_bundle(folder)
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": 1}, "schema version 2 or 3, found 1"),
        ({"name": None, "arms": ["ketamine"]}, "do not fit together"),
        ({"arms": ["midazolam", "ketamine"]}, "do not fit together"),
        ({"definitions": {}}, "do not fit together"),
        ({"recipe": {}}, "do not fit together"),
        ({"outcome": {"name": "x"}}, "do not fit together"),
        ({"covariates": [{"name": "x", "kind": "number", "levels": [], "role": "boss", "unit": ""}]}, "do not fit"),
        ({"unseen_site_policy": "guess"}, "do not fit together"),
        ({"training_range": {"n_people": 1}}, "do not fit together"),
    ],
)
def test_a_sound_folder_of_other_content_is_incompatible(folder: Path, change: dict[str, Any], message: str) -> None:
    document = json.loads((folder / "bundle.json").read_bytes()) | change
    reseal(folder, "bundle.json", canonical_json(document))
    with pytest.raises(BundleIncompatibleError, match=message):
        load_bundle(folder)


def test_a_number_beyond_all_numbers_is_incompatible(folder: Path) -> None:
    document = json.loads((folder / "bundle.json").read_bytes()) | {"trained_on": "HUGE"}
    reseal(folder, "bundle.json", canonical_json(document).replace(b'"HUGE"', b"1e999"))
    with pytest.raises(BundleIncompatibleError, match="do not fit together"):
        load_bundle(folder)


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"schema_version": NaN}'])
def test_what_is_no_document_is_incompatible(folder: Path, content: bytes) -> None:
    reseal(folder, "bundle.json", content)
    with pytest.raises(BundleIncompatibleError):
        load_bundle(folder)


def test_parts_that_do_not_fit_cannot_be_put_together(bundle: ModelBundle) -> None:
    narrow = replace(bundle.fold_models, n_inputs=bundle.fold_models.n_inputs + 1)
    with pytest.raises(ModelBundleError, match="fold and bootstrap models"):
        replace(bundle, fold_models=narrow)
    with pytest.raises(ModelBundleError, match="not the bundle's features"):
        replace(bundle, definitions=bundle.definitions[::-1])
    beyond = replace(bundle.out_of_fold, fold_index=bundle.out_of_fold.fold_index + 10)
    with pytest.raises(ModelBundleError, match="folds that have no model"):
        replace(bundle, out_of_fold=beyond)


def test_a_card_that_json_cannot_hold_is_a_named_error_and_leaves_nothing(bundle: ModelBundle, tmp_path: Path) -> None:
    for card in ({"r2": float("nan")}, {"r2": np.float32(1)}, {"when": object()}):
        with pytest.raises(ModelBundleError, match="what JSON cannot"):
            save_bundle(replace(bundle, card=card), tmp_path / "bundle")
    assert not list(tmp_path.iterdir())


def dense_model(*, n_inputs: int, rng: np.random.Generator) -> LinearResponseModel:
    return LinearResponseModel(
        input_names=tuple(map(str, range(n_inputs))),
        impute_values=np.zeros(n_inputs),
        centre=np.zeros(n_inputs),
        scale=np.ones(n_inputs),
        arms=("all",),
        intercept=np.zeros(1),
        coefficients=rng.standard_normal((1, n_inputs)),
    )


def test_35_dense_folds_of_7503_features_fit(rng: np.random.Generator) -> None:
    model = dense_model(n_inputs=7_503, rng=rng)
    assert LinearEnsemble.of([model] * 35).n_bytes < bundle_module.MAX_FOLD_MODELS_BYTES


@pytest.mark.parametrize("kind", ["fold", "bootstrap"])
def test_models_that_take_too_much_are_refused(bundle: ModelBundle, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    n_bytes = getattr(bundle, f"{kind}_models").n_bytes
    monkeypatch.setattr(bundle_module, f"MAX_{kind.upper()}_MODELS_BYTES", n_bytes - 1)
    with pytest.raises(ModelBundleError, match=f"{kind} models take {n_bytes} bytes"):
        replace(bundle)


def test_a_bundle_with_a_reference_comes_back_to_the_last_bit(deviation_bundle: ModelBundle, tmp_path: Path) -> None:
    save_bundle(deviation_bundle, tmp_path / "bundle")
    loaded = load_bundle(tmp_path / "bundle")
    assert_equal(deviation_bundle, loaded)
    assert loaded.deviations is not None
    assert loaded.digest == verify_bundle(tmp_path / "bundle")


def test_a_reference_lost_or_half_there_is_refused(deviation_bundle: ModelBundle, tmp_path: Path) -> None:
    save_bundle(deviation_bundle, tmp_path / "bundle")
    content = json.loads((tmp_path / "bundle" / "bundle.json").read_bytes())
    reseal(tmp_path / "bundle", "bundle.json", canonical_json(content | {"deviations": None}))
    with pytest.raises(BundleIncompatibleError, match="arrays without a description"):
        load_bundle(tmp_path / "bundle")
    for name in ("arrays/reference.coefficients.npy", "arrays/reference.centre.npy"):
        (tmp_path / "bundle" / name).unlink()
        with pytest.raises(BundleDamagedError):
            load_bundle(tmp_path / "bundle")


def test_a_bundle_of_version_1_is_refused_by_name(folder: Path) -> None:
    document = json.loads((folder / "bundle.json").read_bytes())
    del document["deviations"]
    reseal(folder, "bundle.json", canonical_json(document | {"schema_version": 1}))
    with pytest.raises(BundleIncompatibleError, match="expected a bundle of schema version 2 or 3, found 1"):
        load_bundle(folder)


def test_a_reference_needs_features_and_covariates_that_people_are_asked_for(deviation_bundle: ModelBundle) -> None:
    with pytest.raises(ModelBundleError, match="that nobody is asked for"):
        replace(deviation_bundle, covariates=tuple(c for c in deviation_bundle.covariates if c.name != "age"))


def test_everything_that_counts_are_made_from_is_needed(deviation_bundle: ModelBundle) -> None:
    assert list(deviation_bundle.model.is_used[:5]) == [True, True, True, False, True]
    assert deviation_bundle.is_needed.all()
