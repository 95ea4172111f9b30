from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import LinearRegression
from sklearn.metrics import balanced_accuracy_score, brier_score_loss, log_loss, roc_auc_score

from predictor.model.outcome_definition import OutcomeDefinition
from training.evaluation.classification import (
    NotReported,
    ResponderMetrics,
    ResponseForecast,
    forecast_responses,
    measure_responders,
)
from training.evaluation.nested_cv import OutOfFold, cross_validate
from training.evaluation.splits import leave_one_out, stratified_folds, train_and_test

IMPROVEMENT = OutcomeDefinition("improvement", "percent", "higher", 30.0, "at least 30 percent")
RESPONSE = OutcomeDefinition("response", "probability", "higher")


def out_of_fold(outcome: np.ndarray, prediction: np.ndarray, folds: np.ndarray) -> OutOfFold:
    means = np.array([[outcome[row != fold].mean() for fold in row] for row in folds])
    return OutOfFold(outcome, prediction, means, folds, ())


def forecast_of(predicted: OutOfFold, definition: OutcomeDefinition = IMPROVEMENT) -> ResponseForecast:
    found = forecast_responses(predicted, definition)
    assert isinstance(found, ResponseForecast)
    return found


def measured(predicted: OutOfFold, definition: OutcomeDefinition = IMPROVEMENT) -> ResponderMetrics:
    found = measure_responders(forecast_of(predicted, definition), seed=0)
    assert isinstance(found, ResponderMetrics)
    return found


def folds_of(outcome: np.ndarray, rng: np.random.Generator, *, n_folds: int = 5, n_repeats: int = 2) -> np.ndarray:
    return np.array([stratified_folds(outcome, None, n_folds=n_folds, rng=rng) for _ in range(n_repeats)])


def least_squares(columns: np.ndarray, outcome: np.ndarray, folds: np.ndarray) -> OutOfFold:
    prediction = np.empty((1, len(outcome)))
    for train, test in train_and_test(folds):
        prediction[0, test] = columns[test] @ np.linalg.lstsq(columns[train], outcome[train])[0]
    return out_of_fold(outcome, prediction, folds[np.newaxis])


def test_numbers_agree_with_scikit_learn_fold_by_fold(rng: np.random.Generator) -> None:
    outcome = (rng.random(60) < 0.4).astype(float)
    folds = folds_of(outcome, rng)
    noisy = 0.4 + 0.2 * (outcome - 0.4) + 0.2 * rng.standard_normal((2, 60))
    probability = np.clip(noisy.round(1), 0.1, 0.9)
    found = measured(out_of_fold(outcome, probability, folds), RESPONSE)
    auc, accuracy, n_pairs = [], [], []
    for row, fold in [(row, fold) for row in range(2) for fold in range(5)]:
        of_fold = folds[row] == fold
        yes, score = outcome[of_fold], probability[row, of_fold]
        auc.append(roc_auc_score(yes, score))
        accuracy.append(balanced_accuracy_score(yes, score >= 0.5))
        n_pairs.append(yes.sum() * (1 - yes).sum())
    assert found.auc == pytest.approx(np.average(auc, weights=n_pairs))
    assert found.balanced_accuracy == pytest.approx(np.average(accuracy, weights=n_pairs))
    assert found.brier == pytest.approx(np.mean([brier_score_loss(outcome, row) for row in probability]))
    assert found.log_loss == pytest.approx(np.mean([log_loss(outcome, row) for row in probability]))
    assert (found.n_responders, found.n_others) == (outcome.sum(), 60 - outcome.sum())


def test_intervals_hold_the_number_and_narrow_with_more_people(rng: np.random.Generator) -> None:
    widths = []
    for n_people in (60, 600):
        outcome = 31 + 20 * rng.standard_normal(n_people)
        prediction = 31 + 0.4 * (outcome - 31) + 8 * rng.standard_normal((1, n_people))
        found = measured(out_of_fold(outcome, prediction, folds_of(outcome, rng, n_repeats=1)))
        assert found.auc_interval.lower < found.auc < found.auc_interval.upper
        assert found.brier_interval.lower < found.brier < found.brier_interval.upper
        widths.append(found.auc_interval.upper - found.auc_interval.lower)
    assert widths[1] == pytest.approx(widths[0] / np.sqrt(10), rel=0.35)


def test_the_model_without_knowledge_is_at_chance_exactly(rng: np.random.Generator) -> None:
    outcome = 31 + 20 * rng.standard_normal(50)
    constant = cross_validate(DummyRegressor(), pd.DataFrame({"x": outcome}), outcome, folds_of(outcome, rng))
    found = measured(constant)
    assert found.auc == found.auc_interval.lower == found.auc_interval.upper == 0.5
    assert found.balanced_accuracy == 0.5
    responded = (outcome >= 30).astype(float)
    base_rate = cross_validate(DummyRegressor(), pd.DataFrame({"x": outcome}), responded, folds_of(responded, rng))
    assert measured(base_rate, RESPONSE).brier_skill == pytest.approx(0.0, abs=1e-12)


def test_models_of_noise_are_at_chance_on_average_within_folds_and_below_it_pooled_over_leave_one_out() -> None:
    within, pooled = [], []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        outcome = (rng.permutation(40) < 20).astype(float)
        inputs = np.column_stack([np.ones(40), rng.standard_normal((40, 2))])
        folds = stratified_folds(outcome, None, n_folds=5, rng=rng)
        within.append(measured(least_squares(inputs, outcome, folds), RESPONSE).auc)
        alone = least_squares(inputs, outcome, leave_one_out(40))
        pooled.append(roc_auc_score(outcome, alone.prediction[0]))
    assert np.mean(within) == pytest.approx(0.5, abs=3 * np.std(within) / np.sqrt(60))
    assert np.mean(pooled) < 0.5 - 3 * np.std(pooled) / np.sqrt(60)


def test_leave_one_out_is_not_reported_and_says_why(rng: np.random.Generator) -> None:
    outcome = 31 + 20 * rng.standard_normal(30)
    forecast = forecast_of(out_of_fold(outcome, outcome[np.newaxis], leave_one_out(30)[np.newaxis]))
    found = measure_responders(forecast, seed=0)
    assert isinstance(found, NotReported)
    assert "leave-one-out" in found.reason


def test_the_probability_is_the_share_of_plausible_outcomes_from_other_folds() -> None:
    outcome = np.array([20.0, 50.0, 10.0, 40.0])
    prediction = np.array([[28.0, 32.0, 25.0, 35.0]])
    folds = np.array([[0, 0, 1, 1]])
    # Residuals of fold 1: -15 and +5; of fold 0: -8 and +18. 28 + 5 = 33 reaches 30; so do 32 + 5, 25 + 18, 35 + 18.
    assert forecast_of(out_of_fold(outcome, prediction, folds)).probability.tolist() == [[0.5, 0.5, 0.5, 0.5]]
    lower = OutcomeDefinition("total", "points", "lower", 14.0, "at most 14 points")
    # 28 - 15 and 25 - 8 = 17: only the first reaches 14.
    assert forecast_of(out_of_fold(outcome, prediction, folds), lower).probability.tolist() == [[0.5, 0, 0, 0]]


def test_probabilities_mean_what_they_say_in_many_people(rng: np.random.Generator) -> None:
    signal = rng.standard_normal(4000)
    outcome = 31 + 12 * signal + 16 * rng.standard_normal(4000)
    folds = stratified_folds(outcome, None, n_folds=5, rng=rng)[np.newaxis]
    predicted = cross_validate(LinearRegression(), pd.DataFrame({"x": signal}), outcome, folds)
    forecast = forecast_of(predicted)
    for low in (0.1, 0.3, 0.5, 0.7):
        members = (forecast.probability[0] >= low) & (forecast.probability[0] < low + 0.2)
        expected = forecast.probability[0, members].mean()
        assert forecast.is_responder[members].mean() == pytest.approx(expected, abs=3.5 * 0.5 / members.sum() ** 0.5)


def test_without_a_response_rule_or_with_too_few_of_a_kind_nothing_is_reported(rng: np.random.Generator) -> None:
    outcome = rng.standard_normal(30)
    predicted = out_of_fold(outcome, np.zeros((1, 30)), folds_of(outcome, rng, n_repeats=1))
    pain = OutcomeDefinition("pain", "z", "lower")
    found = forecast_responses(predicted, pain)
    assert isinstance(found, NotReported)
    assert "no response rule" in found.reason
    few = measure_responders(
        forecast_of(out_of_fold(outcome + 29.5 * (np.arange(30) < 3), *predicted_parts(predicted))), seed=0
    )
    assert isinstance(few, NotReported)
    assert "of 30 people responded" in few.reason


def predicted_parts(predicted: OutOfFold) -> tuple[np.ndarray, np.ndarray]:
    return predicted.prediction, predicted.fold_index


def test_folds_without_both_kinds_make_no_pairs(rng: np.random.Generator) -> None:
    outcome = np.repeat([0.0, 1.0], 10)
    sites = np.repeat([0, 1], 10)[np.newaxis]
    found = measure_responders(forecast_of(out_of_fold(outcome, rng.random((1, 20)), sites), RESPONSE), seed=0)
    assert isinstance(found, NotReported)
    assert "no fold holds both" in found.reason
