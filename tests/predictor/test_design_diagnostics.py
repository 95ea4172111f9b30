"""Variance inflation and efficiency of designs."""

from __future__ import annotations

import numpy as np
import pytest
from statsmodels.stats.outliers_influence import variance_inflation_factor

from predictor.errors import FeatureError
from predictor.features.design_diagnostics import design_diagnostics
from predictor.features.task_activation import activation_design
from predictor.features.task_design import Condition, DesignMatrix, MicrotimeGrid, cosine_drift

GRID = MicrotimeGrid(160, 2.0)
DRIFT = cosine_drift(160, 2.0, 128.0)
CONTRAST = {"faces": 1.0, "control": -1.0}


def blocks(name: str, start_s: float, every_s: float = 60.0) -> Condition:
    onsets = np.arange(start_s, 290.0, every_s)
    return Condition(name, onsets, np.full(onsets.size, 20.0))


@pytest.fixture
def design(rng: np.random.Generator) -> DesignMatrix:
    motion = DesignMatrix(rng.standard_normal((160, 3)), ("trans_x", "trans_y", "trans_z"))
    return activation_design((blocks("faces", 10.0), blocks("control", 40.0)), GRID, confounds=motion)


def test_variance_inflation_is_that_of_statsmodels(design: DesignMatrix) -> None:
    found = design_diagnostics(design, ("faces", "control"), CONTRAST, drift=DRIFT)
    whole = np.column_stack([design.columns, DRIFT])
    for column, name in enumerate(("faces", "control")):
        assert found.variance_inflation[name] == pytest.approx(variance_inflation_factor(whole, column), rel=1e-8)


def test_efficiency_is_the_inverse_variance_of_the_estimate(design: DesignMatrix) -> None:
    found = design_diagnostics(design, ("faces", "control"), CONTRAST, drift=DRIFT)
    whole = np.column_stack([design.columns, DRIFT])
    covariance = np.linalg.inv(whole.T @ whole)
    weights = np.concatenate([design.weights(CONTRAST), np.zeros(DRIFT.shape[1])])
    assert found.efficiency["faces"] == pytest.approx(1 / covariance[0, 0], rel=1e-8)
    assert found.efficiency["contrast"] == pytest.approx(1 / (weights @ covariance @ weights), rel=1e-8)


def test_conditions_that_follow_each_other_without_rest_inflate_each_other() -> None:
    apart = activation_design((blocks("faces", 10.0), blocks("control", 40.0)), GRID)
    packed = activation_design((blocks("faces", 0.0, 40.0), blocks("control", 20.0, 40.0)), GRID)
    loose, tight = (design_diagnostics(each, CONTRAST, CONTRAST, drift=DRIFT) for each in (apart, packed))
    assert tight.variance_inflation["faces"] > 3 * loose.variance_inflation["faces"]
    # The contrast does not suffer from that: what both lack is rest.
    assert tight.efficiency["contrast"] > 0.5 * loose.efficiency["contrast"]


def test_a_regressor_that_the_others_explain_has_no_number(design: DesignMatrix) -> None:
    twice = DesignMatrix(np.column_stack([design.columns, 2 * design.columns[:, 0]]), (*design.names, "copy"))
    found = design_diagnostics(twice, ("faces", "control"), CONTRAST, drift=DRIFT)
    assert found.variance_inflation["faces"] is None
    assert found.efficiency["faces"] is None
    assert found.efficiency["contrast"] is None
    assert found.variance_inflation["control"] is not None


def test_a_contrast_with_a_condition_that_was_not_modelled_has_no_number(design: DesignMatrix) -> None:
    found = design_diagnostics(design, ("faces",), {"faces": 1.0, "shapes": -1.0}, drift=DRIFT)
    assert found.efficiency["contrast"] is None
    assert found.efficiency["faces"] is not None


def test_a_column_that_the_design_lacks_is_a_named_error(design: DesignMatrix) -> None:
    with pytest.raises(FeatureError, match="no column shapes"):
        design_diagnostics(design, ("shapes",), CONTRAST, drift=DRIFT)
