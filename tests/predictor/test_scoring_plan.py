from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from predictor.features.feature_catalogue import feature_definitions
from predictor.features.recipe import default_recipe
from predictor.model.bundle import ModelBundle
from predictor.model.out_of_fold import INTERVAL_LEVEL


def test_every_covariate_stands_where_the_model_has_its_inputs(bundle: ModelBundle) -> None:
    for covariate, inputs in bundle.plan.inputs_of:
        assert bundle.model.input_names[inputs] == covariate.input_names
    named = bundle.plan.named
    starts = [bundle.model.input_names[start] for start in named.covariate_starts]
    assert starts == ["caps5_total_baseline", "site=A"]
    assert named.names.tolist() == [*bundle.feature_names, "caps5_total_baseline", "site"]


def test_names_are_spoken_of_as_their_definitions_and_covariates_say(bundle: ModelBundle) -> None:
    named = bundle.plan.named
    first, severity, site = bundle.definitions[0], -2, -1
    assert (named.units[0], named.circuits[0], named.kinds[0]) == (first.unit, first.circuit, first.kind)
    assert named.descriptions[0] == first.description
    assert (named.units[severity], named.circuits[severity], named.kinds[severity]) == (
        "points",
        "clinical",
        "clinical",
    )
    assert named.descriptions[severity] == "caps5 total baseline"
    assert named.training_means[severity] == bundle.training_range.mean[len(bundle.definitions)]
    assert named.training_means[site] is None
    assert named.names[named.alphabetical].tolist() == sorted(named.names.tolist())


def test_features_that_the_recipe_makes_are_known_besides_the_models(bundle: ModelBundle) -> None:
    recipe = default_recipe()
    assert bundle.plan.known_features == set(bundle.feature_names)
    made = {definition.name for definition in feature_definitions(recipe)}
    assert replace(bundle, recipe=recipe).plan.known_features == made | set(bundle.feature_names)


def test_a_feature_is_needed_where_it_acts_through_a_learned_one_only(
    make_deviation_bundle: Any, deviation_bundle: ModelBundle
) -> None:
    coefficients = np.zeros_like(deviation_bundle.model.coefficients)
    deviation_of_second = len(deviation_bundle.definitions) + 1
    coefficients[:, deviation_of_second] = 1.0
    lone = make_deviation_bundle(model=replace(deviation_bundle.model, coefficients=coefficients))
    assert lone.is_needed.tolist() == [False, True, False, False, False]
    assert lone.plan.n_needed == 1
    coefficients[:, lone.model.input_names.index("hypoconnected_edges")] = 1.0
    counted = make_deviation_bundle(model=replace(deviation_bundle.model, coefficients=coefficients))
    assert counted.is_needed.tolist() == [True, True, True, True, False]


def test_a_changed_bundle_has_a_plan_of_its_own(bundle: ModelBundle) -> None:
    without = replace(bundle.model, coefficients=np.zeros_like(bundle.model.coefficients))
    assert bundle.plan.uses_features
    changed = replace(bundle, model=without)
    assert not changed.plan.uses_features
    assert changed.plan.n_used_features == 0


def test_residuals_of_every_arm_are_those_of_its_interval(bundle: ModelBundle) -> None:
    for number in range(len(bundle.arms)):
        expected = bundle.out_of_fold.of_arm(number, level=INTERVAL_LEVEL)
        assert np.array_equal(bundle.plan.residuals[number].residual, expected.residual)
    assert bundle.plan.usual_error == pytest.approx(np.std(bundle.out_of_fold.residual), rel=1e-14)
