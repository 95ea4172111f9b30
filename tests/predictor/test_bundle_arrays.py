from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from predictor.errors import BundleDamagedError, BundleIncompatibleError, ModelBundleError
from predictor.model.bundle import ModelBundle, load_bundle, save_bundle
from predictor.model.bundle_arrays import TREE_ARRAYS, array_path, arrays_in, model_records
from predictor.model.sealed_folder import write_sealed_folder
from predictor.model.tree_model import TreeResponseModel


def test_a_bundle_with_trees_comes_back_as_it_was(
    tree_bundle: ModelBundle, tmp_path: Path, rng: np.random.Generator
) -> None:
    digest = save_bundle(tree_bundle, tmp_path / "one")
    back = load_bundle(tmp_path / "one")
    assert back.digest == digest
    assert isinstance(back.model, TreeResponseModel)
    for person in rng.standard_normal((20, len(back.model.input_names))):
        person[0] = np.nan
        assert np.array_equal(back.model.predict(person[np.newaxis]), tree_bundle.model.predict(person[np.newaxis]))
        assert np.array_equal(back.fold_models.predict(person), tree_bundle.fold_models.predict(person))
        assert np.array_equal(back.bootstrap_models.predict(person), tree_bundle.bootstrap_models.predict(person))
    assert save_bundle(back, tmp_path / "again") == digest


def test_only_bundles_with_trees_have_the_new_schema_version_and_arrays(
    bundle: ModelBundle, tree_bundle: ModelBundle, tmp_path: Path
) -> None:
    for name, one, version in (("linear", bundle, 2), ("trees", tree_bundle, 3)):
        save_bundle(one, tmp_path / name)
        assert json.loads((tmp_path / name / "bundle.json").read_bytes())["schema_version"] == version
        assert (set(TREE_ARRAYS) <= set(arrays_in(tmp_path / name))) == (name == "trees")


def test_trees_without_their_schema_version_are_refused(tree_bundle: ModelBundle, tmp_path: Path) -> None:
    save_bundle(tree_bundle, tmp_path / "one")
    files = {p.relative_to(tmp_path / "one").as_posix(): p.read_bytes() for p in (tmp_path / "one").rglob("*.*")}
    del files["manifest.json"]
    files["bundle.json"] = files["bundle.json"].replace(b'"schema_version":3', b'"schema_version":2')
    write_sealed_folder(tmp_path / "two", files)
    with pytest.raises(BundleIncompatibleError, match="schema version"):
        load_bundle(tmp_path / "two")


@pytest.mark.parametrize("part", list(TREE_ARRAYS))
def test_a_bundle_that_lacks_some_of_its_trees_is_damaged(tree_bundle: ModelBundle, tmp_path: Path, part: str) -> None:
    save_bundle(tree_bundle, tmp_path / "one")
    (tmp_path / "one" / array_path(part, next(iter(TREE_ARRAYS[part])))).unlink()
    with pytest.raises(BundleDamagedError):
        load_bundle(tmp_path / "one")


def test_models_of_two_kinds_make_no_bundle(bundle: ModelBundle, tree_bundle: ModelBundle) -> None:
    with pytest.raises(ModelBundleError, match="models of one kind"):
        model_records(tree_bundle.model, bundle.fold_models, bundle.bootstrap_models)
    with pytest.raises(ModelBundleError, match="models of one kind"):
        model_records(bundle.model, bundle.fold_models, tree_bundle.bootstrap_models)
