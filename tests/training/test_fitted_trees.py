from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline
from sklearn.svm import SVR

from predictor.errors import TrainingError
from predictor.model.outcome_definition import Covariate
from predictor.model.response_design import ResponseDesign
from predictor.model.tree_model import TreeResponseModel
from training.models.candidate_models import AddedToCovariates, candidate_model
from training.models.fitted_trees import people_at_nodes, response_model_of, thresholds_of_inputs
from training.models.model_names import TREE_MODELS

Floats = NDArray[np.float64]
N_PEOPLE, N_FEATURES = 90, 8
LEVELS = {1: (), 2: ("ketamine", "midazolam"), 3: ("high", "low", "placebo")}


def cohort(n_arms: int) -> tuple[pd.DataFrame, Floats, tuple[Covariate, ...]]:
    """Features of very different units with gaps, a covariate, and arms; features matter in the first of them."""
    rng = np.random.default_rng(n_arms)
    units = 10.0 ** np.arange(-3, N_FEATURES - 3)
    values = rng.standard_normal((N_PEOPLE, N_FEATURES)) * units + rng.standard_normal(N_FEATURES) * units
    table = pd.DataFrame(values, columns=[f"feature_{number}" for number in range(N_FEATURES)])
    table.iloc[3, 2] = table.iloc[10, 5] = np.nan
    table["severity"] = rng.normal(40, 8, N_PEOPLE)
    covariates: tuple[Covariate, ...] = (Covariate("severity", "number", role="clinical"),)
    matters = np.ones(N_PEOPLE, dtype=bool)
    if n_arms > 1:
        table["arm"] = rng.choice(LEVELS[n_arms], N_PEOPLE)
        covariates = (Covariate("arm", "category", LEVELS[n_arms], role="arm"), *covariates)
        matters = (table["arm"] == LEVELS[n_arms][0]).to_numpy()
    outcome = 12 * matters * (values[:, 0] > 0) + 0.5 * table["severity"].to_numpy() + rng.standard_normal(N_PEOPLE)
    return table, outcome, covariates


def fit(name: str, n_arms: int = 2, **settings: object) -> tuple[Pipeline, pd.DataFrame]:
    """Fit as a fold does, with the last of the model's settings."""
    table, outcome, covariates = cohort(n_arms)
    design = ResponseDesign(covariates=covariates, features=tuple(table.columns[:N_FEATURES]), arm_interactions=False)
    regressor, known = candidate_model(name, random_state=0, n_covariates=2)
    regressor.set_params(**known[-1] | settings)
    columns = list(design.fit(table).get_feature_names_out())
    free = tuple(range(N_FEATURES, len(columns)))
    return Pipeline([("design", design), ("model", AddedToCovariates(regressor, unpenalised=free))]).fit(
        table, outcome
    ), table


def as_arrays(pipeline: Pipeline, table: pd.DataFrame) -> TreeResponseModel:
    model = response_model_of(pipeline, pipeline.named_steps["design"].raw_inputs(table))
    assert isinstance(model, TreeResponseModel)
    return model


@pytest.mark.parametrize("n_arms", [1, 2, 3])
@pytest.mark.parametrize("name", TREE_MODELS)
def test_the_arrays_predict_as_the_fitted_pipeline_in_every_arm(name: str, n_arms: int) -> None:
    pipeline, table = fit(name, n_arms)
    model, raw = as_arrays(pipeline, table), pipeline.named_steps["design"].raw_inputs(table)
    rng = np.random.default_rng(9)
    others = table.copy()
    others.iloc[:, : N_FEATURES + 1] *= rng.uniform(-2, 2, (N_PEOPLE, N_FEATURES + 1))
    for people in (table, others):  # training people lie on thresholds
        raw = pipeline.named_steps["design"].raw_inputs(people)
        for number, arm in enumerate(model.arms):
            expected = pipeline.predict(people.assign(arm=arm) if n_arms > 1 else people)
            assert model.predict(raw)[:, number] == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("name", TREE_MODELS)
def test_contributions_are_those_of_shap(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)  # of its colour maps
        import shap  # here, since it takes seconds
    # Without resampling of people, a forest's own counts at the nodes are those of all training people.
    pipeline, table = fit(name, 1, **({"bootstrap": False} if name == "random_forest" else {}))
    model, fitted = as_arrays(pipeline, table), pipeline.named_steps["model"]
    design = pipeline.named_steps["design"]
    raw, columns = design.raw_inputs(table), design.transform(table)
    explainer = shap.TreeExplainer(fitted.model_, feature_perturbation="tree_path_dependent")
    of_shap = np.asarray(explainer.shap_values(columns, check_additivity=False)) * fitted.outcome_scale_
    base = float(np.ravel(explainer.expected_value)[0]) * fitted.outcome_scale_
    constant = float(fitted.covariate_effects_[0])
    for row in range(0, N_PEOPLE, 9):
        found = model.players[0].contributions(model.impute(raw)[row])[0]
        assert found == pytest.approx(of_shap[row], abs=1e-6)
        assert np.abs(found).max() > 0.01
    assert float(model.linear.intercept[0] + model.players[0].base[0]) == pytest.approx(constant + base, abs=1e-6)


@pytest.mark.parametrize("name", TREE_MODELS)
def test_the_base_value_is_the_mean_expectation_of_the_training_people_in_that_arm(name: str) -> None:
    pipeline, table = fit(name)
    model, design = as_arrays(pipeline, table), pipeline.named_steps["design"]
    raw = design.raw_inputs(table)
    for arm in range(2):
        base, _ = model.contributions(raw[0], arm, background_mean=design.centre_)
        assert base == pytest.approx(model.predict(raw)[:, arm].mean(), abs=1e-9)


def test_a_threshold_moves_to_the_last_value_that_goes_left() -> None:
    rng = np.random.default_rng(0)
    n = 500
    centre, scale = rng.standard_normal(n) * 10.0 ** rng.integers(-6, 6, n), 10.0 ** rng.uniform(-6, 6, n)
    thresholds = np.append(rng.standard_normal(n - 2), [0.0, -0.0])
    for is_single in (False, True):
        moved = thresholds_of_inputs(thresholds, centre, scale, is_single=is_single)
        for value, goes_left in ((moved, True), (np.nextafter(moved, np.inf), False)):
            standardised = (value - centre) / scale
            compared = standardised.astype(np.float32) if is_single else standardised
            assert ((compared <= thresholds) == goes_left).all()


def test_people_are_counted_in_the_arm_they_are_taken_to_be_in() -> None:
    pipeline, table = fit("random_forest")
    model = as_arrays(pipeline, table)
    raw = model.impute(pipeline.named_steps["design"].raw_inputs(table))
    counts = people_at_nodes(model.trees, raw)
    assert np.array_equal(counts, model.trees.n_passing)
    is_leaf = model.trees.column < 0
    assert (counts[:, is_leaf].sum(axis=1) == N_PEOPLE * model.trees.n_trees).all()
    asks_arm = model.trees.column >= model.trees.n_inputs
    assert asks_arm.any()
    assert not counts[:, asks_arm].any()


def test_where_covariates_explain_everything_the_trees_say_nothing() -> None:
    table, _, covariates = cohort(2)
    design = ResponseDesign(covariates=covariates, features=tuple(table.columns[:3]), arm_interactions=False)
    regressor, _ = candidate_model("random_forest", random_state=0, n_covariates=2)
    free = tuple(range(3, len(design.fit(table).get_feature_names_out())))
    pipeline = Pipeline([("design", design), ("model", AddedToCovariates(regressor, unpenalised=free))])
    outcome = 3 * table["severity"].to_numpy() + 1
    model = as_arrays(pipeline.fit(table, outcome), table)
    raw = pipeline.named_steps["design"].raw_inputs(table)
    assert model.predict(raw)[:, 0] == pytest.approx(outcome)
    assert model.is_used.tolist() == [False, False, False, True]
    base, found = model.contributions(raw[0], 0, background_mean=design.fit(table).centre_)
    assert base + found.sum() == pytest.approx(outcome[0])


def test_other_models_are_not_mistaken_for_trees() -> None:
    table, outcome, covariates = cohort(2)
    design = ResponseDesign(covariates=covariates, features=tuple(table.columns[:3]), arm_interactions=False)
    pipeline = Pipeline([("design", design), ("model", AddedToCovariates(SVR()))]).fit(table, outcome)
    with pytest.raises(TrainingError, match="a SVR cannot be written"):
        response_model_of(pipeline, design.fit(table).raw_inputs(table))
