from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.preprocessing import StandardScaler

from predictor.errors import ConfigError
from predictor.model.person_inputs import person_inputs
from predictor.model.response_design import linear_model_of
from training.config import ExperimentConfig, ModelConfig
from training.evaluation.metrics import r2_against_training_mean
from training.evaluation.nested_cv import cross_validate
from training.evaluation.splits import stratified_folds
from training.final_model import build_bundle
from training.models.candidate_models import AddedToCovariates, ConnectomePredictiveModel, candidate_model
from training.models.candidates import TunedRegressor
from training.models.estimators import make_estimator
from training.models.model_names import (
    CLASSIFIERS,
    LINEAR_MODELS,
    MODELS,
    PRIMARY_MODELS,
    REGRESSORS,
)
from training.training_table import TrainingTable

CANDIDATES = tuple(name for name in REGRESSORS if name not in ("elastic_net", "ridge", "lasso"))


def tuned(name: str, **options: object) -> TunedRegressor:
    model, settings = candidate_model(name, random_state=0, n_covariates=0)
    added = AddedToCovariates(model, is_linear=name in LINEAR_MODELS)
    return TunedRegressor(StandardScaler(), added, settings=settings, **options)


@pytest.mark.parametrize("name", CANDIDATES)
def test_every_candidate_finds_a_strong_effect_out_of_fold(name: str) -> None:
    rng = np.random.default_rng(3)
    X = pd.DataFrame(rng.standard_normal((90, 5))).rename(columns=str)
    outcome = 3 * X["1"].to_numpy() + rng.standard_normal(90) + 50
    folds = stratified_folds(outcome, None, n_folds=3, rng=rng)
    found = cross_validate(tuned(name, inner_folds=3), X, outcome, folds[np.newaxis])
    assert r2_against_training_mean(found) > 0.5


@pytest.mark.parametrize("name", CANDIDATES)
def test_on_noise_every_candidate_stays_near_the_mean(name: str) -> None:
    rng = np.random.default_rng(4)
    X = pd.DataFrame(rng.standard_normal((60, 8))).rename(columns=str)
    outcome = rng.standard_normal(60)
    folds = stratified_folds(outcome, None, n_folds=3, rng=rng)
    found = cross_validate(tuned(name, inner_folds=3), X, outcome, folds[np.newaxis])
    assert r2_against_training_mean(found) > -0.35


@pytest.mark.parametrize("name", CANDIDATES)
def test_a_constant_rest_and_no_features_give_the_covariates_only(name: str, rng: np.random.Generator) -> None:
    covariate = rng.standard_normal(20)
    model, settings = candidate_model(name, random_state=0, n_covariates=1)
    one = AddedToCovariates(model.set_params(**settings[0]), unpenalised=(0,), is_linear=name in LINEAR_MODELS)
    table = np.column_stack([covariate, rng.standard_normal((20, 2))])
    assert one.fit(table, 2 * covariate + 1).predict(table) == pytest.approx(2 * covariate + 1)
    if name in LINEAR_MODELS:
        outcome = covariate + rng.standard_normal(20)
        expected = LinearRegression().fit(covariate[:, np.newaxis], outcome).predict(covariate[:, np.newaxis])
        assert one.fit(table[:, :1], outcome).predict(table[:, :1]) == pytest.approx(expected)


@pytest.mark.parametrize("name", [n for n in CANDIDATES if n in LINEAR_MODELS])
def test_linear_candidates_are_one_weighted_sum(name: str, rng: np.random.Generator) -> None:
    table = rng.standard_normal((40, 6))
    outcome = table[:, 5] + 2 * table[:, 0] + rng.standard_normal(40)
    model, settings = candidate_model(name, random_state=0, n_covariates=1)
    one = AddedToCovariates(model.set_params(**settings[-1]), unpenalised=(0,), is_linear=True).fit(table, outcome)
    others = table[:, 1:] - (one._covariates(table) @ one.shares_)
    rest = one.model_.predict(others / np.sqrt(5)) * one.outcome_scale_
    assert one.predict(table) == pytest.approx(one._covariates(table) @ one.covariate_effects_ + rest)


def test_connectome_model_selects_by_p_and_sums_positive_and_negative_networks(rng: np.random.Generator) -> None:
    X = rng.standard_normal((200, 40))
    y = X[:, 0] + X[:, 1] - X[:, 2] - X[:, 3] + 0.5 * rng.standard_normal(200)
    model = ConnectomePredictiveModel(p_value=0.001).fit(X, y)
    assert model.is_positive_[:2].all()
    assert model.is_negative_[2:4].all()
    assert model.is_positive_.sum() + model.is_negative_.sum() <= 6
    assert len(np.unique(model.coef_)) <= 3  # one weight per network, 0 elsewhere
    correlations = np.array([np.corrcoef(column, y)[0, 1] for column in X.T])
    t = correlations * np.sqrt(198 / (1 - correlations**2))
    assert np.array_equal(model.is_positive_, t > 3.3404)  # two-sided p of .001 at 198 degrees of freedom


def test_without_a_feature_below_p_the_connectome_model_is_constant(rng: np.random.Generator) -> None:
    X, y = rng.standard_normal((20, 3)), rng.standard_normal(20)
    model = ConnectomePredictiveModel(p_value=1e-9).fit(X, y)
    assert model.predict(X) == pytest.approx(y.mean())


@pytest.mark.parametrize("name", [n for n in LINEAR_MODELS if n not in ("elastic_net", "ridge")])
def test_linear_candidates_can_be_the_model_of_a_bundle(
    name: str, training_table: TrainingTable, config: ExperimentConfig
) -> None:
    config = replace(
        config, model=replace(config.model, primary=name), validation=replace(config.validation, n_folds=3)
    )
    estimator = make_estimator(
        name,
        covariates=training_table.covariates,
        arm_interactions=True,
        model=config.model,
        validation=config.validation,
        features=[definition.name for definition in training_table.definitions],
    )
    bundle = build_bundle(estimator, training_table, config, card={})
    fitted = estimator.fit(training_table.model_inputs, training_table.outcome)
    row = training_table.model_inputs.iloc[4]
    features = {definition.name: float(row[definition.name]) for definition in training_table.definitions}
    person = person_inputs(features, {c.name: row[c.name] for c in training_table.covariates}, bundle)
    expected = fitted.predict(training_table.model_inputs.iloc[[4]])[0]
    assert bundle.model.predict(person.values[np.newaxis])[0, bundle.arms.index(row["arm"])] == pytest.approx(expected)
    assert linear_model_of(fitted.pipeline_).coefficients == pytest.approx(bundle.model.coefficients)


def test_models_that_a_bundle_cannot_hold_are_no_primary() -> None:
    for name in (*set(MODELS) - set(PRIMARY_MODELS), *CLASSIFIERS):
        with pytest.raises(ConfigError, match=f"{name} cannot be the primary model") as caught:
            ModelConfig(primary=name)
        assert caught.value.where == "[model] primary"
        assert name in ModelConfig(candidates=(name,)).candidates
    with pytest.raises(ConfigError, match="there is no model 'oracle'"):
        ModelConfig(candidates=("oracle",))
