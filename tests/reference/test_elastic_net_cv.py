"""The compiled elastic net against R's glmnet and cv.glmnet."""

from __future__ import annotations

import json

import numpy as np
import pytest

from training.evaluation.elastic_net_cv import (
    Columns,
    PenaltyGrid,
    elastic_net_path,
    nested_elastic_net,
    tune_elastic_net,
)
from training.evaluation.splits import leave_one_out

CASES = ("glmnet_n21p12", "glmnet_n21p60", "glmnet_n60p40")
GRIDS = {"owngrid": PenaltyGrid(), "fixedgrid": PenaltyGrid(shares_grid=True)}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest, spm_case):
    return spm_case(request.param)


@pytest.fixture(params=GRIDS)
def grid_name(request: pytest.FixtureRequest) -> str:
    return request.param


def columns_of(case) -> Columns:
    return Columns.of(case.matrix("X.csv"))


def outcome_of(case) -> np.ndarray:
    return case.table("y.csv")["y"].to_numpy(np.float64)


def test_the_whole_path_is_that_of_glmnet(case, share_of_largest) -> None:
    expected = case.table("out_tight_path.csv")
    found = elastic_net_path(columns_of(case), outcome_of(case))
    names = case.table("X.csv").columns
    assert found.penalties == pytest.approx(expected["lambda"].to_numpy(), rel=1e-9)  # and as many: it stops alike
    assert share_of_largest(found.coefficients.T, expected[list(names)]) < 1e-4
    assert found.intercepts == pytest.approx(expected["intercept"].to_numpy(), abs=1e-4)
    assert found.explained == pytest.approx(expected["dev_ratio"].to_numpy(), abs=1e-6)
    assert np.array_equal((found.coefficients != 0).sum(axis=0), expected["df"])


def test_cross_validated_errors_and_choices_are_those_of_cv_glmnet(case, grid_name: str) -> None:
    expected = case.table(f"out_tight_{grid_name}_cv.csv")
    info = json.loads((case.folder / "out_info.json").read_text())
    outcome = outcome_of(case)
    found = tune_elastic_net(columns_of(case), outcome, leave_one_out(len(outcome)), grid=GRIDS[grid_name])
    n_penalties = len(expected)
    assert found.mean_squared_error[0, :n_penalties] == pytest.approx(expected["cvm"].to_numpy(), rel=1e-4)
    assert np.isnan(found.mean_squared_error[0, n_penalties:]).all()
    assert found.standard_error[0, :n_penalties] == pytest.approx(expected["cvsd"].to_numpy(), rel=1e-4)
    assert found.best[1] == info[f"tight_{grid_name}_index_min0"]
    assert found.within_one_standard_error[1] == info[f"tight_{grid_name}_index_1se0"]
    assert found.penalties[found.best] == pytest.approx(info[f"tight_{grid_name}_lambda_min"], rel=1e-9)


def test_coefficients_at_the_chosen_penalties_are_those_of_cv_glmnet(case, grid_name: str, share_of_largest) -> None:
    expected = case.table(f"out_tight_{grid_name}_coef.csv")
    outcome = outcome_of(case)
    tuned = tune_elastic_net(columns_of(case), outcome, leave_one_out(len(outcome)), grid=GRIDS[grid_name])
    path = elastic_net_path(columns_of(case), outcome)
    for choice, column in ((tuned.best, "coef_lambda_min"), (tuned.within_one_standard_error, "coef_lambda_1se")):
        found = [path.intercepts[choice[1]], *path.coefficients[:, choice[1]]]
        assert share_of_largest(found, expected[column]) < 1e-3


def test_nested_leave_one_out_chooses_and_predicts_as_cv_glmnet(case, grid_name: str) -> None:
    expected = case.table(f"out_tight_{grid_name}_nested.csv")
    outcome = outcome_of(case)
    found = nested_elastic_net(columns_of(case), outcome, leave_one_out(len(outcome)), grid=GRIDS[grid_name])
    assert [c["alpha"] for c in found.choices] == pytest.approx(expected["lambda_min"].to_numpy(), rel=1e-9)
    assert [c["n_nonzero"] for c in found.choices] == list(expected["nonzero"])
    assert found.prediction[0] == pytest.approx(expected["pred_lambda_min"].to_numpy(), abs=1e-3 * outcome.std())


@pytest.mark.parametrize("name", ["glmnet_n21p12", "glmnet_n21p60"])
def test_what_users_get_from_glmnet_is_met_within_glmnets_own_error(spm_case, name: str) -> None:
    case = spm_case(name)
    expected = case.table("out_default_owngrid_nested.csv")
    outcome = outcome_of(case)
    found = nested_elastic_net(columns_of(case), outcome, leave_one_out(len(outcome)))
    assert found.prediction[0] == pytest.approx(expected["pred_lambda_min"].to_numpy(), abs=0.1 * outcome.std())
