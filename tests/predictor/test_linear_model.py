from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from predictor.errors import ModelBundleError
from predictor.model.linear_model import LinearEnsemble, LinearResponseModel


def random_model(rng: np.random.Generator, *, n_inputs: int = 6, n_arms: int = 2) -> LinearResponseModel:
    coefficients = rng.standard_normal((n_arms, n_inputs))
    coefficients[:, rng.random(n_inputs) < 0.5] = 0.0
    return LinearResponseModel(
        input_names=tuple(f"x{number}" for number in range(n_inputs)),
        impute_values=rng.standard_normal(n_inputs),
        centre=rng.standard_normal(n_inputs),
        scale=rng.uniform(0.5, 2.0, n_inputs),
        arms=tuple(f"arm{number}" for number in range(n_arms)),
        intercept=rng.standard_normal(n_arms),
        coefficients=coefficients,
    )


def test_a_prediction_is_the_written_out_sum(rng: np.random.Generator) -> None:
    model = random_model(rng, n_inputs=3)
    person = np.array([1.0, np.nan, -2.0])
    filled = [1.0, model.impute_values[1], -2.0]
    for arm in range(2):
        expected = model.intercept[arm] + sum(
            model.coefficients[arm, j] * (filled[j] - model.centre[j]) / model.scale[j] for j in range(3)
        )
        assert model.predict(person[np.newaxis])[0, arm] == pytest.approx(expected, abs=1e-14)


@pytest.mark.parametrize("n_arms", [1, 2, 3])
def test_an_ensemble_predicts_what_its_models_predict(rng: np.random.Generator, n_arms: int) -> None:
    models = [random_model(rng, n_arms=n_arms) for _ in range(7)]
    person = rng.standard_normal(6)
    person[2] = np.nan
    ensemble = LinearEnsemble.of(models)
    expected = np.array([model.predict(person[np.newaxis])[0] for model in models])
    assert ensemble.predict(person) == pytest.approx(expected, abs=1e-12)
    assert ensemble.weights_of(0) == pytest.approx(np.array([model.weights[0] for model in models]))


def test_models_that_use_nothing_predict_their_intercepts(rng: np.random.Generator) -> None:
    models = [replace(random_model(rng), coefficients=np.zeros((2, 6))) for _ in range(3)]
    ensemble = LinearEnsemble.of(models)
    assert ensemble.predict(np.full(6, np.nan)) == pytest.approx(np.array([model.intercept for model in models]))


def test_an_ensemble_keeps_only_columns_that_count(rng: np.random.Generator) -> None:
    n_inputs, n_models = 7_503, 35
    coefficients = np.zeros((1, n_inputs))
    coefficients[0, :40] = 1.0
    one = replace(random_model(rng, n_inputs=n_inputs, n_arms=1), coefficients=coefficients)
    assert LinearEnsemble.of([one] * n_models).n_bytes < n_models * 40 * 40 + 1_000


@pytest.mark.parametrize(
    "broken",
    [
        {"centre": np.zeros(5)},
        {"coefficients": np.zeros((6, 2))},
        {"intercept": np.array([0.0, np.nan])},
        {"scale": np.zeros(6)},
        {"arms": ("a", "a")},
    ],
)
def test_arrays_that_do_not_fit_are_an_error(rng: np.random.Generator, broken: dict[str, object]) -> None:
    with pytest.raises(ModelBundleError):
        replace(random_model(rng), **broken)


def test_an_ensemble_of_other_inputs_is_an_error(rng: np.random.Generator) -> None:
    with pytest.raises(ModelBundleError, match="same inputs"):
        LinearEnsemble.of([random_model(rng), random_model(rng, n_inputs=5)])
    ensemble = LinearEnsemble.of([random_model(rng)])
    with pytest.raises(ModelBundleError, match="do not exist"):
        replace(ensemble, n_inputs=1)


def test_gaps_take_what_each_model_imputes(rng: np.random.Generator) -> None:
    models = []
    for number in range(5):
        model = random_model(rng)
        coefficients = model.coefficients.copy()
        coefficients[:, number] = 0.0  # every model selects other inputs
        models.append(replace(model, coefficients=coefficients))
    ensemble = LinearEnsemble.of(models)
    for n_gaps in range(7):
        person = rng.standard_normal(6)
        person[rng.permutation(6)[:n_gaps]] = np.nan
        expected = np.array([model.predict(person[np.newaxis])[0] for model in models])
        assert ensemble.predict(person) == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_numbers_far_from_zero_keep_their_digits(rng: np.random.Generator) -> None:
    models = [replace(random_model(rng), centre=np.full(6, 1e6), impute_values=np.full(6, 1e6)) for _ in range(4)]
    person = 1e6 + rng.standard_normal(6)
    expected = np.array([model.predict(person[np.newaxis])[0] for model in models])
    assert LinearEnsemble.of(models).predict(person) == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_contributions_and_base_value_are_the_prediction(rng: np.random.Generator) -> None:
    model = random_model(rng)
    background_mean = rng.standard_normal(6)
    person = rng.standard_normal(6)
    person[4] = np.nan
    for arm in range(2):
        base_value, contributions = model.contributions(person, arm, background_mean=background_mean)
        assert base_value == pytest.approx(model.predict(background_mean[np.newaxis])[0, arm], abs=1e-12)
        assert base_value + contributions.sum() == pytest.approx(model.predict(person[np.newaxis])[0, arm], abs=1e-12)
        assert contributions[0] == pytest.approx(model.weights[arm, 0] * (person[0] - background_mean[0]), abs=1e-14)


def test_contributions_of_an_ensemble_are_those_of_its_models(rng: np.random.Generator) -> None:
    models = [random_model(rng) for _ in range(3)]
    background_mean, person = rng.standard_normal(6), rng.standard_normal(6)
    found = LinearEnsemble.of(models).contributions(person, 1, background_mean=background_mean)
    expected = [model.contributions(person, 1, background_mean=background_mean)[1] for model in models]
    assert found == pytest.approx(np.array(expected), abs=1e-12)


def test_noise_is_the_sum_of_squared_weight_times_error(rng: np.random.Generator) -> None:
    model, errors = random_model(rng), rng.uniform(0, 1, 6)
    expected = sum((model.coefficients[1, j] / model.scale[j] * errors[j]) ** 2 for j in range(6))
    assert model.noise_variance(np.zeros(6), errors, 1) == pytest.approx(expected, rel=1e-12)


def test_what_follows_from_the_coefficients_changes_with_them(rng: np.random.Generator) -> None:
    model = random_model(rng)
    without = replace(model, coefficients=np.zeros((2, 6)))
    assert model.is_used.any()
    assert not without.is_used.any()
    assert (without.weights == 0).all()


def test_what_is_prepared_for_all_answers_cannot_be_changed_by_one(rng: np.random.Generator) -> None:
    model = random_model(rng)
    with pytest.raises(ValueError, match="read-only"):
        model.weights[0, 0] = 1.0
    with pytest.raises(ValueError, match="read-only"):
        LinearEnsemble.of([model]).used_weights[0, 0] = 1.0
