from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from predictor.errors import ModelBundleError
from predictor.features.feature_vector import FeatureDefinition
from predictor.model.bundle import ModelBundle
from predictor.model.learned_features import (
    deviation_family,
    learned_definitions,
    learned_names,
    learned_values,
    summary_parts,
)

SOURCES = ("rest_fisher_z__a__b", "rest_fisher_z__a__c")


def test_names_say_what_is_compared() -> None:
    assert learned_names(SOURCES) == (
        "deviation_rest__a__b", "deviation_rest__a__c",
        "hypoconnected_edges", "hyperconnected_edges", "deviation_rest_mean",
    )  # fmt: skip
    assert learned_names(["gppi_faces__a__b"])[0] == "deviation_gppi_faces__a__b"
    assert learned_names(["thickness"])[::3] == ("deviation_thickness", "deviation_thickness_mean")
    assert deviation_family("rest_partial") == "deviation_rest"


def test_definitions_stand_in_the_order_of_the_names() -> None:
    sources = [FeatureDefinition(name, "fisher_z", "rest_fisher_z", "rest", "a-b", "resting a") for name in SOURCES]
    found = learned_definitions(sources)
    assert tuple(definition.name for definition in found) == learned_names(SOURCES)
    assert [definition.family for definition in found] == ["deviation_rest"] * 2 + ["deviation_summary"] * 3
    assert [definition.unit for definition in found] == ["z", "z", "count", "count", "z"]
    assert found[0].circuit == "a-b"


def test_connections_beyond_the_threshold_are_counted_and_all_are_averaged() -> None:
    z = np.array([[-2.5, 0.0, 1.95, 4.0, -1.97], [0.1, 0.2, 0.3, 0.4, 0.5]])
    found = learned_values(z, threshold=1.96)
    assert np.array_equal(found[:, :5], z)
    assert found[:, 5:] == pytest.approx(np.array([[2, 1, z[0].mean()], [0, 0, 0.3]]))


def test_a_missing_connection_stands_as_expected_of_a_control() -> None:
    z = np.array([[-2.5, np.nan, np.nan, 1.0]])
    found = learned_values(z, threshold=1.5)
    chance = stats.norm.cdf(-1.5)
    assert np.array_equal(np.isnan(found[0, :4]), [False, True, True, False])
    assert found[0, 4:] == pytest.approx([1 + 2 * chance, 2 * chance, -1.5 / 4])


def test_parts_sum_to_the_counts_and_the_mean(rng: np.random.Generator) -> None:
    z = rng.normal(size=(20, 9))
    z[rng.random(z.shape) < 0.2] = np.nan
    parts = summary_parts(z, threshold=1.0)
    assert parts.shape == (20, 3, 9)
    assert parts.sum(axis=2) == pytest.approx(learned_values(z, threshold=1.0)[:, 9:])


def test_a_model_may_take_some_of_the_learned_features(deviation_bundle: ModelBundle, rng: np.random.Generator) -> None:
    whole = deviation_bundle.deviations
    assert whole is not None
    some = replace(whole, definitions=(whole.definitions[5], whole.definitions[1]))
    z = rng.normal(size=(3, 4))
    assert np.array_equal(some.features(z), learned_values(z, threshold=whole.threshold)[:, [5, 1]])
    assert np.array_equal(some.expand(np.array([7.0, 8.0])), [0, 8, 0, 0, 0, 7, 0])


def test_learned_features_that_the_reference_does_not_make_are_refused(deviation_bundle: ModelBundle) -> None:
    whole = deviation_bundle.deviations
    assert whole is not None
    stranger = replace(whole.definitions[0], name="deviation_rest__x__y")
    with pytest.raises(ModelBundleError, match="not those that the reference makes"):
        replace(whole, definitions=(stranger,))
    with pytest.raises(ModelBundleError, match="threshold above 0"):
        replace(whole, threshold=0.0)
    with pytest.raises(ModelBundleError, match="background of shape"):
        replace(whole, background=np.zeros((3, 3)))
