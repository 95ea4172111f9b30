from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import Pipeline

from predictor.errors import TrainingError
from predictor.model.outcome_definition import Covariate
from predictor.model.response_design import ResponseDesign
from training.evaluation.cross_fitted_learners import ArmPair, cross_fit
from training.evaluation.splits import leave_one_out, stratified_folds

N_PEOPLE = 40
ARMS = ArmPair("arm", "ketamine", "midazolam")
ARM = Covariate("arm", "category", ("ketamine", "midazolam"), "arm")


@pytest.fixture
def inputs(rng: np.random.Generator) -> pd.DataFrame:
    table = pd.DataFrame(rng.standard_normal((N_PEOPLE, 2)), columns=["one", "two"])
    return table.assign(arm=np.tile(["ketamine", "midazolam"], N_PEOPLE // 2).astype(object))


@pytest.fixture
def folds(inputs: pd.DataFrame, rng: np.random.Generator) -> np.ndarray:
    return stratified_folds(rng.standard_normal(N_PEOPLE), list(inputs["arm"]), n_folds=5, rng=rng)[np.newaxis]


def least_squares(*, interactions: bool = False) -> Pipeline:
    design = ResponseDesign(covariates=(ARM,), arm_interactions=interactions)
    return Pipeline([("design", design), ("model", LinearRegression())])


def treated(inputs: pd.DataFrame) -> np.ndarray:
    return (inputs["arm"] == "ketamine").to_numpy()


def test_least_squares_with_all_interactions_says_the_same_as_one_model_per_arm(
    inputs: pd.DataFrame, folds: np.ndarray, rng: np.random.Generator
) -> None:
    outcome = 5 * treated(inputs) + inputs["one"].to_numpy() * (1 + treated(inputs)) + rng.standard_normal(N_PEOPLE)
    s, t = (cross_fit(learner, least_squares(), inputs, outcome, ARMS, folds) for learner in ("s", "t"))
    assert s.treated == pytest.approx(t.treated, abs=1e-9)
    assert s.control == pytest.approx(t.control, abs=1e-9)
    assert s.deviation == pytest.approx(t.deviation, abs=1e-9)


def test_the_s_learner_turns_interactions_on_and_leaves_the_estimator_alone(
    inputs: pd.DataFrame, folds: np.ndarray
) -> None:
    outcome = 3.0 * inputs["one"].to_numpy() * treated(inputs)
    estimator = least_squares(interactions=False)
    found = cross_fit("s", estimator, inputs, outcome, ARMS, folds)
    assert found.treated - found.control == pytest.approx(3 * inputs["one"].to_numpy()[np.newaxis])
    assert estimator.get_params()["design__arm_interactions"] is False


def test_nobody_has_a_say_in_the_own_prediction(
    inputs: pd.DataFrame, folds: np.ndarray, rng: np.random.Generator
) -> None:
    outcome = rng.standard_normal(N_PEOPLE)
    changed = outcome.copy()
    changed[7] = 1e6  # in the control arm
    for learner in ("s", "t"):
        clean, other = (cross_fit(learner, least_squares(), inputs, y, ARMS, folds) for y in (outcome, changed))
        same_fold = folds[0] == folds[0, 7]
        assert np.array_equal(clean.control[0, same_fold], other.control[0, same_fold])
        assert np.array_equal(clean.arm_mean[0, same_fold], other.arm_mean[0, same_fold])
        assert not np.allclose(clean.control[0, ~same_fold], other.control[0, ~same_fold])


class ArmMeans(RegressorMixin, BaseEstimator):
    """Knows the arm and nothing else."""

    def fit(self, X: pd.DataFrame, y: np.ndarray) -> ArmMeans:
        self.means_ = pd.Series(y).groupby(X["arm"].to_numpy()).mean()
        return self

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        return self.means_.loc[X["arm"].to_numpy()].to_numpy()


@pytest.mark.parametrize("learner", ["s", "t"])
def test_a_model_that_tells_nobody_apart_has_deviations_of_exactly_zero(
    learner: str, inputs: pd.DataFrame, rng: np.random.Generator
) -> None:
    outcome = 1e3 + 10 * treated(inputs) + rng.standard_normal(N_PEOPLE)
    found = cross_fit(learner, ArmMeans(), inputs, outcome, ARMS, leave_one_out(N_PEOPLE)[np.newaxis])  # type: ignore[arg-type]
    assert (found.deviation == 0).all()
    assert (found.prognosis == 0).all()
    raw = (found.treated - found.control)[0]
    assert np.corrcoef(raw[treated(inputs)], outcome[treated(inputs)])[0, 1] == pytest.approx(-1)  # why deviations


def test_a_training_set_without_an_arm_is_an_error_that_names_the_arm(inputs: pd.DataFrame) -> None:
    by_arm = treated(inputs).astype(np.intp)[np.newaxis]
    with pytest.raises(TrainingError, match="found 0 of midazolam"):
        cross_fit("t", DummyRegressor(), inputs, np.zeros(N_PEOPLE), ARMS, by_arm)
