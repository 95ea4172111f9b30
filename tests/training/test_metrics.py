from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import LinearRegression

from training.evaluation.metrics import compare, corrected_interval, measure, r2_against_training_mean
from training.evaluation.nested_cv import OutOfFold, cross_validate
from training.evaluation.splits import leave_one_out, stratified_folds


def out_of_fold(outcome: np.ndarray, prediction: np.ndarray, folds: np.ndarray) -> OutOfFold:
    means = np.array([[outcome[row != fold].mean() for fold in row] for row in folds])
    return OutOfFold(outcome, prediction, means, folds, ())


@pytest.mark.parametrize("scheme", ["leave_one_out", "repeated_kfold"])
def test_the_constant_model_scores_exactly_zero(rng: np.random.Generator, scheme: str) -> None:
    outcome = rng.standard_normal(37) * 20 + 31
    inputs = pd.DataFrame({"x": rng.standard_normal(37)})
    folds = (
        leave_one_out(37)[np.newaxis]
        if scheme == "leave_one_out"
        else np.array([stratified_folds(outcome, None, n_folds=5, rng=rng) for _ in range(3)])
    )
    constant = cross_validate(DummyRegressor(), inputs, outcome, folds)
    assert r2_against_training_mean(constant) == 0.0
    assert measure(constant, seed=0).r2_interval.lower == measure(constant, seed=0).r2_interval.upper == 0.0


def test_leave_one_out_correlation_of_the_constant_model_is_minus_one_and_r2_is_not_fooled(
    rng: np.random.Generator,
) -> None:
    outcome = rng.standard_normal(21)
    constant = cross_validate(DummyRegressor(), pd.DataFrame({"x": outcome}), outcome, leave_one_out(21)[np.newaxis])
    metrics = measure(constant, seed=0)
    assert metrics.pearson_r == pytest.approx(-1.0)
    assert metrics.r2 == 0.0


def test_numbers_agree_with_their_definitions(rng: np.random.Generator) -> None:
    outcome = rng.standard_normal(40)
    folds = np.array([stratified_folds(outcome, None, n_folds=4, rng=rng) for _ in range(2)])
    prediction = outcome * 0.4 + rng.standard_normal((2, 40)) * 0.5
    predicted = out_of_fold(outcome, prediction, folds)
    metrics = measure(predicted, seed=0)
    squared = (outcome - prediction) ** 2
    total = (outcome - predicted.training_mean) ** 2
    assert metrics.r2 == pytest.approx(1 - squared.sum() / total.sum())
    assert metrics.mae == pytest.approx(np.abs(outcome - prediction).mean())
    assert metrics.rmse == pytest.approx(np.sqrt(squared.mean()))
    assert metrics.pearson_r == pytest.approx(np.mean([stats.pearsonr(row, outcome).statistic for row in prediction]))


def test_intervals_agree_with_scipys_bootstrap(rng: np.random.Generator) -> None:
    outcome = rng.standard_normal(60)
    prediction = outcome * 0.5 + rng.standard_normal(60) * 0.6
    predicted = out_of_fold(outcome, prediction[np.newaxis], leave_one_out(60)[np.newaxis])
    interval = measure(predicted, seed=0).mae_interval
    expected = stats.bootstrap(
        (np.abs(outcome - prediction),), np.mean, method="percentile", n_resamples=4000, rng=np.random.default_rng(5)
    ).confidence_interval
    assert [interval.lower, interval.upper] == pytest.approx([expected.low, expected.high], abs=0.01)


def test_the_corrected_interval_is_nadeau_and_bengios(rng: np.random.Generator) -> None:
    folds = np.tile(np.repeat(np.arange(5), 8), (2, 1))
    gain = rng.standard_normal((2, 40)) + 0.3
    interval = corrected_interval(gain, folds)
    fold_means = gain.reshape(2, 5, 8).mean(axis=2).ravel()
    standard_error = np.sqrt((1 / 10 + 8 / 32) * fold_means.var(ddof=1))
    expected = stats.t.interval(0.95, 9, loc=fold_means.mean(), scale=standard_error)
    assert [interval.lower, interval.upper] == pytest.approx(expected)


def test_a_better_model_has_a_positive_paired_difference_and_a_noise_model_has_not(rng: np.random.Generator) -> None:
    signal = rng.standard_normal(120)
    outcome = signal + 0.5 * rng.standard_normal(120)
    inputs = pd.DataFrame({"signal": signal, "noise": rng.standard_normal(120)})
    folds = stratified_folds(outcome, None, n_folds=10, rng=rng)[np.newaxis]
    constant = cross_validate(DummyRegressor(), inputs, outcome, folds)
    good = cross_validate(LinearRegression(), inputs[["signal"]], outcome, folds)
    noise = cross_validate(LinearRegression(), inputs[["noise"]], outcome, folds)
    assert compare(good, constant, seed=0).corrected_interval.lower > 0
    assert compare(good, constant, seed=0).bootstrap_interval.lower > 0
    assert compare(noise, constant, seed=0).corrected_interval.lower < 0


def test_models_on_other_folds_cannot_be_compared(rng: np.random.Generator) -> None:
    outcome = rng.standard_normal(20)
    first, second = (
        out_of_fold(outcome, np.zeros((1, 20)), stratified_folds(outcome, None, n_folds=k, rng=rng)[np.newaxis])
        for k in (4, 5)
    )
    with pytest.raises(ValueError, match="same folds"):
        compare(first, second, seed=0)


def test_the_interval_of_r_agrees_with_scipys_bootstrap(rng: np.random.Generator) -> None:
    outcome = rng.standard_normal(80)
    prediction = outcome * 0.5 + rng.standard_normal(80) * 0.6
    metrics = measure(out_of_fold(outcome, prediction[np.newaxis], leave_one_out(80)[np.newaxis]), seed=0)
    expected = stats.bootstrap(
        (outcome, prediction),
        lambda x, y: np.corrcoef(x, y)[0, 1],
        paired=True,
        vectorized=False,
        method="percentile",
        n_resamples=2000,
        rng=np.random.default_rng(5),
    ).confidence_interval
    assert metrics.pearson_r_interval is not None
    found = [metrics.pearson_r_interval.lower, metrics.pearson_r_interval.upper]
    assert found == pytest.approx([expected.low, expected.high], abs=0.02)
