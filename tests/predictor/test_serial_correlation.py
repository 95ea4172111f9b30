"""Noise covariance."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import toeplitz
from scipy.signal import lfilter

from predictor.errors import FeatureError
from predictor.features.serial_correlation import (
    NoiseEstimate,
    ar1_noise,
    covariance_components,
    inverse_square_root,
    reml_covariance,
    reml_noise,
)


def autoregressive(rng: np.random.Generator, coefficient: float, n_volumes: int, n_regions: int):
    innovations = rng.standard_normal((n_volumes + 100, n_regions))
    return lfilter([1.0], [1.0, -coefficient], innovations, axis=0)[100:]


def restricted_log_likelihood(row, bold, design) -> float:
    """Textbook form, dense: independent of the one under test."""
    covariance = toeplitz(row)
    inverse = np.linalg.inv(covariance)
    information = design.T @ inverse @ design
    projector = inverse - inverse @ design @ np.linalg.inv(information) @ design.T @ inverse
    free = bold.size - design.shape[1]
    return -0.5 * (
        free * np.log(bold @ projector @ bold) + np.linalg.slogdet(covariance)[1] + np.linalg.slogdet(information)[1]
    )


def test_estimate_maximises_the_restricted_likelihood(rng: np.random.Generator) -> None:
    n_volumes = 120
    design = np.column_stack([np.ones(n_volumes), rng.standard_normal((n_volumes, 3))])
    bold = autoregressive(rng, 0.4, n_volumes, 1)
    found = reml_covariance(bold, design)
    minus, plus = covariance_components(n_volumes)
    change = (plus - minus) / 2
    best = restricted_log_likelihood(found, bold[:, 0], design)
    for step in (-0.02, 0.02):
        assert restricted_log_likelihood(found + step * change, bold[:, 0], design) < best


@pytest.mark.parametrize("coefficient", [0.0, 0.2, 0.4])
def test_lag_one_follows_the_noise(rng: np.random.Generator, coefficient: float) -> None:
    bold = autoregressive(rng, coefficient, 400, 8)
    row = reml_covariance(bold, np.ones((400, 1)))
    assert row[0] == 1.0
    # The components are exact at .2 only; elsewhere the later lags, which they tie to the first, pull it by some .05.
    assert row[1] == pytest.approx(coefficient, abs=0.07)


def test_noise_of_any_colour_gives_a_covariance_that_can_be_inverted(rng: np.random.Generator) -> None:
    for bold in (np.cumsum(rng.standard_normal((200, 1)), axis=0), np.diff(rng.standard_normal((201, 1)), axis=0)):
        row = reml_covariance(bold, np.ones((200, 1)))
        whitening = inverse_square_root(row)
        assert whitening @ toeplitz(row) @ whitening == pytest.approx(np.eye(200), abs=1e-3)


def test_repeated_columns_of_the_design_change_nothing(rng: np.random.Generator) -> None:
    bold = autoregressive(rng, 0.3, 150, 1)
    design = np.column_stack([np.ones(150), rng.standard_normal((150, 4))])
    repeated = np.column_stack([design, 1e4 * design[:, 2], np.zeros(150)])
    assert reml_covariance(bold, repeated) == pytest.approx(reml_covariance(bold, design), abs=1e-6)


def test_a_constant_signal_is_a_named_error() -> None:
    with pytest.raises(FeatureError, match="noise cannot be estimated"):
        reml_covariance(np.full((50, 1), 7.0), np.ones((50, 1)))


def test_each_region_of_several_is_estimated_as_it_would_be_alone(rng: np.random.Generator) -> None:
    design = np.column_stack([np.ones(150), rng.standard_normal((150, 3))])
    bold = autoregressive(rng, 0.4, 150, 3)
    for estimate in (reml_noise, ar1_noise):
        together = estimate(bold, design)
        for region in range(3):
            alone = estimate(bold[:, [region]], design)
            assert together.correlation_rows[region] == pytest.approx(alone.correlation_rows[0], abs=1e-9)
            assert together.variance[region] == pytest.approx(alone.variance[0], rel=1e-9)
    expected = reml_covariance(bold[:, [1]], design)
    assert reml_noise(bold, design).correlation_rows[1] == pytest.approx(expected, abs=1e-6)


def test_autoregression_maximises_the_restricted_likelihood(rng: np.random.Generator) -> None:
    design = np.column_stack([np.ones(120), rng.standard_normal((120, 3))])
    for coefficient in (-0.2, 0.3, 0.85):
        bold = autoregressive(rng, coefficient, 120, 1)
        row = ar1_noise(bold, design).correlation_rows[0]
        best = restricted_log_likelihood(row, bold[:, 0], design)
        for step in (-0.01, 0.01):
            other = (row[1] + step) ** np.arange(120)
            assert restricted_log_likelihood(other, bold[:, 0], design) < best


@pytest.mark.parametrize("coefficient", [0.0, 0.3, 0.6, 0.9])
def test_autoregression_and_its_variance_are_recovered(rng: np.random.Generator, coefficient: float) -> None:
    noise = ar1_noise(autoregressive(rng, coefficient, 600, 12), np.ones((600, 1)))
    assert noise.correlation_rows[:, 1].mean() == pytest.approx(coefficient, abs=0.03)
    assert noise.variance.mean() == pytest.approx(1 / (1 - coefficient**2), rel=0.12)


def test_many_regressors_do_not_hide_the_autoregression(rng: np.random.Generator) -> None:
    bold = autoregressive(rng, 0.5, 200, 20)
    design = np.column_stack([np.ones(200), rng.standard_normal((200, 40))])
    found = ar1_noise(bold, design).correlation_rows[:, 1].mean()
    assert found == pytest.approx(0.5, abs=0.05)
    residuals = bold - design @ np.linalg.lstsq(design, bold)[0]
    naive = np.mean([np.corrcoef(column[1:], column[:-1])[0, 1] for column in residuals.T])
    assert abs(naive - 0.5) > abs(found - 0.5)


def test_variance_of_a_weighted_sum_is_that_of_the_full_matrix(rng: np.random.Generator) -> None:
    row, weights = 0.6 ** np.arange(80), rng.standard_normal(80)
    noise = NoiseEstimate(row[None], np.array([2.5]))
    assert noise.variance_of(weights)[0] == pytest.approx(2.5 * weights @ toeplitz(row) @ weights, rel=1e-10)


@pytest.mark.parametrize("n_volumes", [1, 2, 7, 60, 61])
def test_whitening_is_the_inverse_square_root_of_the_covariance(n_volumes: int) -> None:
    row = np.where(np.arange(n_volumes) < 6, 0.4 ** np.arange(n_volumes), 0.0)
    variances, directions = np.linalg.eigh(toeplitz(row))
    expected = (directions / np.sqrt(variances)) @ directions.T
    assert inverse_square_root(row) == pytest.approx(expected, abs=1.1e-6)


def test_a_covariance_that_is_none_is_a_named_error() -> None:
    with pytest.raises(FeatureError, match="not positive definite"):
        inverse_square_root(np.array([1.0, 0.9, -0.9, 0.9]))


@pytest.mark.parametrize("estimate", [reml_noise, reml_covariance, ar1_noise])
def test_a_design_that_leaves_nothing_is_a_named_error(rng: np.random.Generator, estimate) -> None:
    with pytest.raises(FeatureError, match="too few"):
        estimate(rng.standard_normal((30, 2)), np.eye(30))
    with pytest.raises(FeatureError, match="noise cannot be estimated"):
        estimate(np.column_stack([rng.standard_normal(30), np.full(30, 7.0)]), np.ones((30, 1)))
