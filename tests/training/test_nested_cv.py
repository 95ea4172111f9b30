from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge, RidgeCV
from sklearn.model_selection import PredefinedSplit, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from training.evaluation.nested_cv import cross_validate, fit_fold
from training.evaluation.splits import leave_one_out, stratified_folds


@pytest.fixture
def inputs(rng: np.random.Generator) -> pd.DataFrame:
    return pd.DataFrame(rng.standard_normal((45, 6)), columns=list("abcdef"))


def test_predictions_are_those_of_scikit_learn_on_the_same_folds(
    rng: np.random.Generator, inputs: pd.DataFrame
) -> None:
    outcome = inputs["a"].to_numpy() + rng.standard_normal(45)
    folds = stratified_folds(outcome, None, n_folds=5, rng=rng)
    estimator = make_pipeline(StandardScaler(), RidgeCV(alphas=np.geomspace(0.1, 100, 9)))
    predicted = cross_validate(estimator, inputs, outcome, folds[np.newaxis])
    expected = cross_val_predict(estimator, inputs, outcome, cv=PredefinedSplit(folds))
    assert predicted.prediction[0] == pytest.approx(expected, abs=1e-12)


def test_the_training_mean_leaves_the_held_out_people_out(rng: np.random.Generator, inputs: pd.DataFrame) -> None:
    outcome = rng.standard_normal(45)
    predicted = cross_validate(Ridge(), inputs, outcome, leave_one_out(45)[np.newaxis])
    assert predicted.training_mean[0] == pytest.approx((outcome.sum() - outcome) / 44)


def test_two_processes_give_the_same_predictions_as_one(rng: np.random.Generator, inputs: pd.DataFrame) -> None:
    outcome = rng.standard_normal(45)
    folds = np.array([stratified_folds(outcome, None, n_folds=3, rng=rng) for _ in range(2)])
    one, two = (cross_validate(Ridge(), inputs, outcome, folds, n_jobs=n_jobs) for n_jobs in (1, 2))
    assert np.array_equal(one.prediction, two.prediction)


def test_the_estimator_handed_in_stays_unfitted(rng: np.random.Generator, inputs: pd.DataFrame) -> None:
    estimator = Ridge()
    fit_fold(estimator, inputs, rng.standard_normal(45), np.arange(30))
    assert not hasattr(estimator, "coef_")
