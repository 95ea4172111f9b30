from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from sklearn.dummy import DummyRegressor

from predictor.model.outcome_definition import OutcomeDefinition
from training.evaluation.calibration import (
    Calibration,
    calibrate_outcome,
    calibrate_probability,
    calibration_table,
)
from training.evaluation.classification import ResponseForecast, forecast_responses
from training.evaluation.metrics import NotReported
from training.evaluation.nested_cv import OutOfFold, cross_validate
from training.evaluation.splits import leave_one_out, stratified_folds, train_and_test

RESPONSE = OutcomeDefinition("response", "probability", "higher")


def out_of_fold(outcome: np.ndarray, prediction: np.ndarray, folds: np.ndarray) -> OutOfFold:
    means = np.array([[outcome[row != fold].mean() for fold in row] for row in folds])
    return OutOfFold(outcome, prediction, means, folds, ())


def random_folds(n_people: int, rng: np.random.Generator, *, n_folds: int = 5, n_repeats: int = 2) -> np.ndarray:
    return np.array([rng.permutation(np.arange(n_people) % n_folds) for _ in range(n_repeats)])


def forecast_of(outcome: np.ndarray, probability: np.ndarray, folds: np.ndarray) -> ResponseForecast:
    found = forecast_responses(out_of_fold(outcome, probability, folds), RESPONSE)
    assert isinstance(found, ResponseForecast)
    return found


def test_the_slope_is_that_of_a_regression_counted_from_the_training_mean(rng: np.random.Generator) -> None:
    outcome = rng.standard_normal(60)
    folds = random_folds(60, rng)
    prediction = 0.5 * outcome + rng.standard_normal((2, 60))
    predicted = out_of_fold(outcome, prediction, folds)
    found = calibrate_outcome(predicted)
    said = prediction - predicted.training_mean
    fitted = sm.OLS(np.tile(outcome, 2), sm.add_constant(said.ravel())).fit()
    assert isinstance(found, Calibration)
    assert found.slope == pytest.approx(fitted.params[1])
    assert found.in_the_large == pytest.approx((outcome - prediction).mean())


def test_its_interval_is_about_as_wide_as_least_squares_says(rng: np.random.Generator) -> None:
    prediction = rng.standard_normal((1, 200))
    outcome = prediction[0] + rng.standard_normal(200)
    found = calibrate_outcome(out_of_fold(outcome, prediction, random_folds(200, rng, n_repeats=1)))
    assert isinstance(found, Calibration)
    expected = 2 * 1.96 / np.sqrt(200)
    assert found.slope_interval.upper - found.slope_interval.lower == pytest.approx(expected, rel=0.2)
    assert found.slope_interval.lower < 1 < found.slope_interval.upper


def test_predictions_that_are_twice_too_extreme_have_half_the_slope(rng: np.random.Generator) -> None:
    log_odds = rng.standard_normal((1, 1200)) * 1.2
    outcome = (rng.random(1200) < 1 / (1 + np.exp(-log_odds[0]))).astype(float)
    folds = random_folds(1200, rng, n_repeats=1)
    for factor in (1.0, 2.0):
        found = calibrate_probability(forecast_of(outcome, 1 / (1 + np.exp(-factor * log_odds)), folds))
        assert isinstance(found, Calibration)
        assert found.slope == pytest.approx(1 / factor, abs=0.2 / factor)
        assert found.slope_interval.lower < 1 / factor < found.slope_interval.upper


def test_the_logistic_slope_and_intercept_are_those_of_statsmodels(rng: np.random.Generator) -> None:
    outcome = (rng.random(80) < 0.45).astype(float)
    folds = random_folds(80, rng, n_repeats=1)
    log_odds = 0.6 * (outcome - 0.45) + 0.8 * rng.standard_normal((1, 80)) + 0.3
    forecast = forecast_of(outcome, 1 / (1 + np.exp(-log_odds)), folds)
    found = calibrate_probability(forecast)
    base = np.array([outcome[folds[0] != fold].mean() for fold in folds[0]])
    base = np.log(base / (1 - base))
    binomial = sm.families.Binomial()
    slope = sm.GLM(outcome, sm.add_constant(log_odds[0] - base), family=binomial).fit().params[1]
    excess = sm.GLM(outcome, np.ones(80), family=binomial, offset=log_odds[0]).fit().params[0]
    assert isinstance(found, Calibration)
    assert (found.slope, found.in_the_large) == pytest.approx((slope, excess), abs=1e-6)
    assert found.in_the_large_interval.lower < excess < found.in_the_large_interval.upper


def test_the_mean_of_the_training_people_has_no_slope_though_it_would_have_one_pooled(rng: np.random.Generator) -> None:
    outcome = rng.standard_normal(40)
    constant = cross_validate(DummyRegressor(), pd.DataFrame({"x": outcome}), outcome, random_folds(40, rng))
    found = calibrate_outcome(constant)
    assert isinstance(found, NotReported)
    assert "do not vary within folds" in found.reason
    assert np.polyfit(constant.prediction.ravel(), np.tile(outcome, 2), 1)[0] < -2


def test_leave_one_out_has_no_calibration(rng: np.random.Generator) -> None:
    outcome = rng.standard_normal(40)
    alone = out_of_fold(outcome, rng.standard_normal((1, 40)), leave_one_out(40)[np.newaxis])
    found = calibrate_outcome(alone)
    assert isinstance(found, NotReported)
    assert "leave-one-out" in found.reason
    yes = (outcome > 0).astype(float)
    forecast = forecast_of(yes, rng.random((1, 40)), leave_one_out(40)[np.newaxis])
    assert isinstance(calibrate_probability(forecast), NotReported)
    assert isinstance(calibration_table(forecast), NotReported)


@pytest.mark.parametrize("is_stratified", [True, False])
@pytest.mark.parametrize(("effect", "expected"), [(0.0, 0.0), (1.0, 1.0)])
def test_slopes_of_small_cohorts_do_not_lean(is_stratified: bool, effect: float, expected: float) -> None:
    slopes = []
    for seed in range(400):
        rng = np.random.default_rng(seed)
        said = rng.standard_normal((1, 40))
        outcome = effect * said[0] + rng.standard_normal(40)
        if is_stratified:
            folds = stratified_folds(outcome, None, n_folds=8, rng=rng)[np.newaxis]
        else:
            folds = random_folds(40, rng, n_folds=8, n_repeats=1)
        training_mean = out_of_fold(outcome, said, folds).training_mean
        found = calibrate_outcome(out_of_fold(outcome, training_mean + said, folds))
        assert isinstance(found, Calibration)
        slopes.append(found.slope)
    assert np.mean(slopes) == pytest.approx(expected, abs=3 * np.std(slopes) / np.sqrt(400))


def test_a_fitted_model_of_noise_goes_with_nothing_on_average() -> None:
    products = []  # of a slope and its denominator, which is near 0 by chance and would rule the mean
    for seed in range(100):
        rng = np.random.default_rng(seed)
        outcome = rng.standard_normal(40)
        columns = np.column_stack([np.ones(40), rng.standard_normal((40, 3))])
        folds = rng.permutation(np.arange(40) % 8)
        prediction = np.empty((1, 40))
        for train, test in train_and_test(folds):
            prediction[0, test] = columns[test] @ np.linalg.lstsq(columns[train], outcome[train])[0]
        predicted = out_of_fold(outcome, prediction, folds[np.newaxis])
        found = calibrate_outcome(predicted)
        assert isinstance(found, Calibration)
        products.append(found.slope * (prediction - predicted.training_mean).var())
    assert np.mean(products) == pytest.approx(0, abs=3 * np.std(products) / np.sqrt(100))


def test_perfectly_separated_responders_are_a_reason_and_no_number() -> None:
    outcome = np.tile([0.0, 1.0], 10)
    folds = (np.arange(20) // 4)[np.newaxis]
    found = calibrate_probability(forecast_of(outcome, (0.2 + 0.6 * outcome)[np.newaxis], folds))
    assert isinstance(found, NotReported)
    assert "separate" in found.reason


def test_groups_go_from_unlikely_to_likely_and_hold_everyone(rng: np.random.Generator) -> None:
    probability = rng.random((1, 103))
    outcome = (rng.random(103) < probability[0]).astype(float)
    table = calibration_table(forecast_of(outcome, probability, random_folds(103, rng, n_repeats=1)))
    assert isinstance(table, pd.DataFrame)
    assert table["n_people"].sum() == 103
    assert table["predicted"].is_monotonic_increasing
    assert (table["observed"] * table["n_people"]).sum() == outcome.sum()
    assert ((table["lower"] <= table["observed"]) & (table["observed"] <= table["upper"])).all()
