"""Bootstrap standard errors behind the whole preparation of a resting run: filter, confounds, censoring.

Not part of the quick tests: `python -m pytest tests/robustness/test_resting_standard_errors.py` (some 30 s).
"""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import signal

from predictor.features.bootstrap import (
    block_length,
    bootstrap_standard_errors,
    fisher_z_of_resamples,
    partial_fisher_z_of_resamples,
)
from predictor.features.rest_connectivity import fisher_z_edges, partial_fisher_z_edges
from predictor.scan.cleaning import RegionTimeseries, clean, freedom_left
from predictor.scan.confounds import Confounds

N_RUNS = 300
MIXING = np.linalg.cholesky(np.array([[1, 0.6, 0.3, 0], [0.6, 1, 0.2, 0], [0.3, 0.2, 1, 0], [0, 0, 0, 1]])).T
MEASURES = {
    "full": (fisher_z_edges, fisher_z_of_resamples),
    "partial": (partial_fisher_z_edges, partial_fisher_z_of_resamples),
}


def autoregressive(rng: np.random.Generator, shape: tuple[int, int], memory: float) -> NDArray[np.float64]:
    noise = rng.standard_normal((shape[0] + 100, shape[1]))
    return np.asarray(signal.lfilter([1.0], [1.0, -memory], noise, axis=0))[100:]


def confounds_of(rng: np.random.Generator, n_volumes: int, n_regressors: int, share_censored: float) -> Confounds:
    return Confounds(
        regressors=autoregressive(rng, (n_volumes, n_regressors), 0.9),
        names=tuple(f"regressor_{number}" for number in range(n_regressors)),
        framewise_displacement_mm=np.zeros(n_volumes),
        is_censored=rng.random(n_volumes) < share_censored,
        strategy_asked="motion24_wm_csf",
        strategy_used="motion24_wm_csf",
        fallback_reason=None,
    )


@pytest.mark.parametrize(
    ("n_volumes", "repetition_time_s", "n_regressors", "share_censored", "band_hz"),
    [
        pytest.param(240, 2.0, 0, 0.0, (0.008, 0.1), id="filter alone"),
        pytest.param(240, 2.0, 26, 0.0, (None, None), id="confounds alone"),
        pytest.param(240, 2.0, 26, 0.0, (0.008, 0.1), id="filter and 26 confounds"),
        pytest.param(240, 2.0, 26, 0.15, (0.008, 0.1), id="a sixth censored"),
        pytest.param(600, 0.8, 26, 0.0, (0.008, 0.1), id="short repetition time"),
    ],
)
def test_errors_match_the_spread_over_runs(
    n_volumes: int,
    repetition_time_s: float,
    n_regressors: int,
    share_censored: float,
    band_hz: tuple[float | None, float | None],
) -> None:
    rng = np.random.default_rng(4)
    edges: dict[str, list[NDArray[np.float64]]] = {name: [] for name in MEASURES}
    errors: dict[str, list[NDArray[np.float64]]] = {name: [] for name in MEASURES}
    band = dict(zip(("high_pass_hz", "low_pass_hz"), band_hz, strict=True))
    for _ in range(N_RUNS):
        bold = autoregressive(rng, (n_volumes, 4), 0.3) @ MIXING
        confounds = confounds_of(rng, n_volumes, n_regressors, share_censored)
        cleaned = clean(RegionTimeseries(bold, tuple("abcd"), repetition_time_s), confounds, **band)
        share = freedom_left(repetition_time_s, confounds, **band)
        length = block_length(len(cleaned.bold), repetition_time_s, 30.0)
        for name, (measure, of_resamples) in MEASURES.items():
            edges[name].append(measure(cleaned))
            errors[name].append(
                bootstrap_standard_errors(cleaned.bold, of_resamples, length=length, n_samples=200, freedom_left=share)
            )
    for name in MEASURES:
        ratio = np.sqrt(np.mean(np.square(errors[name]), axis=0)) / np.std(edges[name], axis=0, ddof=1)
        assert np.sqrt(np.mean(ratio**2)) == pytest.approx(1, abs=0.15), f"{name}: {np.round(ratio, 2)}"
