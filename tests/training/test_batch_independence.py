from __future__ import annotations

from typing import Any, Self

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.linear_model import Ridge
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from training.evaluation.batch_independence import check_batch_independence


class CentreOnWhoeverComes(TransformerMixin, BaseEstimator):
    """Harmonises a new site by its own mean: the usual way, and no answer for one new person."""

    def fit(self, X: Any, y: Any = None) -> Self:
        return self

    def transform(self, X: Any) -> np.ndarray:
        return np.asarray(X) - np.asarray(X).mean(axis=0)


@pytest.fixture
def inputs(rng: np.random.Generator) -> pd.DataFrame:
    return pd.DataFrame(rng.standard_normal((20, 4))).add_prefix("f")


def test_a_fitted_pipeline_treats_everyone_alike(inputs: pd.DataFrame) -> None:
    fitted = Pipeline([("scaling", StandardScaler()), ("model", Ridge())]).fit(inputs, inputs["f0"])
    found = check_batch_independence(fitted, inputs)
    assert found.passed
    assert found.n_people == 10


def test_a_step_that_learns_while_it_transforms_is_named(inputs: pd.DataFrame) -> None:
    steps = [("scaling", StandardScaler()), ("harmonization", CentreOnWhoeverComes()), ("model", Ridge())]
    fitted = Pipeline(steps).fit(inputs, inputs["f0"])
    assert check_batch_independence(fitted, inputs).leaking_step == "harmonization"


def test_a_model_that_predicts_by_rank_is_named(inputs: pd.DataFrame) -> None:
    class Ranker(BaseEstimator):
        def predict(self, X: pd.DataFrame) -> np.ndarray:
            return X["f0"].rank().to_numpy()

    assert check_batch_independence(Ranker(), inputs).leaking_step == "model"
