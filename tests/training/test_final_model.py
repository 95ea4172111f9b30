from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from predictor.model.bundle import ModelBundle, load_bundle, save_bundle
from predictor.model.explanation import explain
from predictor.model.person_inputs import person_inputs
from training import final_model
from training.config import ExperimentConfig
from training.evaluation.nested_cv import cross_validate
from training.experiment import make_estimators
from training.final_model import build_bundle, bundle_partition
from training.models.model_names import TREE_MODELS
from training.training_table import TrainingTable


@pytest.fixture(scope="module")
def bundle(training_table: TrainingTable, config: ExperimentConfig) -> ModelBundle:
    return build_bundle(make_estimators(training_table, config)["elastic_net"], training_table, config, card={})


def test_the_bundles_model_predicts_as_the_tuned_estimator_on_everyone(
    bundle: ModelBundle, training_table: TrainingTable, config: ExperimentConfig
) -> None:
    fitted = make_estimators(training_table, config)["elastic_net"]
    expected = fitted.fit(training_table.model_inputs, training_table.outcome).predict(training_table.model_inputs)
    raw = fitted.pipeline_.named_steps["design"].raw_inputs(training_table.model_inputs)
    arms = [bundle.arms.index(arm) for arm in training_table.arms or []]
    assert bundle.model.predict(raw)[np.arange(len(arms)), arms] == pytest.approx(expected, abs=1e-9)


def test_residuals_are_those_of_nested_cross_validation_on_the_bundles_folds(
    bundle: ModelBundle, training_table: TrainingTable, config: ExperimentConfig
) -> None:
    folds = bundle_partition(training_table, config)
    estimator = make_estimators(training_table, config)["elastic_net"]
    predicted = cross_validate(estimator, training_table.model_inputs, training_table.outcome, folds[np.newaxis])
    assert np.array_equal(bundle.out_of_fold.fold_index, folds)
    assert bundle.out_of_fold.prediction == pytest.approx(predicted.prediction[0], abs=1e-9)
    assert bundle.out_of_fold.residual == pytest.approx(training_table.outcome - predicted.prediction[0], abs=1e-9)


def test_it_finds_the_planted_feature_in_the_treated_arm_only(bundle: ModelBundle) -> None:
    ketamine, midazolam = bundle.model.coefficients[:, 0]
    assert bundle.arms == ("ketamine", "midazolam")
    assert ketamine < -8
    assert abs(midazolam) < 5


def test_bootstrap_models_scatter_around_the_full_model(bundle: ModelBundle, training_table: TrainingTable) -> None:
    person = training_table.model_inputs.iloc[0]
    raw = np.array([*person[list(bundle.feature_names)], person["caps5_total_baseline"], float(person["site"] == "a")])
    draws = bundle.bootstrap_models.predict(raw.astype(float))
    assert draws.shape == (8, 2)
    assert (draws.std(axis=0) > 0).all()
    assert np.abs(draws.mean(axis=0) - bundle.model.predict(raw.astype(float)[np.newaxis])[0]).max() < 6


def test_the_same_seed_gives_the_same_bytes(
    bundle: ModelBundle, training_table: TrainingTable, config: ExperimentConfig, tmp_path: Path
) -> None:
    again = build_bundle(make_estimators(training_table, config)["elastic_net"], training_table, config, card={})
    assert save_bundle(bundle, tmp_path / "one") == save_bundle(again, tmp_path / "two")
    assert load_bundle(tmp_path / "one").recipe_hashes == ("sha256:" + "a" * 64,)


def test_leave_one_out_experiments_get_a_k_fold_partition_for_their_intervals(
    training_table: TrainingTable, config: ExperimentConfig
) -> None:
    leave_one_out = replace(config, validation=replace(config.validation, scheme="leave_one_out"))
    assert len(np.unique(bundle_partition(training_table, leave_one_out))) == 5


def test_bootstrap_models_draw_people_seen_three_times_as_one(
    training_table: TrainingTable, config: ExperimentConfig
) -> None:
    rows = np.repeat(np.arange(40), 3)
    inputs = training_table.inputs.iloc[rows].set_axis([f"sub-{row}" for row in range(120)])
    features = replace(
        training_table.features, recipe_hashes=training_table.features.recipe_hashes.iloc[rows].set_axis(inputs.index)
    )
    blind = replace(training_table, inputs=inputs, outcome=training_table.outcome[rows], features=features)
    seeing = replace(blind, groups=tuple(f"p{row}" for row in rows))
    many = replace(config, validation=replace(config.validation, n_bootstrap_models=60))
    person, spread = np.array([2.0, 0.0, 0.0, 0.0, 0.0, 0.0, 43.0, 0.0]), []
    for table in (blind, seeing):
        built = build_bundle(make_estimators(table, many)["elastic_net"], table, many, card={})
        spread.append(built.bootstrap_models.predict(person)[:, 0].std())
    assert spread[1] > 1.4 * spread[0]  # as strangers, they would seem to tell three times as much


@pytest.fixture(scope="module", params=TREE_MODELS)
def tree_bundle(
    request: pytest.FixtureRequest, training_table: TrainingTable, config: ExperimentConfig
) -> tuple[str, ModelBundle]:
    name = str(request.param)
    config = replace(config, model=replace(config.model, primary=name))
    return name, build_bundle(make_estimators(training_table, config)[name], training_table, config, card={})


def test_trees_of_the_bundle_predict_as_the_tuned_estimator_and_as_nested_cross_validation(
    tree_bundle: tuple[str, ModelBundle], training_table: TrainingTable, config: ExperimentConfig
) -> None:
    name, bundle = tree_bundle
    config = replace(config, model=replace(config.model, primary=name))
    estimator = make_estimators(training_table, config)[name]
    folds = bundle_partition(training_table, config)
    predicted = cross_validate(estimator, training_table.model_inputs, training_table.outcome, folds[np.newaxis])
    assert bundle.out_of_fold.prediction == pytest.approx(predicted.prediction[0], abs=1e-9)
    expected = estimator.fit(training_table.model_inputs, training_table.outcome).predict(training_table.model_inputs)
    raw = estimator.pipeline_.named_steps["design"].raw_inputs(training_table.model_inputs)
    arms = [bundle.arms.index(arm) for arm in training_table.arms or []]
    assert bundle.model.predict(raw)[np.arange(len(arms)), arms] == pytest.approx(expected, abs=1e-9)


def test_trees_come_back_from_their_folder_and_explain_what_they_predict(
    tree_bundle: tuple[str, ModelBundle], training_table: TrainingTable, tmp_path: Path
) -> None:
    save_bundle(tree_bundle[1], tmp_path / "bundle")
    bundle = load_bundle(tmp_path / "bundle")
    row = training_table.model_inputs.iloc[3]
    features = {name: float(row[name]) for name in bundle.feature_names}
    person = person_inputs(features, {c.name: row[c.name] for c in training_table.covariates}, bundle)
    for arm in bundle.arms:
        explanation = explain(bundle, person, arm=arm)
        assert explanation.additivity_error < 1e-9
        assert explanation.contributions


def test_models_with_many_nodes_keep_fewer_bootstrap_models_and_no_counts_in_folds(
    tree_bundle: tuple[str, ModelBundle],
    training_table: TrainingTable,
    config: ExperimentConfig,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name, whole = tree_bundle
    config = replace(config, model=replace(config.model, primary=name))
    monkeypatch.setattr(final_model, "MOST_BOOTSTRAP_NODES", 1)
    monkeypatch.setattr(final_model, "FEWEST_BOOTSTRAP_MODELS", 3)
    monkeypatch.setattr(final_model, "MOST_EXPLAINED_NODES", 1)
    small = build_bundle(make_estimators(training_table, config)[name], training_table, config, card={})
    assert (whole.bootstrap_models.n_models, small.bootstrap_models.n_models) == (8, 3)
    mean = small.training_range.background_mean
    assert whole.fold_models.contributions(mean, 0, background_mean=mean) is not None
    assert small.fold_models.contributions(mean, 0, background_mean=mean) is None
    assert np.array_equal(small.fold_models.predict(mean), whole.fold_models.predict(mean))
