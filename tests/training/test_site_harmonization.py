from __future__ import annotations

import dataclasses
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from predictor.errors import ConfigError, MissingColumnError, TableError, UnseenSiteError
from predictor.model.applicability import assess_applicability
from predictor.model.bundle import load_bundle, save_bundle
from predictor.model.explanation import explain
from predictor.model.harmonization import SiteHarmonization
from predictor.model.outcome_definition import Covariate
from predictor.model.person_inputs import person_inputs
from predictor.model.scan_noise import scan_noise_variance
from training.config import ExperimentConfig, HarmonizationConfig
from training.evaluation.fold_isolation import estimator_steps, prove_fold_isolation
from training.evaluation.nested_cv import cross_validate
from training.evaluation.splits import leave_one_site_out
from training.final_model import build_bundle
from training.models.estimators import make_estimator
from training.models.site_harmonization import asked_for, make_harmonization
from training.training_table import TrainingTable


@pytest.fixture
def harmonised_table(training_table: TrainingTable) -> TrainingTable:
    """Trial whose site b measures everything 3 higher and twice as wide; age is asked for by harmonisation only."""
    inputs = training_table.inputs.copy()
    names = [definition.name for definition in training_table.definitions]
    is_b = (inputs["site"] == "b").to_numpy()
    inputs.loc[is_b, names] = inputs.loc[is_b, names] * 2 + 3
    people = inputs.assign(sex=np.where(np.arange(len(inputs)) % 3 == 0, "F", "M").astype(object))
    step = make_harmonization(
        HarmonizationConfig(preserved=("age", "sex")),
        people,
        covariates=training_table.covariates,
        definitions=training_table.definitions,
    )
    covariates = training_table.covariates + asked_for(step, training_table.covariates)
    return replace(training_table, inputs=people, covariates=covariates, harmonization=step)


@pytest.fixture
def estimator(harmonised_table: TrainingTable, config: ExperimentConfig):
    return make_estimator(
        "elastic_net",
        covariates=harmonised_table.covariates,
        arm_interactions=True,
        model=config.model,
        validation=config.validation,
        features=[definition.name for definition in harmonised_table.definitions],
        harmonization=harmonised_table.harmonization,
    )


def test_the_bundle_scores_one_person_as_the_fitted_pipeline_does(
    harmonised_table: TrainingTable, estimator, config: ExperimentConfig, tmp_path: Path
) -> None:
    table = harmonised_table
    save_bundle(build_bundle(estimator, table, config, card={}), tmp_path / "bundle")
    bundle = load_bundle(tmp_path / "bundle")
    fitted = estimator.fit(table.model_inputs, table.outcome)
    expected = fitted.predict(table.model_inputs)
    for row in (0, 1, 2, 7):
        one = table.model_inputs.iloc[row]
        features = {definition.name: float(one[definition.name]) for definition in table.definitions}
        person = person_inputs(features, {c.name: one[c.name] for c in table.covariates}, bundle)
        found = bundle.model.predict(person.values[np.newaxis])[0, bundle.arms.index(one["arm"])]
        assert found == pytest.approx(expected[row], abs=1e-9)
        assert explain(bundle, person, arm="ketamine").additivity_error < 1e-6


def test_residuals_are_those_of_pipelines_that_never_saw_the_person(
    harmonised_table: TrainingTable, estimator, config: ExperimentConfig
) -> None:
    table = harmonised_table
    bundle = build_bundle(estimator, table, config, card={})
    held_out = bundle.out_of_fold.fold_index == 0
    fitted = estimator.fit(table.model_inputs[~held_out], table.outcome[~held_out])
    assert bundle.out_of_fold.prediction[held_out] == pytest.approx(fitted.predict(table.model_inputs[held_out]))


def test_an_unseen_site_is_flagged_or_refused_and_scan_noise_is_scaled_with_the_features(
    harmonised_table: TrainingTable, estimator, config: ExperimentConfig
) -> None:
    bundle = build_bundle(estimator, harmonised_table, config, card={})
    features = {definition.name: 0.5 for definition in harmonised_table.definitions}
    known = {"caps5_total_baseline": 40.0, "age": 30.0, "sex": "F"}
    abroad = person_inputs(features, {**known, "site": "elsewhere"}, bundle)
    assert abroad.values[: len(features)] == pytest.approx(0.5)
    reasons = assess_applicability(abroad, bundle, quality=None, recipe_hash=None)
    found = next(reason for reason in reasons if reason.code == "unseen-site")
    assert found.severity == "flag"
    assert "as if from an average site" in found.detail
    strict = dataclasses.replace(bundle, unseen_site_policy="refuse")
    reasons = assess_applicability(abroad, strict, quality=None, recipe_hash=None)
    assert next(reason for reason in reasons if reason.code == "unseen-site").severity == "refuse"
    errors = dict.fromkeys(features, 0.1)
    noise = {
        site: scan_noise_variance(
            bundle, person_inputs(features, {**known, "site": site}, bundle), errors, arm="ketamine"
        )
        for site in ("a", "b", "elsewhere")
    }
    assert noise["b"] < noise["elsewhere"] < noise["a"]  # b was wide, so its noise shrinks with its values


def test_preserved_columns_that_models_know_are_not_asked_for_twice(training_table: TrainingTable) -> None:
    step = make_harmonization(
        HarmonizationConfig(preserved=("caps5_total_baseline", "age")),
        training_table.inputs,
        covariates=training_table.covariates,
        definitions=training_table.definitions,
    )
    assert isinstance(step, SiteHarmonization)
    assert asked_for(step, training_table.covariates) == (Covariate("age", "number", role="reference"),)


@pytest.mark.parametrize(
    ("config", "error", "message"),
    [
        (HarmonizationConfig(families=("rdcm_rest",)), ConfigError, "no feature of the models is of family rdcm_rest"),
        (HarmonizationConfig(reference_site="z"), ConfigError, "nobody is from 'z'; the sites are a, b"),
        (HarmonizationConfig(preserved=("height",)), MissingColumnError, "lacks height"),
        (HarmonizationConfig(preserved=("arm",)), ConfigError, "arm or site"),
        (HarmonizationConfig(preserved=("age",)), TableError, "age is missing for 1 of 60"),
    ],
)
def test_what_cannot_be_harmonised_is_named(
    training_table: TrainingTable, config: HarmonizationConfig, error: type[Exception], message: str
) -> None:
    people: pd.DataFrame = training_table.inputs.copy()
    people.loc["sub-07", "age"] = np.nan
    with pytest.raises(error, match=message):
        make_harmonization(config, people, covariates=training_table.covariates, definitions=training_table.definitions)


def test_people_of_a_site_that_is_left_out_are_predicted_or_refused_as_the_policy_says(
    harmonised_table: TrainingTable, estimator
) -> None:
    inputs, outcome = harmonised_table.model_inputs, harmonised_table.outcome
    folds = leave_one_site_out(list(inputs["site"]))[np.newaxis]
    assert np.isfinite(cross_validate(estimator, inputs, outcome, folds).prediction).all()
    estimator.set_params(harmonization__unseen_site="refuse")
    with pytest.raises(UnseenSiteError) as caught:
        cross_validate(estimator, inputs, outcome, folds)
    assert caught.value.where == "site"


def test_harmonisation_is_part_of_the_proof_of_fold_isolation(harmonised_table: TrainingTable, estimator) -> None:
    inputs, outcome = harmonised_table.model_inputs, harmonised_table.outcome
    folds = np.arange(len(outcome)) % 5
    assert prove_fold_isolation(estimator_steps(estimator), inputs, outcome, folds).passed
    harmonised = estimator.harmonization.fit(inputs)

    def leaking(table: pd.DataFrame, y: np.ndarray, train: np.ndarray) -> object:
        step = clone(harmonised).fit(table)  # on everyone
        return {"harmonization": {"shift_": step.shift_}}

    assert prove_fold_isolation(leaking, inputs, outcome, folds).leaking_step == "harmonization"
