from __future__ import annotations

import numpy as np
import pytest

from predictor.circuit.circuit import load_circuit
from predictor.circuit.region_voxels import region_voxels
from training.simulation.head_motion import HeadMotion, draw_head_motion
from training.simulation.images import (
    SCANNERS,
    VOXEL_NOISE_PERCENT,
    Scanner,
    autoregressive,
    brain_grid,
    simulate_run,
)

CIRCUIT = load_circuit()
STILL = HeadMotion(np.zeros((120, 6)), np.zeros(120))


def test_regions_lie_in_the_brain_and_share_no_voxel() -> None:
    grid = brain_grid(CIRCUIT)
    found = region_voxels(CIRCUIT, grid.shape, grid.affine)
    n_voxels = np.diff(found.region_start)
    assert np.array_equal(grid.region_loading.sum(axis=1), n_voxels)
    assert np.array_equal(n_voxels, found.n_expected)
    assert n_voxels.min() >= 2
    assert grid.region_loading.sum(axis=0).max() == 1


def test_grid_looks_like_a_brain() -> None:
    grid = brain_grid(CIRCUIT)
    volume_ml = len(grid.flat_index) * 6.0**3 / 1000
    assert 1200 < volume_ml < 2000
    assert {tissue: int((grid.tissue == tissue).sum()) > 30 for tissue in ("grey", "white", "csf")} == {
        "grey": True,
        "white": True,
        "csf": True,
    }


def test_region_signal_can_be_read_back_from_the_image(rng: np.random.Generator) -> None:
    grid = brain_grid(CIRCUIT)
    planted = 2.0 * autoregressive(rng, (120, len(CIRCUIT.regions)), persistence=0.5)
    image = simulate_run(grid, planted, STILL, SCANNERS["north"], rng)
    volumes = image.volumes()
    for region, loading in enumerate(grid.region_loading):
        signal = volumes[:, grid.flat_index[loading > 0]].mean(axis=1)
        percent = 100 * (signal / signal.mean() - 1)
        assert np.corrcoef(percent, planted[:, region])[0, 1] > 0.9
        slope = np.polyfit(planted[:, region], percent, 1)[0]
        assert slope == pytest.approx(1, abs=0.1)


def test_voxel_noise_is_of_the_size_named(rng: np.random.Generator) -> None:
    grid = brain_grid(CIRCUIT)
    image = simulate_run(grid, np.zeros((120, 12)), STILL, SCANNERS["north"], rng)
    signal = image.voxels.astype(float)
    change = np.diff(signal, axis=0).std(axis=0) / np.sqrt(2) / signal.mean(axis=0) * 100
    # Other noise adds a little; rounding to whole numbers too.
    assert VOXEL_NOISE_PERCENT < np.median(change) < 1.5 * VOXEL_NOISE_PERCENT


def test_motion_leaves_artefacts(rng: np.random.Generator) -> None:
    grid, quiet = brain_grid(CIRCUIT), Scanner(300.0, 0.1, 0.0)
    motion = draw_head_motion(0.3, 120, rng)
    moved, still = (
        simulate_run(grid, np.zeros((120, 12)), which, quiet, np.random.default_rng(1)).voxels.astype(float)
        for which in (motion, STILL)
    )
    assert moved.std(axis=0).mean() > 1.5 * still.std(axis=0).mean()


def test_sites_differ_in_brightness(rng: np.random.Generator) -> None:
    means = {
        site: simulate_run(brain_grid(CIRCUIT), np.zeros((120, 12)), STILL, scanner, rng).voxels.mean()
        for site, scanner in SCANNERS.items()
    }
    assert len({round(mean) for mean in means.values()}) == 3


def test_image_is_dark_outside_the_brain(rng: np.random.Generator) -> None:
    grid = brain_grid(CIRCUIT)
    volumes = simulate_run(grid, np.zeros((120, 12)), STILL, SCANNERS["south"], rng).volumes()
    outside = np.ones(volumes.shape[1], dtype=bool)
    outside[grid.flat_index] = False
    assert not volumes[:, outside].any()
    assert (volumes[:, grid.flat_index] > 50).all()


def test_autoregressive_courses_have_unit_spread_and_the_persistence_asked_for(rng: np.random.Generator) -> None:
    course = autoregressive(rng, (200_000, 1), persistence=0.6)[:, 0]
    assert course.std() == pytest.approx(1, abs=0.02)
    assert np.corrcoef(course[1:], course[:-1])[0, 1] == pytest.approx(0.6, abs=0.01)
