"""The neuronal signal behind a BOLD signal."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import lfilter

from predictor.errors import FeatureError
from predictor.features.deconvolution import deconvolve, neuronal_basis
from predictor.features.task_design import MicrotimeGrid, convolve_hrf, cosine_drift

GRID = MicrotimeGrid(150, 2.0)
DRIFT = cosine_drift(150, 2.0, 128.0)
CONFOUNDS = np.column_stack([np.ones(150), DRIFT])


@pytest.fixture
def neuronal(rng: np.random.Generator) -> NDArray[np.float64]:
    """Return slow neural activity on the microtime grid, with a time constant of 4 s."""
    decay = np.exp(-GRID.step_s / 4)
    return np.asarray(lfilter([np.sqrt(1 - decay**2)], [1, -decay], rng.standard_normal((GRID.n_bins, 2)), axis=0))


def scanned(neuronal: NDArray[np.float64]) -> NDArray[np.float64]:
    return convolve_hrf(neuronal, GRID)[GRID.first_bins]


def test_recovers_simulated_activity_better_than_the_bold_signal_shows_it(
    neuronal: NDArray[np.float64], rng: np.random.Generator
) -> None:
    bold = 4 * scanned(neuronal) + 0.5 * rng.standard_normal((150, 2))
    estimate = deconvolve(bold, GRID, confounds=CONFOUNDS)
    inside = slice(20 * 16, -5 * 16)  # what came before the run is unknown, what comes at its end not yet seen
    for region in range(2):
        held = np.interp(np.arange(GRID.n_bins), GRID.first_bins, bold[:, region])
        found = np.corrcoef(estimate[inside, region], neuronal[inside, region])[0, 1]
        assert found > 0.6
        assert found > np.corrcoef(held[inside], neuronal[inside, region])[0, 1] + 0.2


def test_estimate_explains_the_signal_when_convolved_again(neuronal: NDArray[np.float64]) -> None:
    bold = 4 * scanned(neuronal)
    basis = neuronal_basis(GRID)
    weights = np.linalg.lstsq(basis.microtime, deconvolve(bold, GRID, confounds=CONFOUNDS))[0]
    again, original = basis.scan @ weights, bold - bold.mean(axis=0)
    for region in range(2):
        residual = again[:, region] - original[:, region]
        residual -= CONFOUNDS @ np.linalg.lstsq(CONFOUNDS, residual)[0]
        assert residual.var() < 0.05 * original[:, region].var()


def test_mean_drift_and_spikes_leave_no_trace(neuronal: NDArray[np.float64]) -> None:
    spike = np.eye(150)[:, [70]]
    confounds = np.column_stack([CONFOUNDS, spike])
    bold = scanned(neuronal)
    spoilt = bold + 100 + 30 * DRIFT[:, [2]] + 50 * spike
    clean, recovered = (deconvolve(signal, GRID, confounds=confounds) for signal in (bold, spoilt))
    assert recovered == pytest.approx(clean, abs=1e-3 * np.abs(clean).max())


def test_estimate_is_proportional_to_the_signal_whatever_its_unit(neuronal: NDArray[np.float64]) -> None:
    bold = scanned(neuronal)
    percent, thousands = (deconvolve(unit * bold, GRID, confounds=CONFOUNDS) for unit in (1.0, 1e3))
    assert thousands == pytest.approx(1e3 * percent, rel=1e-6, abs=1e-6 * np.abs(thousands).max())


def test_regions_do_not_influence_one_another(neuronal: NDArray[np.float64]) -> None:
    bold = scanned(neuronal)
    together = deconvolve(bold, GRID, confounds=CONFOUNDS)
    alone = deconvolve(bold[:, [1]], GRID, confounds=CONFOUNDS)
    assert together[:, [1]] == pytest.approx(alone, abs=1e-9)


def test_the_shared_basis_cannot_be_changed_by_accident() -> None:
    assert neuronal_basis(GRID) is neuronal_basis(MicrotimeGrid(150, 2.0))
    with pytest.raises(ValueError, match="read-only"):
        neuronal_basis(GRID).scan[0, 0] = 1.0


def test_gaps_and_other_lengths_are_named_errors() -> None:
    bold = np.ones((150, 1))
    with pytest.raises(FeatureError, match="150 volumes"):
        deconvolve(bold[:100], GRID, confounds=CONFOUNDS)
    bold[3] = np.nan
    with pytest.raises(FeatureError, match="without gaps"):
        deconvolve(bold, GRID, confounds=CONFOUNDS)
