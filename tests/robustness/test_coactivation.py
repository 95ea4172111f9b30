"""Trap 10 at full length: 200 runs in which two regions respond to a task without influencing each other.

The features themselves are tested: the effects and standard errors of `gppi_estimates`, in both directions. The
direction with the quiet seed is the hard one: its target's ongoing activity is slow noise to the model.

Not part of the quick tests: `python -m pytest tests/robustness/test_coactivation.py` (about a minute).
"""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from scipy.signal import lfilter

from predictor.features.gppi import fit_gppi, gppi_design, gppi_estimates, seed_signals
from predictor.features.serial_correlation import reml_covariance
from predictor.features.task_design import (
    PRELUDE_BINS,
    Condition,
    DesignMatrix,
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
CONTRAST = {"faces": 1.0, "control": -1.0}


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


def check_level(effects: NDArray[np.float64], t_values: NDArray[np.float64], n_free: int) -> None:
    """Check that false positives lie within Monte-Carlo error, and the mean within two standard errors of zero."""
    n_false = int(np.count_nonzero(2 * stats.t.sf(np.abs(t_values), n_free) < 0.05))
    lowest, highest = stats.binom.interval(0.99, N_RUNS, 0.05)
    assert lowest <= n_false <= highest
    assert abs(effects.mean()) < 2 * effects.std(ddof=1) / np.sqrt(N_RUNS)


@pytest.mark.parametrize("direction", [(0, 1), (1, 0)], ids=["seed to target", "target to seed"])
@pytest.mark.parametrize("center_psychological", [True, False], ids=["centred", "uncentred"])
@pytest.mark.parametrize("steady_coupling", [0.0, 0.4])
def test_coactivation_is_no_interaction_in_the_features(
    rng: np.random.Generator, steady_coupling: float, center_psychological: bool, direction: tuple[int, int]
) -> None:
    found = []
    for _ in range(N_RUNS):
        bold, conditions = coactivation(rng, steady_coupling=steady_coupling)
        seeds = seed_signals(bold, conditions, GRID, drift=DRIFT, center_psychological=center_psychological)
        estimates = gppi_estimates(bold, seeds, CONTRAST, drift=DRIFT)
        found.append((estimates.effect[direction], estimates.standard_error[direction]))
    effects, errors = np.array(found).T
    check_level(effects, effects / errors, GRID.n_volumes - DRIFT.shape[1] - 6)
    assert errors.mean() == pytest.approx(effects.std(ddof=1), rel=0.15)


def test_coactivation_is_no_interaction_beside_many_confounds(rng: np.random.Generator) -> None:
    found = []
    for _ in range(N_RUNS):
        bold, conditions = coactivation(rng, steady_coupling=0.4)
        names = tuple(f"confound_{column}" for column in range(26))
        motion = DesignMatrix(rng.standard_normal((GRID.n_volumes, 26)), names)
        seeds = seed_signals(bold, conditions, GRID, drift=DRIFT, confounds=motion.columns)
        estimates = gppi_estimates(bold, seeds, CONTRAST, drift=DRIFT, confounds=motion)
        found.append((estimates.effect[0, 1], estimates.standard_error[0, 1]))
    effects, errors = np.array(found).T
    check_level(effects, effects / errors, GRID.n_volumes - DRIFT.shape[1] - 6 - 26)


@pytest.mark.parametrize("center_psychological", [True, False], ids=["centred", "uncentred"])
def test_coactivation_is_no_interaction_in_the_generalised_fit(
    rng: np.random.Generator, center_psychological: bool
) -> None:
    found = []
    for _ in range(N_RUNS):
        bold, conditions = coactivation(rng, steady_coupling=0.4)
        seeds = seed_signals(bold, conditions, GRID, drift=DRIFT, center_psychological=center_psychological)
        design = gppi_design(seeds, 0)
        row = reml_covariance(bold[:, [1]], np.column_stack([design.columns, DRIFT]))
        model = fit_gppi(bold[:, [1]], seeds, 0, drift=DRIFT, covariance_row=row)
        contrast = model.contrast(design.weights({"ppi_faces": 1.0, "ppi_control": -1.0}))
        found.append((contrast.effect[0], contrast.t[0]))
    effects, t_values = np.array(found).T
    check_level(effects, t_values, GRID.n_volumes - DRIFT.shape[1] - 6)


def test_planted_interactions_are_recovered_in_sign_and_order(rng: np.random.Generator) -> None:
    planted = (-0.8, -0.4, 0.4, 0.8)
    effects = {size: [] for size in planted}
    for size in planted:
        for _ in range(N_RUNS // len(planted)):
            bold, conditions = coactivation(rng, steady_coupling=0.2)
            faces = conditions[0]
            # The target gains a share of the seed's neuronal signal while faces are shown.
            fluctuation = rng.standard_normal(GRID.n_bins + LEAD_BINS)
            decay = np.exp(-GRID.step_s / 2)
            seed = 1.2 * lfilter([np.sqrt(1 - decay**2)], [1.0, -decay], fluctuation)
            shown = np.concatenate([np.zeros(LEAD_BINS), stimulus(faces, GRID)[PRELUDE_BINS:]])
            added = 2 * convolve_hrf(np.column_stack([seed, size * shown * seed]), GRID)
            bold = bold + added[LEAD_BINS + GRID.sampled_bins]
            estimates = gppi_estimates(bold, seed_signals(bold, conditions, GRID, drift=DRIFT), CONTRAST, drift=DRIFT)
            effects[size].append(estimates.effect[0, 1])
    means = {size: float(np.mean(found)) for size, found in effects.items()}
    assert sorted(means, key=means.__getitem__) == list(planted)
    assert all(np.sign(means[size]) == np.sign(size) for size in planted)
