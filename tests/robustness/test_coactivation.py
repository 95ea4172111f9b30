"""Trap 10 at full length: 200 runs in which two regions respond to a task without influencing each other.

Not part of the quick tests: `python -m pytest tests/robustness/test_coactivation.py` (some 20 s).
"""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from scipy.signal import lfilter

from predictor.features.gppi import fit_gppi, gppi_design, seed_signals
from predictor.features.serial_correlation import reml_covariance
from predictor.features.task_design import (
    PRELUDE_BINS,
    Condition,
    MicrotimeGrid,
    convolve_hrf,
    cosine_drift,
    stimulus,
)

N_RUNS = 200
GRID = MicrotimeGrid(200, 2.0)
DRIFT = cosine_drift(200, 2.0, 128.0)
LEAD_BINS = 256
DRIVES = ({"faces": 0.6, "control": 0.1}, {"faces": 0.8, "control": 0.2})


def coactivation(
    rng: np.random.Generator, *, steady_coupling: float
) -> tuple[NDArray[np.float64], tuple[Condition, ...]]:
    """Return BOLD of two regions that share a task, and the task."""
    onsets = np.arange(10.0, 370.0, 32.0)
    is_faces = np.concatenate([rng.permutation([True, False]) for _ in range(len(onsets) // 2)])
    conditions = tuple(
        Condition(name, onsets[: len(rows)][rows], np.full(rows.sum(), 20.0))
        for name, rows in (("faces", is_faces), ("control", ~is_faces))
    )
    decay = np.exp(-GRID.step_s / 2)
    fluctuation = rng.standard_normal((LEAD_BINS + GRID.n_bins, 2)) * np.sqrt(1 - decay**2) * [1.2, 0.12]
    neuronal = lfilter([1.0], [1.0, -decay], fluctuation, axis=0)
    for condition in conditions:
        shown = np.concatenate([np.zeros(LEAD_BINS), stimulus(condition, GRID)[PRELUDE_BINS:]])
        for region, drive in enumerate(DRIVES):
            neuronal[:, region] += drive[condition.name] * shown
    neuronal[1:, 1] += steady_coupling * neuronal[:-1, 0]
    bold = 2 * convolve_hrf(neuronal, GRID)[LEAD_BINS + GRID.sampled_bins]
    noise = lfilter([np.sqrt(1 - 0.35**2)], [1, -0.35], rng.standard_normal((GRID.n_volumes, 2)), axis=0)
    return bold + 0.8 * noise, conditions


@pytest.mark.parametrize("center_psychological", [True, False], ids=["centred", "uncentred"])
@pytest.mark.parametrize("steady_coupling", [0.0, 0.4])
def test_coactivation_is_no_interaction(
    rng: np.random.Generator, steady_coupling: float, center_psychological: bool
) -> None:
    found = []
    for _ in range(N_RUNS):
        bold, conditions = coactivation(rng, steady_coupling=steady_coupling)
        seeds = seed_signals(bold, conditions, GRID, drift=DRIFT, center_psychological=center_psychological)
        design = gppi_design(seeds, 0)
        row = reml_covariance(bold[:, [1]], np.column_stack([design.columns, DRIFT]))
        model = fit_gppi(bold[:, [1]], seeds, 0, drift=DRIFT, covariance_row=row)
        contrast = model.contrast(design.weights({"ppi_faces": 1.0, "ppi_control": -1.0}))
        p_value = 2 * stats.t.sf(abs(contrast.t[0]), contrast.degrees_of_freedom)
        found.append((float(contrast.effect[0]), float(p_value)))
    effects, p_values = np.array(found).T
    n_false = int(np.count_nonzero(p_values < 0.05))
    lowest, highest = stats.binom.interval(0.99, N_RUNS, 0.05)
    assert lowest <= n_false <= highest
    assert abs(effects.mean()) < 2 * effects.std(ddof=1) / np.sqrt(N_RUNS)
