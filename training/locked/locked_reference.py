"""What a bundle keeps of its training people for a locked test, so that their data need not be there.

Baselines as weighted sums, quantiles of the inputs that the model uses, and marks by which their rows are recognised.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import clone

from predictor.errors import BundleIncompatibleError, ModelBundleError
from predictor.model.bundle import ModelBundle
from predictor.model.linear_model import LinearResponseModel
from predictor.model.outcome_definition import Covariate
from predictor.model.response_design import encoded_column, linear_model_of
from predictor.model.response_model import ResponseModel
from training.evaluation.baselines import Baseline, make_baselines
from training.evaluation.row_fingerprints import RowFingerprints, fingerprints_of, make_fingerprints
from training.training_table import TrainingTable

Floats = NDArray[np.float64]

SCHEMA = 1
QUANTILES = tuple(round(0.05 * number, 2) for number in range(21))
# Of a model that uses all of 7,503 edges, the heaviest.
MOST_QUANTILES = 1000
DIGITS = 6  # of quantiles, significant


@dataclass(frozen=True, slots=True, eq=False)
class LockedBaseline:
    """A model without the brain, fitted on the training people."""

    name: str
    covariates: tuple[Covariate, ...]
    motion_columns: tuple[str, ...]
    model: LinearResponseModel

    @property
    def columns(self) -> tuple[str, ...]:
        """What must be known about a person."""
        return (*self.motion_columns, *(covariate.name for covariate in self.covariates))

    def predict(self, known: pd.DataFrame) -> Floats:
        """Return the expected outcome of everyone in their own arm, shape (n_people,).

        Raises
        ------
        TableError
            If a level of a covariate is unknown.
        """
        motion = known[list(self.motion_columns)].apply(pd.to_numeric, errors="coerce").to_numpy(dtype=np.float64)
        raw = np.concatenate([motion, *(encoded_column(one, known[one.name]) for one in self.covariates)], axis=1)
        expected = self.model.predict(raw)
        arm = next((covariate for covariate in self.covariates if covariate.role == "arm"), None)
        if arm is None:
            return expected[:, 0]
        own = [self.model.arms.index(str(arm.level_of(value))) for value in known[arm.name]]
        return np.asarray(expected[np.arange(len(own)), own])


@dataclass(frozen=True, slots=True, eq=False)
class LockedReference:
    """The training people as far as a locked test needs them."""

    n_people: int
    outcome_mean: float  # in the outcome's unit
    baselines: tuple[LockedBaseline, ...]
    quantiles: Mapping[str, Floats]  # input name -> values at `QUANTILES`
    fingerprints: RowFingerprints


def locked_document(table: TrainingTable, raw_inputs: Floats, model: ResponseModel) -> dict[str, Any]:
    """Write down what a locked test needs, ready for the bundle.

    Parameters
    ----------
    table
        The training people.
    raw_inputs
        The model's inputs of these people, shape (n_people, n_inputs), NaN where missing.
    model
        The model fitted on everyone.
    """
    covariates = (*table.covariates, *table.demographic)
    baselines = make_baselines(table.inputs, covariates=covariates, motion_columns=table.motion_columns)
    features = table.inputs[[definition.name for definition in table.definitions]]
    return {
        "schema": SCHEMA,
        "n_people": len(table.outcome),
        "outcome_mean": float(table.outcome.mean()),
        "baselines": [_baseline_document(one, table, covariates) for one in baselines if one.columns],
        "quantiles": _quantiles(raw_inputs, model),
        "fingerprints": make_fingerprints(features, families=[one.family for one in table.definitions]).document(),
    }


def reference_of(bundle: ModelBundle) -> LockedReference:
    """Read what the bundle keeps of its training people.

    Raises
    ------
    BundleIncompatibleError
        If it was made before bundles kept that.
    ModelBundleError
        If it does not fit together.
    """
    document = bundle.locked_test
    if not document or document.get("schema") != SCHEMA:
        raise BundleIncompatibleError(
            "the bundle keeps nothing for a locked test: it was made by another version of this software.",
            remedy="Train the model again with this version; its training people are not needed for the test itself.",
        )
    try:
        return LockedReference(
            n_people=int(document["n_people"]),
            outcome_mean=float(document["outcome_mean"]),
            baselines=tuple(_baseline_of(one) for one in document["baselines"]),
            quantiles={name: np.array(values, dtype=np.float64) for name, values in document["quantiles"].items()},
            fingerprints=fingerprints_of(document["fingerprints"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelBundleError("what is kept for a locked test is damaged.", where="locked_test") from error


def _baseline_document(baseline: Baseline, table: TrainingTable, covariates: Sequence[Covariate]) -> dict[str, Any]:
    fitted = clone(baseline.estimator).fit(table.inputs[list(baseline.columns)], table.outcome)
    model = linear_model_of(fitted)
    known = {covariate.name: covariate for covariate in covariates}
    return {
        "name": baseline.name,
        "covariates": [known[name].document() for name in baseline.columns if name in known],
        "motion_columns": [name for name in baseline.columns if name not in known],
        "input_names": list(model.input_names),
        "arms": list(model.arms),
        **{name: getattr(model, name).tolist() for name in _MODEL_ARRAYS},
    }


_MODEL_ARRAYS = ("impute_values", "centre", "scale", "intercept", "coefficients")


def _baseline_of(document: Mapping[str, Any]) -> LockedBaseline:
    arrays = {name: np.array(document[name], dtype=np.float64) for name in _MODEL_ARRAYS}
    arms, names = tuple(document["arms"]), tuple(document["input_names"])
    arrays["coefficients"] = arrays["coefficients"].reshape(len(arms), len(names))
    return LockedBaseline(
        name=str(document["name"]),
        covariates=tuple(Covariate(**{**one, "levels": tuple(one["levels"])}) for one in document["covariates"]),
        motion_columns=tuple(document["motion_columns"]),
        model=LinearResponseModel(input_names=names, arms=arms, **arrays),
    )


def _quantiles(raw_inputs: Floats, model: ResponseModel) -> dict[str, list[float]]:
    """Quantiles of the inputs that weigh most; of all that are used, while they are few."""
    weight = model.influence
    order = np.argsort(-weight, kind="stable")[:MOST_QUANTILES]
    chosen = [number for number in sorted(order.tolist()) if weight[number] > 0]
    found = np.nanquantile(raw_inputs[:, chosen], QUANTILES, axis=0)
    return {
        model.input_names[number]: [float(f"{value:.{DIGITS}g}") for value in values]
        for number, values in zip(chosen, found.T, strict=True)
    }
