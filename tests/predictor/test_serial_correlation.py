"""Noise covariance."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import toeplitz
from scipy.signal import lfilter

from predictor.errors import FeatureError
from predictor.features.serial_correlation import covariance_components, inverse_square_root, reml_covariance


def autoregressive(rng: np.random.Generator, coefficient: float, n_volumes: int, n_regions: int):
    innovations = rng.standard_normal((n_volumes + 100, n_regions))
    return lfilter([1.0], [1.0, -coefficient], innovations, axis=0)[100:]


def restricted_log_likelihood(row, bold, design) -> float:
    """Textbook form, dense: independent of the banded one under test."""
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
