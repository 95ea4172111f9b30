from __future__ import annotations

from functools import partialmethod

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.preprocessing import StandardScaler

from predictor.errors import TrainingError
from predictor.model.outcome_definition import Covariate
from predictor.model.response_design import ResponseDesign, covariate_column_names
from training.evaluation import elastic_net_cv
from training.evaluation.elastic_net_cv import (
    Columns,
    PenaltyGrid,
    elastic_net_path,
    nested_elastic_net,
    permute_elastic_net,
    tune_elastic_net,
)
from training.evaluation.metrics import r2_against_training_mean
from training.evaluation.nested_cv import cross_validate
from training.evaluation.permutation import permutation_test
from training.evaluation.splits import PartitionMaker, leave_one_out, stratified_folds
from training.models.estimators import TunedElasticNet
from training.models.penalised_regression import PathProblem

OURS = PenaltyGrid(l1_ratios=(0.2, 0.8), n_penalties=20, smallest_fraction=0.05, stops_early=False, shares_grid=True)


def correlated(rng: np.random.Generator, *, n_people: int, n_columns: int) -> tuple[np.ndarray, np.ndarray]:
    X = rng.standard_normal((n_people, 3)) @ rng.standard_normal((3, n_columns))
    X += 0.7 * rng.standard_normal(X.shape)
    return X * rng.uniform(0.1, 9, n_columns) + 5, X[:, 0] - X[:, 1] + rng.standard_normal(n_people)


@pytest.mark.parametrize("n_columns", [7, 300], ids=["few columns", "many columns"])
@pytest.mark.parametrize("l1_ratio", [0.0, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("unpenalised", [(), (2, 6)])
def test_the_path_is_that_of_the_existing_solver(
    rng: np.random.Generator, n_columns: int, l1_ratio: float, unpenalised: tuple[int, ...]
) -> None:
    X, outcome = correlated(rng, n_people=30, n_columns=n_columns)
    X = StandardScaler().fit_transform(X) * rng.uniform(0.5, 2, n_columns)
    problem = PathProblem(X, outcome, unpenalised=unpenalised)
    penalties = problem.largest_alpha(l1_ratio) * np.geomspace(1.5, 0.05, 12)
    expected, intercepts = problem.solve(penalties, l1_ratio=l1_ratio, tolerance=1e-12)
    found = elastic_net_path(
        Columns.of(X, unpenalised=unpenalised, standardise=False),
        outcome,
        penalties=penalties,
        grid=PenaltyGrid((l1_ratio,)),
    )
    assert found.coefficients == pytest.approx(expected, abs=1e-5 * np.abs(expected).max())
    assert found.intercepts == pytest.approx(intercepts, abs=1e-5 * outcome.std())


@pytest.mark.parametrize("l1_ratio", [0.05, 0.5, 1.0])
@pytest.mark.parametrize(("n_people", "n_columns"), [(20, 12), (20, 70), (15, 400), (80, 30)])
def test_every_solution_of_a_path_is_optimal(
    rng: np.random.Generator, n_people: int, n_columns: int, l1_ratio: float
) -> None:
    X, outcome = correlated(rng, n_people=n_people, n_columns=n_columns)
    X[:, 5] = X[:, 4]  # equal columns
    path = elastic_net_path(Columns.of(X), outcome, grid=PenaltyGrid((l1_ratio,), n_penalties=40))
    standardised = StandardScaler().fit_transform(X)
    scaled = path.coefficients * X.std(axis=0)[:, np.newaxis] / outcome.std()
    for penalty, b in zip(path.penalties / outcome.std(), scaled.T, strict=True):
        residual = (outcome - outcome.mean()) / outcome.std() - standardised @ b
        gradient = standardised.T @ residual / n_people - penalty * (1 - l1_ratio) * b
        assert np.abs(gradient).max() <= penalty * l1_ratio + 1e-8
        assert gradient[b != 0] == pytest.approx(penalty * l1_ratio * np.sign(b[b != 0]), abs=1e-8)


def test_both_ways_of_keeping_a_training_set_give_the_same(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    X, outcome = correlated(rng, n_people=24, n_columns=40)
    X[:, 3] = np.arange(24) == 7  # without this person the column is constant
    X[:, 4] = (np.arange(24) == 9) * 1e6 + X[:, 4]  # without this person nearly all of its variance is gone
    columns, folds = Columns.of(X, unpenalised=(0, 3)), leave_one_out(24)
    found = nested_elastic_net(columns, outcome, folds, grid=OURS)
    monkeypatch.setattr(elastic_net_cv, "WIDE_COLUMNS_PER_PERSON", 0)
    other = nested_elastic_net(columns, outcome, folds, grid=OURS)
    assert other.prediction == pytest.approx(found.prediction, abs=1e-7)
    assert [c["alpha"] for c in other.choices] == pytest.approx([c["alpha"] for c in found.choices], rel=1e-9)


@pytest.fixture
def patient_solver(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the slow way, which stops early while it tunes and may then choose a neighbour; here it may not."""
    monkeypatch.setattr(TunedElasticNet, "compiled_problem", lambda self, X: None)
    monkeypatch.setattr(PathProblem, "solve", partialmethod(PathProblem.solve, tolerance=1e-12))


@pytest.mark.usefixtures("patient_solver")
def test_nested_folds_choose_and_predict_as_the_existing_estimator(rng: np.random.Generator) -> None:
    X, outcome = correlated(rng, n_people=40, n_columns=12)
    inputs = pd.DataFrame(X).rename(columns="x{}".format)
    scaler = StandardScaler().set_output(transform="default")
    estimator = TunedElasticNet(scaler, unpenalised=("x1", "x4"), inner_folds=4, random_state=5)
    folds = stratified_folds(outcome, None, n_folds=5, rng=rng)
    expected = cross_validate(estimator, inputs, outcome, folds[np.newaxis])
    found = nested_elastic_net(
        Columns.of(X, unpenalised=(1, 4)),
        outcome,
        folds,
        inner_folds=lambda y, rows: stratified_folds(y, None, n_folds=4, rng=np.random.default_rng(5)),
        grid=OURS,
    )
    assert [c["alpha"] for c in found.choices] == pytest.approx([c["alpha"] for c in expected.choices], rel=1e-9)
    assert [c["n_nonzero"] for c in found.choices] == [c["n_nonzero"] for c in expected.choices]
    assert found.prediction == pytest.approx(expected.prediction, abs=1e-5)
    assert found.training_mean == pytest.approx(expected.training_mean)


@pytest.mark.usefixtures("patient_solver")
def test_interactions_are_divided_as_the_design_divides_them(rng: np.random.Generator) -> None:
    features, outcome = correlated(rng, n_people=36, n_columns=5)
    arms = np.where(np.arange(36) % 2, "ketamine", "midazolam")
    inputs = pd.DataFrame(features, columns=[*"abcde"]).assign(arm=arms)
    covariates = (Covariate("arm", "category", ("ketamine", "midazolam"), "arm"),)
    estimator = TunedElasticNet(
        ResponseDesign(covariates=covariates),
        unpenalised=covariate_column_names(covariates),
        inner_folds="leave_one_out",
    )
    folds = stratified_folds(outcome, arms, n_folds=4, rng=rng)
    expected = cross_validate(estimator, inputs, outcome, folds[np.newaxis])
    arm = np.where(arms == "ketamine", 0.5, -0.5)[:, np.newaxis]
    columns = Columns.of(
        np.hstack([features, arm, features * arm]), unpenalised=(5,), scale_like=[0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4]
    )
    found = nested_elastic_net(columns, outcome, folds, grid=OURS)
    assert [c["alpha"] for c in found.choices] == pytest.approx([c["alpha"] for c in expected.choices], rel=1e-9)
    assert found.prediction == pytest.approx(expected.prediction, abs=1e-4)


@pytest.mark.usefixtures("patient_solver")
@pytest.mark.parametrize("n_columns", [5, 150])
def test_missing_values_take_the_median_of_every_training_set(rng: np.random.Generator, n_columns: int) -> None:
    X, outcome = correlated(rng, n_people=24, n_columns=n_columns)
    X[rng.random(X.shape) < 0.1] = np.nan
    estimator = TunedElasticNet(ResponseDesign(), inner_folds="leave_one_out")
    folds = np.arange(24) % 3
    inputs = pd.DataFrame(X).rename(columns="x{}".format)
    expected = cross_validate(estimator, inputs, outcome, folds[np.newaxis])
    found = nested_elastic_net(Columns.of(X), outcome, folds, grid=OURS)
    assert [c["alpha"] for c in found.choices] == pytest.approx([c["alpha"] for c in expected.choices], rel=1e-9)
    assert found.prediction == pytest.approx(expected.prediction, abs=1e-4)


@pytest.mark.usefixtures("patient_solver")
def test_permutations_are_those_of_the_general_test_whatever_the_number_of_threads(rng: np.random.Generator) -> None:
    X, outcome = correlated(rng, n_people=16, n_columns=4)
    strata = ["a", "b"] * 8
    estimator = TunedElasticNet(StandardScaler(), inner_folds="leave_one_out")
    common = {"strata": strata, "observed_r2": 0.1, "n_permutations": 3, "seed": 4}
    partition = PartitionMaker(None, 4)
    expected = permutation_test(estimator, pd.DataFrame(X), outcome, make_partition=partition, **common)
    one, two = (
        permute_elastic_net(Columns.of(X), outcome, make_partition=partition, grid=OURS, n_jobs=n, **common)
        for n in (1, 2)
    )
    assert one.null_r2 == pytest.approx(expected.null_r2, abs=1e-4)
    assert np.array_equal(one.null_r2, two.null_r2)
    assert one.p_value == expected.p_value


def test_held_out_people_leave_no_trace_in_what_others_are_predicted_by(rng: np.random.Generator) -> None:
    X, outcome = correlated(rng, n_people=20, n_columns=6)
    folds = np.arange(20) % 5
    sound = nested_elastic_net(Columns.of(X), outcome, folds, grid=OURS)
    bad_X, bad_outcome = X.copy(), outcome.copy()
    bad_X[folds == 2], bad_outcome[folds == 2] = 1e12, -1e12
    poisoned = nested_elastic_net(Columns.of(bad_X), bad_outcome, folds, grid=OURS)
    assert sound.choices[2] == poisoned.choices[2]  # bit for bit
    assert sound.choices[1] != poisoned.choices[1]
    assert np.array_equal(sound.training_mean[0, folds == 2], poisoned.training_mean[0, folds == 2])


def test_on_noise_nothing_is_gained_and_on_signal_much(rng: np.random.Generator) -> None:
    X, folds = rng.standard_normal((60, 20)), np.arange(60) % 6
    noise, signal = rng.standard_normal(60), 2 * X[:, 3] + rng.standard_normal(60)
    assert r2_against_training_mean(nested_elastic_net(Columns.of(X), noise, folds)) < 0.1
    assert r2_against_training_mean(nested_elastic_net(Columns.of(X), signal, folds)) > 0.6


def test_the_outcomes_unit_does_not_matter(rng: np.random.Generator) -> None:
    X, outcome = correlated(rng, n_people=20, n_columns=6)
    points = nested_elastic_net(Columns.of(X), outcome, leave_one_out(20))
    percent = nested_elastic_net(Columns.of(X), outcome * 100 + 7, leave_one_out(20))
    assert percent.prediction == pytest.approx(points.prediction * 100 + 7, abs=1e-6)


@pytest.mark.parametrize("n_columns", [4, 200])
def test_what_covariates_explain_leaves_nothing_to_features(rng: np.random.Generator, n_columns: int) -> None:
    X, _ = correlated(rng, n_people=20, n_columns=n_columns)
    outcome = 3 * X[:, 1] + 1
    path = elastic_net_path(Columns.of(X, unpenalised=(1,)), outcome)
    expected = LinearRegression().fit(X[:, [1]], outcome)
    assert not np.delete(path.coefficients, 1, axis=0).any()
    assert path.coefficients[1, -1] == pytest.approx(expected.coef_[0])
    constant = nested_elastic_net(Columns.of(X), np.full(20, 4.0), leave_one_out(20), grid=OURS)
    assert constant.prediction == pytest.approx(np.full((1, 20), 4.0))


def test_the_simplest_model_within_one_standard_error_is_no_smaller_a_penalty(rng: np.random.Generator) -> None:
    X, outcome = correlated(rng, n_people=30, n_columns=8)
    tuned = tune_elastic_net(Columns.of(X), outcome, leave_one_out(30), grid=PenaltyGrid((0.2, 0.8)))
    (ratio, best), (same_ratio, simplest) = tuned.best, tuned.within_one_standard_error
    assert ratio == same_ratio
    assert simplest <= best
    limit = tuned.mean_squared_error[ratio, best] + tuned.standard_error[ratio, best]
    assert tuned.mean_squared_error[ratio, simplest] <= limit


def test_what_cannot_be_used_is_named(rng: np.random.Generator) -> None:
    X, outcome = correlated(rng, n_people=10, n_columns=3)
    with pytest.raises(TrainingError, match="row 4, column 2"):
        Columns.of(np.where(np.arange(30).reshape(10, 3) == 14, np.inf, X))
    with pytest.raises(TrainingError, match="2 in column 1"):
        Columns.of(np.where((np.arange(10)[:, np.newaxis] > 1) & (np.arange(3) == 1), np.nan, X))
    with pytest.raises(TrainingError, match="row 4, column 2"):
        Columns.of(np.where(np.arange(30).reshape(10, 3) == 14, np.nan, X), scale_like=[0, 1, 0])
    with pytest.raises(TrainingError, match=r"shape \(9,\)"):
        tune_elastic_net(Columns.of(X), outcome[:9], leave_one_out(10))
    with pytest.raises(TrainingError, match="row 3"):
        tune_elastic_net(Columns.of(X), np.where(np.arange(10) == 3, np.inf, outcome), leave_one_out(10))
    with pytest.raises(TrainingError, match="1 folds"):
        tune_elastic_net(Columns.of(X), outcome, np.zeros(10, dtype=np.intp))
    with pytest.raises(TrainingError, match="l1 ratios"):
        PenaltyGrid((1.5,))
    with pytest.raises(TrainingError, match="decreasing"):
        elastic_net_path(Columns.of(X), outcome, penalties=[0.1, 0.2])
    with pytest.raises(TrainingError, match="nothing can be permuted"):
        permute_elastic_net(
            Columns.of(X), np.ones(10), make_partition=PartitionMaker(None, 5), observed_r2=0, n_permutations=1, seed=0
        )
