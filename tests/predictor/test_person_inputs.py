from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from predictor.errors import TableError, UnknownFeatureError, ValueOutOfRangeError
from predictor.features.feature_catalogue import feature_definitions
from predictor.features.recipe import default_recipe
from predictor.model.bundle import ModelBundle
from predictor.model.person_inputs import person_inputs
from predictor.model.response_design import ResponseDesign


def test_one_person_is_encoded_as_in_training(cohort: Any, bundle: ModelBundle) -> None:
    design = ResponseDesign(covariates=cohort.covariates, features=cohort.feature_names).fit(cohort.table)
    in_training = design.raw_inputs(cohort.table)
    for number, (_, row) in enumerate(cohort.table.head(20).iterrows()):
        features = {name: None if pd.isna(row[name]) else row[name] for name in cohort.feature_names}
        covariates = {covariate.name: row[covariate.name] for covariate in cohort.covariates}
        person = person_inputs(features, covariates, bundle)
        assert np.array_equal(person.values, in_training[number], equal_nan=True)


def test_features_and_covariates_left_out_are_missing(bundle: ModelBundle) -> None:
    assert np.isnan(person_inputs({}, {}, bundle).values).all()


def test_an_unknown_feature_is_an_error_that_names_it(bundle: ModelBundle) -> None:
    with pytest.raises(UnknownFeatureError, match="1 name is no feature of the model: nonsense"):
        person_inputs({bundle.feature_names[0]: 1.0, "nonsense": 2.0}, {}, bundle)


def test_a_feature_that_the_recipe_makes_is_welcome_though_the_model_does_not_use_it(bundle: ModelBundle) -> None:
    recipe = default_recipe()
    unused = feature_definitions(recipe)[-1].name
    assert unused not in bundle.feature_names
    assert np.isnan(person_inputs({unused: 1.0}, {}, replace(bundle, recipe=recipe)).values).all()


@pytest.mark.parametrize("value", [math.nan, math.inf, "0.3", True, 1e300])
def test_what_is_no_finite_number_is_an_error(bundle: ModelBundle, value: Any) -> None:
    name = bundle.feature_names[1]
    with pytest.raises(ValueOutOfRangeError) as caught:
        person_inputs({name: value}, {}, bundle)
    assert caught.value.where == f"feature {name}"
    with pytest.raises(ValueOutOfRangeError):
        person_inputs({}, {"caps5_total_baseline": value}, bundle)


def test_an_unknown_covariate_or_level_is_an_error(bundle: ModelBundle) -> None:
    with pytest.raises(TableError, match="arm, caps5_total_baseline, site; found shoe_size too"):
        person_inputs({}, {"shoe_size": 42.0}, bundle)
    no_sites = tuple(replace(c, role="demographic") if c.name == "site" else c for c in bundle.covariates)
    by_group = replace(bundle, covariates=no_sites)
    with pytest.raises(TableError, match="one of A, B, C"):
        person_inputs({}, {"site": "Z"}, by_group)


@pytest.mark.parametrize("arm", [{}, {"arm": None}, {"arm": "ketamine"}, {"arm": "psilocybin"}])
def test_the_arm_may_be_anything_since_all_are_answered_for(bundle: ModelBundle, arm: dict[str, Any]) -> None:
    assert len(person_inputs({}, arm, bundle).values) == len(bundle.model.input_names)


def test_deviations_of_one_person_are_those_of_the_training_step(deviating: Any, deviation_bundle: ModelBundle) -> None:
    cohort, step = deviating
    in_training = step.fit(cohort.table).transform(cohort.table)
    learned = slice(len(deviation_bundle.definitions), deviation_bundle.n_features)
    names = list(deviation_bundle.model.input_names[learned])
    for number, (_, row) in enumerate(cohort.table.head(20).iterrows()):
        features = {name: None if pd.isna(row[name]) else row[name] for name in cohort.feature_names}
        covariates = {covariate.name: row[covariate.name] for covariate in cohort.covariates}
        person = person_inputs(features, covariates, deviation_bundle)
        expected = in_training.iloc[number][names].to_numpy(dtype=float)
        assert person.values[learned] == pytest.approx(expected, abs=1e-12, nan_ok=True)
        assert person.deviations is not None
        assert person.deviations.pooled == ()


def test_what_the_reference_cannot_place_is_pooled_over_and_named(deviation_bundle: ModelBundle) -> None:
    known = person_inputs(
        dict.fromkeys(deviation_bundle.feature_names, 0.4), {"age": 40.0, "sex": "F"}, deviation_bundle
    )
    other = person_inputs(dict.fromkeys(deviation_bundle.feature_names, 0.4), {"sex": "X"}, deviation_bundle)
    assert known.deviations is not None
    assert other.deviations is not None
    assert known.deviations.pooled == ()
    assert other.deviations.pooled == ("age", "sex")
    assert np.isfinite(other.deviations.z).all()


def test_a_learned_feature_cannot_be_brought(deviation_bundle: ModelBundle) -> None:
    with pytest.raises(UnknownFeatureError, match="hypoconnected_edges"):
        person_inputs({"hypoconnected_edges": 3.0}, {}, deviation_bundle)


def test_the_order_and_the_type_of_numbers_make_no_difference(bundle: ModelBundle) -> None:
    plain = dict(zip(bundle.feature_names, (1.0, 2.0, None, 3.0, -4.0), strict=True))
    expected = person_inputs(plain, {}, bundle)
    others: list[dict[str, Any]] = [
        dict(reversed(plain.items())),
        {name: value for name, value in plain.items() if value is not None},
        {name: None if value is None else int(value) for name, value in plain.items()},
        {name: None if value is None else np.float32(value) for name, value in plain.items()},
    ]
    for features in others:
        found = person_inputs(features, {}, bundle)
        assert np.array_equal(found.values, expected.values, equal_nan=True)
        assert {name: found.features.get(name) for name in plain} == plain


@pytest.mark.parametrize("value", [math.nan, -math.inf, True, np.float64("nan"), 10**400, -1e31])
def test_one_wrong_number_among_missing_ones_is_named(bundle: ModelBundle, value: Any) -> None:
    features = {**dict.fromkeys(bundle.feature_names), bundle.feature_names[0]: 1.0, bundle.feature_names[3]: value}
    with pytest.raises(ValueOutOfRangeError) as caught:
        person_inputs(features, {}, bundle)
    assert caught.value.where == f"feature {bundle.feature_names[3]}"


def test_a_wrong_number_under_a_name_that_the_model_does_not_take_is_an_error_too(bundle: ModelBundle) -> None:
    recipe = default_recipe()
    unused = feature_definitions(recipe)[-1].name
    with pytest.raises(ValueOutOfRangeError):
        person_inputs({unused: math.nan}, {}, replace(bundle, recipe=recipe))
