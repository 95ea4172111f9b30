"""Which arrays the folder of a bundle holds, and which record each belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from predictor.errors import ModelBundleError
from predictor.model.array_file import FLOAT, INTEGER
from predictor.model.linear_model import LinearEnsemble, LinearResponseModel
from predictor.model.response_model import ModelEnsemble, ResponseModel
from predictor.model.tree_arrays import TreeArrays
from predictor.model.tree_model import TreeEnsemble, TreeResponseModel

Layout = dict[str, dict[str, tuple[np.dtype[Any], int]]]
Arrays = Mapping[str, Mapping[str, NDArray[Any]]]

# Every array of a bundle: part of the bundle -> field -> type and number of dimensions.
_ENSEMBLE = {
    "model_start": (INTEGER, 1), "input_index": (INTEGER, 1), "impute_values": (FLOAT, 1), "centre": (FLOAT, 1),
    "weights": (FLOAT, 2), "intercept": (FLOAT, 2),
}  # fmt: skip
ARRAYS: Layout = {
    "model": {
        "impute_values": (FLOAT, 1), "centre": (FLOAT, 1), "scale": (FLOAT, 1), "intercept": (FLOAT, 1),
        "coefficients": (FLOAT, 2),
    },
    "fold_models": _ENSEMBLE,
    "bootstrap_models": _ENSEMBLE,
    "out_of_fold": {
        "fold_index": (INTEGER, 1), "arm_index": (INTEGER, 1), "prediction": (FLOAT, 1), "residual": (FLOAT, 1),
    },
    "training_range": {
        "mean": (FLOAT, 1), "sd": (FLOAT, 1), "minimum": (FLOAT, 1), "maximum": (FLOAT, 1),
        "background_mean": (FLOAT, 1),
    },
}  # fmt: skip
# Only of bundles that compare people with controls.
REFERENCE_ARRAYS: Layout = {
    "reference": {
        "centre": (FLOAT, 1), "spread": (FLOAT, 1), "lowest": (FLOAT, 1), "highest": (FLOAT, 1),
        "column_covariance": (FLOAT, 2), "coefficients": (FLOAT, 2),
        "residual_variance": (FLOAT, 1), "unscaled_covariance": (FLOAT, 3), "degrees_of_freedom": (FLOAT, 1),
    },
    "deviations": {"background": (FLOAT, 2)},
}  # fmt: skip
# Only of bundles that take site effects out of the features.
HARMONIZATION_ARRAYS: Layout = {
    "harmonization": {
        "centre": (FLOAT, 1), "coefficients": (FLOAT, 2), "mean": (FLOAT, 1), "scale": (FLOAT, 1),
        "shift": (FLOAT, 2), "spread": (FLOAT, 2),
    },
}  # fmt: skip
# Only of bundles whose models have trees; their weighted sums stand where those of linear models do.
_TREES = {
    "arm_values": (FLOAT, 2), "model_start": (INTEGER, 1), "tree_start": (INTEGER, 1), "column": (INTEGER, 1),
    "threshold": (FLOAT, 1), "left": (INTEGER, 1), "right": (INTEGER, 1), "value": (FLOAT, 1),
    "n_passing": (INTEGER, 2),
}  # fmt: skip
TREE_ARRAYS: Layout = {
    "model_trees": _TREES,
    "fold_trees": _TREES,
    "fold_imputation": {"impute_values": (FLOAT, 2)},
    "bootstrap_trees": _TREES,
    "bootstrap_imputation": {"impute_values": (FLOAT, 2)},
}
OPTIONAL_ARRAYS = (REFERENCE_ARRAYS, HARMONIZATION_ARRAYS, TREE_ARRAYS)
EVERY_ARRAY: Layout = ARRAYS | REFERENCE_ARRAYS | HARMONIZATION_ARRAYS | TREE_ARRAYS


def array_path(part: str, name: str) -> str:
    """Path of an array inside the folder."""
    return f"arrays/{part}.{name}.npy"


def arrays_in(folder: Path) -> Layout:
    """Arrays that the folder must hold: those of an optional group if its first one is there, then all of them."""
    found = dict(ARRAYS)
    for group in OPTIONAL_ARRAYS:
        part, fields = next(iter(group.items()))
        if (folder / array_path(part, next(iter(fields)))).is_file():
            found |= group
    return found


def model_records(
    model: ResponseModel, fold_models: ModelEnsemble, bootstrap_models: ModelEnsemble
) -> dict[str, object]:
    """Record of every part that belongs to the models, by part.

    Raises
    ------
    ModelBundleError
        If linear models and models with trees are mixed, or are of another kind.
    """
    ensembles = {"fold": fold_models, "bootstrap": bootstrap_models}
    if isinstance(model, LinearResponseModel) and all(isinstance(one, LinearEnsemble) for one in ensembles.values()):
        return {"model": model, **{f"{kind}_models": one for kind, one in ensembles.items()}}
    found: dict[str, object] = {}
    for kind, one in ensembles.items():
        if not isinstance(model, TreeResponseModel) or not isinstance(one, TreeEnsemble):
            raise ModelBundleError("expected models of one kind, all linear or all with trees.")
        found |= {"model": model.linear, "model_trees": model.trees}
        found |= {f"{kind}_models": one.linear, f"{kind}_trees": one.trees, f"{kind}_imputation": one}
    return found


def model_of(arrays: Arrays, *, input_names: tuple[str, ...], arms: tuple[str, ...]) -> ResponseModel:
    """Build the model from its arrays; the opposite of `model_records`."""
    linear = LinearResponseModel(input_names=input_names, arms=arms, **arrays["model"])
    if "model_trees" not in arrays:
        return linear
    return TreeResponseModel(linear=linear, trees=TreeArrays(n_inputs=len(input_names), **arrays["model_trees"]))


def ensemble_of(arrays: Arrays, kind: str, *, n_inputs: int) -> ModelEnsemble:
    """Build the "fold" or "bootstrap" models from their arrays."""
    linear = LinearEnsemble(n_inputs=n_inputs, **arrays[f"{kind}_models"])
    if f"{kind}_trees" not in arrays:
        return linear
    trees = TreeArrays(n_inputs=n_inputs, **arrays[f"{kind}_trees"])
    return TreeEnsemble(linear=linear, trees=trees, **arrays[f"{kind}_imputation"])
