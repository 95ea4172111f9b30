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
