from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from predictor.errors import ModelBundleError
from predictor.model.bundle import ModelBundle
from predictor.model.explanation import explain
from predictor.model.person_inputs import person_inputs
from predictor.model.prediction import predict_response
from predictor.model.scan_noise import scan_noise_variance
from predictor.model.tree_arrays import TreeArrays
from predictor.model.tree_model import N_NOISE_DRAWS, TreeEnsemble, TreeResponseModel, joined

Grow = Callable[..., TreeArrays]


@pytest.fixture
def model(tree_bundle: ModelBundle) -> TreeResponseModel:
    assert isinstance(tree_bundle.model, TreeResponseModel)
    return tree_bundle.model


@pytest.fixture
def folds(tree_bundle: ModelBundle) -> TreeEnsemble:
    assert isinstance(tree_bundle.fold_models, TreeEnsemble)
    return tree_bundle.fold_models


def test_a_prediction_is_the_weighted_sum_plus_the_trees(model: TreeResponseModel, rng: np.random.Generator) -> None:
    people = rng.standard_normal((7, len(model.input_names)))
    expected = model.linear.predict(people) + model.trees.predict(people)[:, 0]
    assert model.predict(people) == pytest.approx(expected)
    assert np.abs(model.trees.predict(people)).max() > 0.1


def test_a_missing_input_is_filled_in_before_the_trees_are_asked(model: TreeResponseModel) -> None:
    person = np.zeros((1, len(model.input_names)))
    asked = int(model.trees.column[0]) if model.trees.column[0] < model.trees.n_inputs else 0
    gappy, filled = person.copy(), person.copy()
    gappy[0, asked], filled[0, asked] = np.nan, model.linear.impute_values[asked]
    assert np.array_equal(model.predict(gappy), model.predict(filled))


def test_contributions_add_up_and_count_the_sum_and_the_trees(
    model: TreeResponseModel, tree_bundle: ModelBundle, rng: np.random.Generator
) -> None:
    mean = tree_bundle.training_range.background_mean
    for arm in range(2):
        person = mean + rng.standard_normal(len(mean))
        base, found = model.contributions(person, arm, background_mean=mean)
        assert base + found.sum() == pytest.approx(model.predict(person[np.newaxis])[0, arm], abs=1e-9)
        of_sum = model.linear.contributions(person, arm, background_mean=mean)[1]
        assert found - of_sum == pytest.approx(model.players[arm].contributions(person)[0])


def test_an_input_is_used_if_the_sum_or_a_tree_uses_it(model: TreeResponseModel) -> None:
    nothing = np.zeros_like(model.linear.coefficients)
    nothing[0, -1] = 1.0
    only = replace(model, linear=replace(model.linear, coefficients=nothing))
    assert only.is_used[-1]
    assert only.is_used[:-1].tolist() == model.trees.is_used[:-1].tolist()


def test_influence_orders_inputs_of_the_sum_and_of_the_trees(model: TreeResponseModel) -> None:
    heavy = model.linear.coefficients.copy()
    heavy[:, 1] = 1000.0
    changed = replace(model, linear=replace(model.linear, coefficients=heavy))
    assert changed.influence.argmax() == 1
    assert ((changed.influence > 0) == changed.is_used).all()


def test_scan_noise_is_the_variance_over_many_measurements_of_the_same_person(
    model: TreeResponseModel, rng: np.random.Generator
) -> None:
    person = rng.standard_normal(len(model.input_names))
    errors = np.where(np.arange(len(person)) < 3, 0.7, 0.0)
    again = person + errors * rng.standard_normal((40_000, len(person)))
    for arm in range(2):
        truth = model.predict(again)[:, arm].var()
        found = model.noise_variance(person, errors, arm)
        assert found == pytest.approx(truth, rel=3 * np.sqrt(2 / N_NOISE_DRAWS))
        assert found == model.noise_variance(person, errors, arm)
    assert model.noise_variance(person, np.zeros(len(person)), 0) == 0.0


def test_every_model_of_an_ensemble_fills_in_its_own_values(folds: TreeEnsemble, rng: np.random.Generator) -> None:
    person = rng.standard_normal(folds.n_inputs)
    gappy = np.where(np.arange(folds.n_inputs) < 3, np.nan, person)
    found = folds.predict(gappy)
    for number in range(folds.n_models):
        filled = np.where(np.isnan(gappy), folds.impute_values[number], gappy)
        of_trees = folds.trees.predict(filled[np.newaxis])[0, number]
        assert found[number] == pytest.approx(folds.linear.predict(gappy)[number] + of_trees)


def test_an_ensemble_is_its_models_side_by_side(model: TreeResponseModel, grow_trees: Grow) -> None:
    rng = np.random.default_rng(3)
    n_inputs = len(model.input_names)
    models = [replace(model, trees=grow_trees(rng, n_inputs=n_inputs, n_trees=n)) for n in (1, 3, 2)]
    ensemble = TreeEnsemble.of(models, is_counted=True)
    person, mean = rng.standard_normal(n_inputs), np.zeros(n_inputs)
    contributions = ensemble.contributions(person, 1, background_mean=mean)
    assert contributions is not None
    for number, one in enumerate(models):
        assert ensemble.predict(person)[number] == pytest.approx(one.predict(person[np.newaxis])[0])
        assert contributions[number] == pytest.approx(one.contributions(person, 1, background_mean=mean)[1])
    uncounted = TreeEnsemble.of(models, is_counted=False)
    assert uncounted.contributions(person, 1, background_mean=mean) is None
    assert uncounted.n_bytes < ensemble.n_bytes


def test_parts_that_do_not_belong_together_are_refused(model: TreeResponseModel, grow_trees: Grow) -> None:
    rng, n_inputs = np.random.default_rng(4), len(model.input_names)
    with pytest.raises(ModelBundleError, match="one model of"):
        replace(model, trees=grow_trees(rng, n_inputs=n_inputs, n_models=2))
    with pytest.raises(ModelBundleError, match="same inputs and arms"):
        joined([model.trees, grow_trees(rng, n_inputs=n_inputs + 1)], is_counted=True)
    with pytest.raises(ModelBundleError, match="needs trees"):
        joined([], is_counted=True)
    with pytest.raises(ModelBundleError, match="as many models"):
        replace(TreeEnsemble.of([model], is_counted=True), trees=grow_trees(rng, n_inputs=n_inputs, n_models=2))


def test_a_bundle_with_trees_answers_with_interval_benefit_noise_and_reasons(tree_bundle: ModelBundle) -> None:
    features = dict.fromkeys(tree_bundle.feature_names, 0.5)
    person = person_inputs(features, {"caps5_total_baseline": 40.0}, tree_bundle)
    errors = dict.fromkeys(tree_bundle.feature_names, 0.3)
    noise = scan_noise_variance(tree_bundle, person, errors, arm=tree_bundle.arms[0])
    assert noise is not None
    assert noise > 0
    prediction = predict_response(tree_bundle, person.values, noise_variance=noise)
    assert prediction.benefit is not None
    assert prediction.uncertainty_shares["scan_noise"] > 0
    for number, arm in enumerate(tree_bundle.arms):
        expected = tree_bundle.model.predict(person.values[np.newaxis])[0, number]
        assert prediction.arms[arm].expected == expected
        explanation = explain(tree_bundle, person, arm=arm)
        assert explanation.output == expected
        assert explanation.additivity_error < 1e-9
        named = {c.feature: c.fold_sign_agreement for c in explanation.contributions}
        assert set(named.values()) - {0.0, 0.2, 0.4, 0.6, 0.8, 1.0} == set()


def test_where_fold_models_are_not_asked_no_agreement_is_claimed(tree_bundle: ModelBundle) -> None:
    folds = tree_bundle.fold_models
    assert isinstance(folds, TreeEnsemble)
    silent = replace(folds, trees=replace(folds.trees, n_passing=folds.trees.n_passing[:0]))
    bundle = replace(tree_bundle, fold_models=silent)
    person = person_inputs(dict.fromkeys(bundle.feature_names, 0.5), {}, bundle)
    explanation = explain(bundle, person, arm=bundle.arms[0])
    assert {c.fold_sign_agreement for c in explanation.contributions} == {None}
