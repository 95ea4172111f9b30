from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import ElasticNet, LinearRegression, Ridge
from sklearn.preprocessing import StandardScaler

from training.models.penalised_regression import PathProblem, PenalisedRegression


@pytest.fixture
def columns(rng: np.random.Generator) -> np.ndarray:
    return StandardScaler().fit_transform(rng.standard_normal((50, 7)) @ rng.standard_normal((7, 7)))


def test_the_whole_path_is_that_of_r_glmnet(shared: Path) -> None:
    for case in ("glmnet_n21p12", "glmnet_n21p60", "glmnet_n60p40"):
        folder = shared / "reference" / case
        inputs = pd.read_csv(folder / "X.csv")
        outcome = pd.read_csv(folder / "y.csv")["y"].to_numpy()
        path = pd.read_csv(folder / "out_tight_path.csv")
        problem = PathProblem(StandardScaler().fit_transform(inputs), outcome)
        coefficients, _ = problem.solve(path["lambda"].to_numpy(), l1_ratio=0.5, tolerance=1e-12)
        expected = path[list(inputs.columns)].to_numpy().T * inputs.std(ddof=0).to_numpy()[:, np.newaxis]
        assert problem.largest_alpha(0.5) == pytest.approx(path["lambda"][0], rel=1e-9)
        assert coefficients == pytest.approx(expected, abs=1e-4 * np.abs(expected).max())


def test_without_unpenalised_columns_it_is_scikit_learns_elastic_net(
    rng: np.random.Generator, columns: np.ndarray
) -> None:
    outcome = columns[:, 0] + rng.standard_normal(50)
    outcome = (outcome - outcome.mean()) / outcome.std() + 3
    ours = PenalisedRegression(alpha=0.1, l1_ratio=0.3).fit(columns, outcome)
    theirs = ElasticNet(alpha=0.1, l1_ratio=0.3, tol=1e-12).fit(columns, outcome)
    assert ours.coef_ == pytest.approx(theirs.coef_, abs=1e-6)
    assert ours.intercept_ == pytest.approx(theirs.intercept_, abs=1e-6)


def test_ridge_is_scikit_learns_ridge(rng: np.random.Generator, columns: np.ndarray) -> None:
    outcome = columns[:, 0] * 5 + rng.standard_normal(50)
    ours = PenalisedRegression(alpha=0.7, l1_ratio=0.0).fit(columns, outcome)
    # glmnet divides the ridge penalty by the outcome's standard deviation, and the loss by n
    theirs = Ridge(alpha=50 * 0.7 / outcome.std()).fit(columns, outcome)
    assert ours.coef_ == pytest.approx(theirs.coef_, abs=1e-9)


def test_unpenalised_columns_get_the_joint_optimum(rng: np.random.Generator, columns: np.ndarray) -> None:
    outcome = columns[:, 0] + 2 * columns[:, 6] + rng.standard_normal(50)
    model = PenalisedRegression(alpha=0.3, l1_ratio=0.6, unpenalised=(6,), tolerance=1e-12).fit(columns, outcome)
    residual = outcome - model.predict(columns)
    scale = PathProblem(columns, outcome, unpenalised=(6,)).scale
    gradient = columns.T @ residual / 50 - 0.3 / scale * 0.4 * model.coef_
    active = (model.coef_ != 0) & (np.arange(7) != 6)
    # Karush-Kuhn-Tucker: no gradient left where nothing is penalised, the l1 bound met where coefficients are active
    assert residual.mean() == pytest.approx(0, abs=1e-9)
    assert residual @ columns[:, 6] == pytest.approx(0, abs=1e-8)
    assert active.any()
    assert gradient[active] == pytest.approx(0.3 * 0.6 * np.sign(model.coef_[active]), abs=1e-6)
    assert (np.abs(gradient[(model.coef_ == 0)]) <= 0.3 * 0.6 + 1e-9).all()


def test_at_the_largest_penalty_only_least_squares_of_the_covariates_is_left(
    rng: np.random.Generator, columns: np.ndarray
) -> None:
    outcome = columns[:, 0] + columns[:, 6] + rng.standard_normal(50)
    largest = PathProblem(columns, outcome, unpenalised=(6,)).largest_alpha(0.5)
    model = PenalisedRegression(alpha=largest * 1.0001, l1_ratio=0.5, unpenalised=(6,)).fit(columns, outcome)
    expected = LinearRegression().fit(columns[:, [6]], outcome)
    assert not model.coef_[:6].any()
    assert model.coef_[6] == pytest.approx(expected.coef_[0])
    assert model.intercept_ == pytest.approx(expected.intercept_)


def test_the_choice_between_penalties_does_not_depend_on_the_outcomes_unit(
    rng: np.random.Generator, columns: np.ndarray
) -> None:
    outcome = columns[:, 0] + rng.standard_normal(50)
    points = PenalisedRegression(alpha=0.2, l1_ratio=0.5).fit(columns, outcome)
    percent = PenalisedRegression(alpha=20.0, l1_ratio=0.5).fit(columns, outcome * 100)
    assert percent.coef_ == pytest.approx(points.coef_ * 100, abs=1e-5)


def test_a_constant_covariate_and_an_explained_outcome_do_no_harm(columns: np.ndarray) -> None:
    constant = np.column_stack([columns, np.zeros(50)])
    model = PenalisedRegression(alpha=0.1, unpenalised=(6, 7)).fit(constant, columns[:, 6] * 3 + 1)
    assert model.predict(constant) == pytest.approx(columns[:, 6] * 3 + 1)
    assert not model.coef_[:6].any()
