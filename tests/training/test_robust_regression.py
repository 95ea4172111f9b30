from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm

from predictor.errors import TrainingError
from training.evaluation.robust_regression import robust_regression


def test_coefficients_and_covariance_are_those_of_statsmodels(rng: np.random.Generator) -> None:
    terms, beside = rng.standard_normal((50, 2)), np.column_stack([np.ones(50), rng.standard_normal((50, 3))])
    outcome = terms @ [1.0, -2.0] + rng.standard_normal(50) * (1 + terms[:, 0] ** 2)
    found = robust_regression(terms, beside, outcome)
    peer = sm.OLS(outcome, np.column_stack([terms, beside])).fit(cov_type="HC3")
    assert found.coefficients == pytest.approx(peer.params[:2], rel=1e-9)
    assert found.covariance == pytest.approx(peer.cov_params()[:2, :2], rel=1e-9)
    assert found.degrees_of_freedom == peer.df_resid


def test_a_column_said_twice_beside_the_terms_is_counted_once(rng: np.random.Generator) -> None:
    terms, beside = rng.standard_normal((30, 1)), np.column_stack([np.ones(30), rng.standard_normal(30)])
    outcome = rng.standard_normal(30)
    once = robust_regression(terms, beside, outcome)
    twice = robust_regression(terms, np.column_stack([beside, 1e6 * beside[:, 1]]), outcome)
    assert twice.degrees_of_freedom == once.degrees_of_freedom
    assert twice.covariance == pytest.approx(once.covariance)


@pytest.mark.parametrize("terms", [np.ones((30, 1)), np.zeros((30, 1)), np.arange(30.0)[:, None] * [1.0, 2.0]])
def test_terms_that_cannot_be_told_apart_are_an_error(terms: np.ndarray, rng: np.random.Generator) -> None:
    with pytest.raises(TrainingError, match="cannot be estimated"):
        robust_regression(terms, np.ones((30, 1)), rng.standard_normal(30))


def test_with_groups_the_covariance_is_that_of_leaving_out_whole_groups(rng: np.random.Generator) -> None:
    groups = np.repeat(np.arange(15), [1, 2, 3, 4, 5] * 3)
    terms, beside = rng.standard_normal((45, 2)), np.column_stack([np.ones(45), rng.standard_normal(45)])
    outcome = terms @ [1.0, -2.0] + rng.standard_normal(15)[groups] + rng.standard_normal(45)
    found = robust_regression(terms, beside, outcome, groups=groups)
    columns, spread = np.column_stack([terms, beside]), np.zeros((2, 2))
    for group in range(15):
        kept = groups != group
        change = np.linalg.lstsq(columns[kept], outcome[kept])[0][:2] - found.coefficients
        spread += np.outer(change, change)
    assert found.covariance == pytest.approx(spread, rel=1e-9)
    assert found.degrees_of_freedom == 15 - 4
