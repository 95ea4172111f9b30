"""The general linear model of region signals."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.linalg import toeplitz

from predictor.errors import FeatureError
from predictor.features.region_glm import fit_region_glm
from predictor.features.task_design import DesignMatrix, cosine_drift

N_VOLUMES = 120
NO_DRIFT = np.empty((N_VOLUMES, 0))


@pytest.fixture
def design(rng: np.random.Generator) -> DesignMatrix:
    columns = np.column_stack([rng.standard_normal((N_VOLUMES, 3)), np.ones(N_VOLUMES)])
    return DesignMatrix(columns, ("faces", "control", "motion", "constant"))


def test_ordinary_least_squares_is_that_of_statsmodels(rng: np.random.Generator, design: DesignMatrix) -> None:
    bold, drift = rng.standard_normal((N_VOLUMES, 2)) + 5, cosine_drift(N_VOLUMES, 2.0, 128.0)
    model = fit_region_glm(bold, design, drift=drift)
    weights = design.weights({"faces": 1.0, "control": -1.0})
    found = model.contrast(weights)
    for region in range(2):
        peer = sm.OLS(bold[:, region], np.column_stack([design.columns, drift])).fit()
        test = peer.t_test(np.concatenate([weights, np.zeros(drift.shape[1])]))
        assert model.betas[:, region] == pytest.approx(peer.params[:4], rel=1e-9)
        assert found.t[region] == pytest.approx(float(test.tvalue.item()), rel=1e-9)
        assert found.degrees_of_freedom == peer.df_resid


def test_generalised_least_squares_is_that_of_statsmodels(rng: np.random.Generator, design: DesignMatrix) -> None:
    row = np.where(np.arange(N_VOLUMES) < 6, 0.3 ** np.arange(N_VOLUMES), 0.0)
    bold = rng.standard_normal((N_VOLUMES, 1))
    model = fit_region_glm(bold, design, drift=NO_DRIFT, covariance_row=row)
    peer = sm.GLS(bold[:, 0], design.columns, sigma=toeplitz(row)).fit()
    found = model.contrast(design.weights({"faces": 1.0}))
    assert model.betas[:, 0] == pytest.approx(peer.params, abs=1e-6)
    assert found.standard_error[0] == pytest.approx(peer.bse[0], rel=1e-5)


def test_columns_of_very_different_size_and_repeated_ones_do_no_harm(
    rng: np.random.Generator, design: DesignMatrix
) -> None:
    bold = rng.standard_normal((N_VOLUMES, 1))
    drift = cosine_drift(N_VOLUMES, 2.0, 128.0)
    extra = np.column_stack([1e6 * design.columns[:, 2], drift[:, 1] * 1e-3, np.zeros(N_VOLUMES)])
    wider = DesignMatrix(np.column_stack([design.columns, extra]), (*design.names, "large", "cosine", "empty"))
    plain, burdened = (fit_region_glm(bold, each, drift=drift) for each in (design, wider))
    weights = {"faces": 1.0, "control": -1.0}
    expected, found = plain.contrast(design.weights(weights)), burdened.contrast(wider.weights(weights))
    assert found.effect == pytest.approx(expected.effect, rel=1e-9)
    assert found.standard_error == pytest.approx(expected.standard_error, rel=1e-9)
    assert found.degrees_of_freedom == expected.degrees_of_freedom


def test_a_contrast_that_other_columns_explain_is_a_named_error(rng: np.random.Generator, design: DesignMatrix) -> None:
    twice = DesignMatrix(np.column_stack([design.columns, design.columns[:, 0]]), (*design.names, "again"))
    model = fit_region_glm(rng.standard_normal((N_VOLUMES, 1)), twice, drift=NO_DRIFT)
    with pytest.raises(FeatureError, match="cannot be estimated"):
        model.contrast(twice.weights({"faces": 1.0}))
    assert np.isfinite(model.contrast(twice.weights({"control": 1.0})).effect).all()


def test_a_condition_that_is_nothing_but_drift_is_a_named_error(rng: np.random.Generator) -> None:
    drift = cosine_drift(N_VOLUMES, 2.0, 128.0)
    slow = DesignMatrix(np.column_stack([drift[:, 0], np.ones(N_VOLUMES)]), ("faces", "constant"))
    model = fit_region_glm(rng.standard_normal((N_VOLUMES, 1)), slow, drift=drift)
    with pytest.raises(FeatureError, match="cannot be estimated"):
        model.contrast(slow.weights({"faces": 1.0}))


def test_more_regressors_than_volumes_is_a_named_error(rng: np.random.Generator) -> None:
    names = tuple(f"spike_{volume}" for volume in range(N_VOLUMES))
    with pytest.raises(FeatureError, match="too few"):
        fit_region_glm(rng.standard_normal((N_VOLUMES, 1)), DesignMatrix(np.eye(N_VOLUMES), names), drift=NO_DRIFT)


def test_functional_yields_the_effect_and_its_length_the_standard_error(
    rng: np.random.Generator, design: DesignMatrix
) -> None:
    bold, drift = rng.standard_normal((N_VOLUMES, 2)) + 5, cosine_drift(N_VOLUMES, 2.0, 128.0)
    model = fit_region_glm(bold, design, drift=drift)
    weights = design.weights({"faces": 1.0, "control": -1.0})
    functional, expected = model.functional(weights), model.contrast(weights)
    assert functional @ bold == pytest.approx(expected.effect, rel=1e-10)
    deviation = np.sqrt(functional @ functional * model.residual_variance)
    assert deviation == pytest.approx(expected.standard_error, rel=1e-10)
    assert functional @ drift == pytest.approx(np.zeros(drift.shape[1]), abs=1e-12)


def test_functional_of_a_whitened_fit_acts_on_the_signal_as_it_was_recorded(
    rng: np.random.Generator, design: DesignMatrix
) -> None:
    row = np.where(np.arange(N_VOLUMES) < 6, 0.3 ** np.arange(N_VOLUMES), 0.0)
    bold, drift = rng.standard_normal((N_VOLUMES, 2)) + 5, cosine_drift(N_VOLUMES, 2.0, 128.0)
    model = fit_region_glm(bold, design, drift=drift, covariance_row=row)
    weights = design.weights({"faces": 1.0, "control": -1.0})
    assert model.functional(weights) @ bold == pytest.approx(model.contrast(weights).effect, rel=1e-8)
