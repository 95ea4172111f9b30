"""Contrasts of conditions."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import lfilter

from predictor.errors import FeatureError
from predictor.features.hrf import ResponseModel
from predictor.features.task_activation import activation_contrast, activation_design, activation_estimates
from predictor.features.task_design import Condition, DesignMatrix, MicrotimeGrid, cosine_drift

GRID = MicrotimeGrid(160, 2.0)
DRIFT = cosine_drift(160, 2.0, 128.0)
CONDITIONS = tuple(
    Condition(name, np.arange(start, 290.0, 60.0), np.full(len(np.arange(start, 290.0, 60.0)), 20.0))
    for name, start in (("faces", 10.0), ("control", 40.0))
)
FACES_BEYOND_CONTROL = {"faces": 1.0, "control": -1.0}


def noise(rng: np.random.Generator, n_regions: int, coefficient: float = 0.4):
    return lfilter([1.0], [1.0, -coefficient], rng.standard_normal((260, n_regions)), axis=0)[100:]


def test_recovers_planted_responses_in_the_unit_of_the_signal(rng: np.random.Generator) -> None:
    design = activation_design(CONDITIONS, GRID)
    planted = np.array([[1.5, 0.5], [0.2, 0.2], [-1.0, 0.0]])  # region x condition
    bold = design.columns[:, :2] @ planted.T + 0.1 * noise(rng, 3) + 5 * DRIFT[:, [0]]
    found = activation_contrast(bold, design, FACES_BEYOND_CONTROL, drift=DRIFT)
    assert found.effect == pytest.approx([1.0, 0.0, -1.0], abs=0.1)
    assert abs(found.t[0]) > 10
    assert abs(found.t[1]) < 4


def test_false_positives_are_held_in_correlated_noise(rng: np.random.Generator) -> None:
    design = activation_design(CONDITIONS, GRID)
    found = activation_contrast(noise(rng, 150), design, FACES_BEYOND_CONTROL, drift=DRIFT)
    # 150 draws at .05: 7.5 expected, standard deviation 2.7.
    assert np.count_nonzero(np.abs(found.t) > 1.976) <= 15


def test_a_region_does_not_depend_on_the_others(rng: np.random.Generator) -> None:
    design, bold = activation_design(CONDITIONS, GRID), noise(rng, 3)
    together = activation_contrast(bold, design, FACES_BEYOND_CONTROL, drift=DRIFT)
    alone = activation_contrast(bold[:, [1]], design, FACES_BEYOND_CONTROL, drift=DRIFT)
    assert together.effect[1] == pytest.approx(alone.effect[0], rel=1e-9)


def test_confounds_in_the_design_take_their_share(rng: np.random.Generator) -> None:
    motion = DesignMatrix(noise(rng, 1), ("trans_x",))
    design = activation_design(CONDITIONS, GRID, confounds=motion)
    bold = design.columns[:, [0]] + 20 * motion.columns + 0.01 * noise(rng, 1)
    found = activation_contrast(bold, design, FACES_BEYOND_CONTROL, drift=DRIFT)
    assert found.effect[0] == pytest.approx(1.0, abs=0.02)


def test_a_condition_that_is_not_modelled_is_a_named_error(rng: np.random.Generator) -> None:
    design = activation_design(CONDITIONS[:1], GRID)
    with pytest.raises(FeatureError, match="no column control"):
        activation_contrast(noise(rng, 1), design, FACES_BEYOND_CONTROL, drift=DRIFT)


@pytest.mark.parametrize("coefficient", [0.2, 0.4, 0.6, 0.8])
def test_standard_error_matches_the_spread_over_runs_in_fast_and_slow_noise(
    rng: np.random.Generator, coefficient: float
) -> None:
    design, n_runs = activation_design(CONDITIONS, GRID), 160
    found = activation_estimates(noise(rng, n_runs, coefficient), design, FACES_BEYOND_CONTROL, drift=DRIFT)
    # 160 runs know their spread to 6 %.
    assert found.standard_error.mean() == pytest.approx(found.effect.std(ddof=1), rel=0.15)
    n_false = np.count_nonzero(np.abs(found.effect / found.standard_error) > 1.976)
    # 8 of 160 expected; 99 % of fair tests have at most 15.
    assert n_false <= 15


def test_estimates_are_the_effects_of_the_contrast(rng: np.random.Generator) -> None:
    design, bold = activation_design(CONDITIONS, GRID), 3 + noise(rng, 4, 0.2)
    expected = activation_contrast(bold, design, FACES_BEYOND_CONTROL, drift=DRIFT)
    found = activation_estimates(bold, design, FACES_BEYOND_CONTROL, drift=DRIFT)
    assert found.effect == pytest.approx(expected.effect, rel=1e-6)
    # Where the noise is what the fit supposes, both standard errors say the same.
    assert found.standard_error == pytest.approx(expected.standard_error, rel=0.15)


def test_derivatives_leave_the_contrast_on_the_response_itself(rng: np.random.Generator) -> None:
    plain = activation_design(CONDITIONS, GRID)
    wider = activation_design(CONDITIONS, GRID, response=ResponseModel(n_derivatives=2))
    assert wider.names[:2] == ("faces", "control")
    assert len(wider.names) == len(plain.names) + 4
    bold = plain.columns[:, :2] @ np.array([[1.5], [0.5]]) + 0.05 * noise(rng, 1)
    found = activation_contrast(bold, wider, FACES_BEYOND_CONTROL, drift=DRIFT)
    assert found.effect[0] == pytest.approx(1.0, abs=0.1)


def test_a_confound_that_is_a_condition_is_a_named_error(rng: np.random.Generator) -> None:
    plain = activation_design(CONDITIONS, GRID)
    copy = DesignMatrix(2 * plain.columns[:, [0]] - 1, ("global_signal",))
    design = activation_design(CONDITIONS, GRID, confounds=copy)
    with pytest.raises(FeatureError, match="cannot be estimated"):
        activation_contrast(noise(rng, 2), design, FACES_BEYOND_CONTROL, drift=DRIFT)
