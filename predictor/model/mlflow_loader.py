"""Lets `mlflow.pyfunc.load_model` and `mlflow models serve` open a bundle; needs neither mlflow nor `training`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from predictor.model.bundle import ModelBundle, load_bundle
from predictor.model.outcome_definition import Covariate


class BundleModel:
    """A bundle with the `predict` that MLflow calls."""

    def __init__(self, bundle: ModelBundle) -> None:
        self.bundle = bundle

    def predict(self, model_input: pd.DataFrame, params: dict[str, object] | None = None) -> pd.DataFrame:
        """Return the expected outcome of every person in every arm.

        Parameters
        ----------
        model_input
            Features and covariates by name, one row per person; absent columns and empty cells are missing values.
        params
            Not used; MLflow passes it.

        Returns
        -------
        DataFrame
            One column per arm, in the outcome's unit, index as given.
        """
        bundle = self.bundle
        measured = np.concatenate([self._column(model_input, name) for name in bundle.feature_names], axis=1)
        blocks = [measured]
        if bundle.deviations:
            reference = bundle.deviations.reference
            columns = [self._encoded(model_input, covariate) for covariate in reference.covariates]
            known = np.concatenate([*columns, np.empty((len(model_input), 0))], axis=1)
            blocks.append(bundle.deviations.features(reference.judge(measured[:, bundle.source_numbers], known).z))
        blocks += [self._encoded(model_input, one) for one in bundle.covariates if one.role != "arm"]
        expected = bundle.model.predict(np.concatenate(blocks, axis=1))
        return pd.DataFrame(expected, columns=list(bundle.arms), index=model_input.index)

    @staticmethod
    def _encoded(table: pd.DataFrame, covariate: Covariate) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
        return covariate.encode(table[covariate.name].tolist() if covariate.name in table else [None] * len(table))

    @staticmethod
    def _column(table: pd.DataFrame, name: str) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
        if name not in table:
            return np.full((len(table), 1), np.nan)
        return np.asarray(table[[name]].to_numpy(dtype=np.float64, na_value=np.nan))


def _load_pyfunc(path: str) -> BundleModel:
    """Return the verified bundle of a folder; the name is MLflow's."""
    return BundleModel(load_bundle(Path(path)))
