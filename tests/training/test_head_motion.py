from __future__ import annotations

import numpy as np
import pytest

from training.simulation.head_motion import draw_head_motion, draw_typical_displacement, framewise_displacement


def test_framewise_displacement_is_powers_sum() -> None:
    parameters = np.array([[0, 0, 0, 0, 0, 0], [0.1, -0.2, 0, 0, 0, 0.002], [0.1, -0.2, 0.3, 0.01, 0, 0.002]])
    assert framewise_displacement(parameters) == pytest.approx([0, 0.1 + 0.2 + 50 * 0.002, 0.3 + 50 * 0.01])


def test_a_run_moves_as_much_as_the_person_typically_does(rng: np.random.Generator) -> None:
    calm, restless = (
        np.mean([draw_head_motion(typical, 200, rng).framewise_displacement_mm.mean() for _ in range(30)])
        for typical in (0.08, 0.25)
    )
    assert calm == pytest.approx(0.08, rel=0.2)
    assert restless == pytest.approx(0.25, rel=0.2)


def test_displacement_of_a_run_belongs_to_its_parameters(rng: np.random.Generator) -> None:
    motion = draw_head_motion(0.15, 100, rng)
    assert np.array_equal(motion.framewise_displacement_mm, framewise_displacement(motion.parameters))


def test_patients_move_a_little_more_than_controls(rng: np.random.Generator) -> None:
    patients, controls = (
        [draw_typical_displacement(group, rng) for _ in range(2000)] for group in ("patient", "control")
    )
    assert np.median(patients) == pytest.approx(0.14, rel=0.05)
    assert np.median(controls) == pytest.approx(0.12, rel=0.05)
