"""Lets `mlflow.pyfunc.load_model` and `mlflow models serve` open a bundle; needs neither mlflow nor `training`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from predictor.model.bundle import ModelBundle, load_bundle


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
        blocks = [self._column(model_input, name) for name in self.bundle.feature_names]
        for covariate in self.bundle.covariates:
            if covariate.role != "arm":
                known = (
                    model_input[covariate.name].tolist() if covariate.name in model_input else [None] * len(model_input)
                )
                blocks.append(covariate.encode(known))
        expected = self.bundle.model.predict(np.concatenate(blocks, axis=1))
        return pd.DataFrame(expected, columns=list(self.bundle.arms), index=model_input.index)

    @staticmethod
    def _column(table: pd.DataFrame, name: str) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
        if name not in table:
            return np.full((len(table), 1), np.nan)
        return np.asarray(table[[name]].to_numpy(dtype=np.float64, na_value=np.nan))


def _load_pyfunc(path: str) -> BundleModel:
    """Return the verified bundle of a folder; the name is MLflow's."""
    return BundleModel(load_bundle(Path(path)))
