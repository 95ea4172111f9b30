"""Lets `mlflow.pyfunc.load_model` and `mlflow models serve` open a bundle; needs neither mlflow nor `training`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from predictor.model.bundle import ModelBundle, load_bundle
from predictor.model.outcome_definition import Covariate, CovariateValue, is_missing
from predictor.model.person_inputs import person_inputs

# Stands beside the example in the log book, so that nobody takes it for a person.
EXAMPLE_IS = "no participant: the mean of every number and the most frequent level of every category in training"


class BundleModel:
    """A bundle with the `predict` that MLflow calls; research use only."""

    def __init__(self, bundle: ModelBundle) -> None:
        self.bundle = bundle

    def predict(self, model_input: pd.DataFrame, params: dict[str, object] | None = None) -> pd.DataFrame:
        """Return the expected outcome of every person in every arm: the numbers that the service gives, alone.

        Whether the model is applicable to these people, and how sure it is, only the service and `krp score` say.

        Parameters
        ----------
        model_input
            Features and covariates by name, one row per person; absent columns and empty cells are missing values,
            other columns are not looked at.
        params
            Not used; MLflow passes it.

        Returns
        -------
        DataFrame
            One column per arm, in the outcome's unit, index as given. NaN for someone from an unknown site where the
            bundle refuses such people.

        Raises
        ------
        ValueOutOfRangeError, TableError
            If a value is no finite number, or a category has an unknown level.
        """
        bundle = self.bundle
        inputs = [
            person_inputs(features, covariates, bundle).values for features, covariates in self._people(model_input)
        ]
        expected = bundle.model.predict(np.array(inputs).reshape(len(inputs), len(bundle.model.input_names)))
        if bundle.unseen_site_policy == "refuse":
            expected[[self._is_from_elsewhere(covariates) for _, covariates in self._people(model_input)]] = np.nan
        return pd.DataFrame(expected, columns=list(bundle.arms), index=model_input.index)

    def _people(self, table: pd.DataFrame) -> Iterator[tuple[dict[str, float | None], dict[str, CovariateValue]]]:
        """Features and covariates of one person after the other, None where missing."""
        asked = [covariate.name for covariate in self.bundle.covariates if covariate.role != "arm"]
        names = (*self.bundle.feature_names, *asked)
        columns = [table[name].tolist() if name in table else [None] * len(table) for name in names]
        n_features = len(self.bundle.feature_names)
        for row in zip(*columns, strict=True) if columns else [()] * len(table):
            known: list[Any] = [None if is_missing(value) else value for value in row]
            yield dict(zip(names, known[:n_features], strict=False)), dict(zip(asked, known[n_features:], strict=True))

    def _is_from_elsewhere(self, covariates: dict[str, CovariateValue]) -> bool:
        sites = [one for one in self.bundle.covariates if one.role == "site"]
        return any(site.level_of(covariates.get(site.name)) is None for site in sites)


def input_example(bundle: ModelBundle) -> pd.DataFrame:
    """Return one row that `predict` takes and that belongs to nobody.

    Numbers are the means of the training people (of the controls, for what only the comparison with them asks for),
    categories their most frequent level; see `EXAMPLE_IS`.
    """
    mean_of = dict(zip(bundle.model.input_names, bundle.training_range.mean.tolist(), strict=True))
    if bundle.deviations:
        reference = bundle.deviations.reference
        asked = [name for covariate in reference.covariates for name in covariate.input_names]
        mean_of = dict(zip(asked, reference.centre.tolist(), strict=True)) | mean_of
    typical: dict[str, object] = {name: mean_of[name] for name in bundle.feature_names}
    typical |= {one.name: _typical(one, mean_of) for one in bundle.covariates if one.role != "arm"}
    return pd.DataFrame([typical], index=pd.Index([0]))


def _typical(covariate: Covariate, mean_of: dict[str, float]) -> object:
    """Mean of a number, most frequent level of a category; None where the bundle does not tell."""
    if covariate.kind == "number":
        return mean_of.get(covariate.name)
    shares = {level: mean_of.get(f"{covariate.name}={level}") for level in covariate.levels}
    known = {level: share for level, share in shares.items() if share is not None}
    if len(known) < len(shares) and len(shares) == 2:  # of two levels, one indicator says it all
        known |= {level: 1 - sum(known.values()) for level in shares if level not in known}
    return max(known, key=lambda level: known[level]) if known else None


def _load_pyfunc(path: str) -> BundleModel:
    """Return the verified bundle of a folder; the name is MLflow's."""
    return BundleModel(load_bundle(Path(path)))
