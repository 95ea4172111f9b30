from __future__ import annotations

import numpy as np
import pytest

from predictor.model.reliability import reliability, standard_error_column


def test_the_share_of_true_variance_is_recovered(rng: np.random.Generator) -> None:
    truth, noise_sd = rng.normal(size=(5_000, 3)), np.array([0.1, 1.0, 2.0])
    measured = truth + noise_sd * rng.normal(size=truth.shape)
    found = reliability(measured, np.broadcast_to(noise_sd, truth.shape))
    assert found == pytest.approx(1 / (1 + noise_sd**2), abs=0.05)


def test_errors_that_promise_more_noise_than_people_differ_give_less_than_nothing(rng: np.random.Generator) -> None:
    assert reliability(rng.normal(size=(100, 1)), np.full((100, 1), 3.0))[0] < 0


def test_missing_values_and_errors_are_left_out(rng: np.random.Generator) -> None:
    values, errors = rng.normal(size=(40, 2)), rng.uniform(0.1, 0.5, (40, 2))
    gappy_values, gappy_errors = values.copy(), errors.copy()
    gappy_values[:10, 0], gappy_errors[5:15, 0] = np.nan, np.nan
    assert reliability(gappy_values, gappy_errors)[0] == reliability(values[15:], errors[15:])[0]
    assert reliability(gappy_values, gappy_errors)[1] == reliability(values, errors)[1]


def test_without_standard_errors_or_differences_nothing_is_known() -> None:
    values = np.array([[1.0, 1.0], [2.0, 1.0]])
    errors = np.array([[np.nan, 0.1], [np.nan, 0.1]])
    assert np.isnan(reliability(values, errors)).all()
    assert np.isnan(reliability(values[:1], values[:1])).all()


def test_the_column_names_its_feature() -> None:
    assert standard_error_column("gppi_faces__a__b") == "standard error of gppi_faces__a__b"
