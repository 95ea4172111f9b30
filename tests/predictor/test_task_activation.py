"""Contrasts of conditions."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import lfilter

from predictor.errors import FeatureError
from predictor.features.task_activation import activation_contrast, activation_design
from predictor.features.task_design import Condition, DesignMatrix, MicrotimeGrid, cosine_drift

GRID = MicrotimeGrid(160, 2.0)
DRIFT = cosine_drift(160, 2.0, 128.0)
CONDITIONS = tuple(
    Condition(name, np.arange(start, 290.0, 60.0), np.full(len(np.arange(start, 290.0, 60.0)), 20.0))
    for name, start in (("faces", 10.0), ("control", 40.0))
)
FACES_BEYOND_CONTROL = {"faces": 1.0, "control": -1.0}


def noise(rng: np.random.Generator, n_regions: int):
    return lfilter([1.0], [1.0, -0.4], rng.standard_normal((160, n_regions)), axis=0)


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
