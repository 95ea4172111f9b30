from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from predictor.model.bundle import ModelBundle
from predictor.model.person_inputs import PersonInputs, person_inputs
from predictor.model.prediction import predict_response
from predictor.model.scan_noise import deviation_standard_errors, scan_noise_variance

KNOWN = {"caps5_total_baseline": 44.0, "site": "A", "age": 47.0, "sex": "F"}


def person_of(bundle: ModelBundle, values: dict[str, float | None]) -> PersonInputs:
    asked = {covariate.name for covariate in bundle.covariates}
    return person_inputs(values, {name: value for name, value in KNOWN.items() if name in asked}, bundle)


def test_it_is_the_sum_of_squared_weight_times_standard_error(
    make_bundle: Any, cohort: Any, least_squares: Any
) -> None:
    bundle = make_bundle(cohort, make_regressor=least_squares)
    errors = {name: 0.1 * (number + 1) for number, name in enumerate(bundle.feature_names)}
    person = person_of(bundle, dict.fromkeys(bundle.feature_names, 0.3))
    for arm, weights in zip(bundle.arms, bundle.model.weights, strict=True):
        expected = ((weights[:5] * np.array(list(errors.values()))) ** 2).sum()
        assert scan_noise_variance(bundle, person, errors, arm=arm) == pytest.approx(expected)


def test_without_standard_errors_of_what_matters_it_is_not_known(make_bundle: Any, bundle: ModelBundle) -> None:
    values = dict.fromkeys(bundle.feature_names, 0.3)
    unused = bundle.feature_names[int(np.argmin(bundle.is_needed))]
    assert not bundle.is_needed.all()
    assert scan_noise_variance(bundle, person_of(bundle, values), {}, arm="ketamine") is None
    assert scan_noise_variance(bundle, person_of(bundle, values), {unused: 0.2}, arm="ketamine") is None
    assert (
        scan_noise_variance(bundle, person_of(bundle, values), {bundle.feature_names[0]: None}, arm="ketamine") is None
    )


def test_noise_that_also_moves_deviations_counts_and_mean_is_that_of_repeated_scans(
    deviation_bundle: ModelBundle, rng: np.random.Generator
) -> None:
    names = deviation_bundle.feature_names
    values = dict(zip(names, (0.9, -1.2, 0.2, 1.1, 0.0), strict=True))
    errors = dict(zip(names, (0.3, 0.2, 0.4, 0.5, 0.1), strict=True))
    outcomes = []
    for _ in range(2_000):
        scanned = {name: value + errors[name] * float(rng.normal()) for name, value in values.items()}
        person = person_of(deviation_bundle, scanned)
        outcomes.append(deviation_bundle.model.predict(person.values[np.newaxis])[0, 0])
    expected = scan_noise_variance(deviation_bundle, person_of(deviation_bundle, values), errors, arm="ketamine")
    assert expected == pytest.approx(np.var(outcomes), rel=0.1)


def test_a_missing_feature_makes_no_noise(deviation_bundle: ModelBundle) -> None:
    names = deviation_bundle.feature_names
    errors: dict[str, float | None] = dict.fromkeys(names, 0.2)
    without = person_of(deviation_bundle, dict.fromkeys(names[1:], 0.4))
    found = scan_noise_variance(deviation_bundle, without, errors, arm="ketamine")
    assert found == scan_noise_variance(deviation_bundle, without, {**errors, names[0]: None}, arm="ketamine")


def test_the_standard_error_of_a_deviation_is_that_of_its_feature_in_deviations(deviation_bundle: ModelBundle) -> None:
    names = deviation_bundle.feature_names
    values: dict[str, float | None] = dict.fromkeys(names, 0.4)
    person = person_of(deviation_bundle, values)
    moved = person_of(deviation_bundle, {**values, names[1]: 0.4001})
    assert person.deviations is not None
    assert moved.deviations is not None
    found = deviation_standard_errors(deviation_bundle, person, {names[1]: 0.2, names[2]: None})
    assert found[1] == pytest.approx((moved.deviations.z - person.deviations.z)[1] / 0.0001 * 0.2, rel=1e-3)
    assert np.isnan(found[[0, 2, 3]]).all()


def test_scan_noise_is_a_share_of_the_residual_and_nothing_is_added(bundle: ModelBundle) -> None:
    inputs = person_of(bundle, dict.fromkeys(bundle.feature_names, 0.3)).values
    plain = predict_response(bundle, inputs).uncertainty_shares
    some = predict_response(bundle, inputs, noise_variance=20.0).uncertainty_shares
    enormous = predict_response(bundle, inputs, noise_variance=1e9).uncertainty_shares
    assert set(plain) == {"residual", "model"}
    assert some["scan_noise"] > 0
    assert some["scan_noise"] + some["residual"] == pytest.approx(plain["residual"])
    assert (enormous["scan_noise"], enormous["residual"]) == pytest.approx((plain["residual"], 0.0))
    assert some["model"] == enormous["model"] == plain["model"]
    assert predict_response(bundle, inputs, noise_variance=20.0).arms == predict_response(bundle, inputs).arms


def test_a_bundle_without_a_reference_has_no_deviations(bundle: ModelBundle, deviation_bundle: ModelBundle) -> None:
    person = person_of(bundle, {})
    assert person.deviations is None
    assert deviation_standard_errors(bundle, person, {}).size == 0
    assert replace(deviation_bundle, name="x").deviations is not None
