"""Standard errors of resting edges."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import signal

from predictor.errors import FeatureError
from predictor.features.bootstrap import (
    block_length,
    bootstrap_standard_errors,
    fisher_z_of_resamples,
    partial_fisher_z_of_resamples,
    resample_counts,
)
from predictor.features.rest_connectivity import fisher_z_edges, partial_fisher_z_edges
from predictor.scan.cleaning import RegionTimeseries

CORRELATION = np.array([[1, 0.6, 0.3, 0], [0.6, 1, 0.2, 0], [0.3, 0.2, 1, 0], [0, 0, 0, 1]])
MEASURES = [
    pytest.param(fisher_z_edges, fisher_z_of_resamples, id="full"),
    pytest.param(partial_fisher_z_edges, partial_fisher_z_of_resamples, id="partial"),
]


def autoregressive(rng: np.random.Generator, n_volumes: int, memory: float) -> NDArray[np.float64]:
    noise = rng.standard_normal((n_volumes + 50, 4)) @ np.linalg.cholesky(CORRELATION).T
    return np.asarray(signal.lfilter([1.0], [1.0, -memory], noise, axis=0))[50:]


def edges_of(measure, bold: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(measure(RegionTimeseries(bold, tuple("abcd"), 2.0)))


@pytest.mark.parametrize(("measure", "of_resamples"), MEASURES)
def test_resampled_edges_are_those_of_the_resampled_signals(rng: np.random.Generator, measure, of_resamples) -> None:
    bold = 5 + 3 * autoregressive(rng, 90, 0.5)
    counts = resample_counts(90, 8, 30)
    expected = [edges_of(measure, np.repeat(bold, row.astype(int), axis=0)) for row in counts]
    assert of_resamples(bold, counts) == pytest.approx(np.array(expected), abs=1e-10)


@pytest.mark.parametrize(("measure", "of_resamples"), MEASURES)
@pytest.mark.parametrize("memory", [0.0, 0.5, 0.8])
def test_standard_errors_match_the_spread_over_repeated_runs(
    rng: np.random.Generator, measure, of_resamples, memory: float
) -> None:
    runs = [autoregressive(rng, 240, memory) for _ in range(250)]
    spread = np.std([edges_of(measure, bold) for bold in runs], axis=0, ddof=1)
    errors = [bootstrap_standard_errors(bold, of_resamples, length=15, n_samples=100) for bold in runs]
    ratio = np.sqrt(np.mean(np.square(errors), axis=0)) / spread
    # Each edge's own spread is known to some 5 %, so the promise of 15 % is held to over the edges together.
    assert np.sqrt(np.mean(ratio**2)) == pytest.approx(1, abs=0.15)


def test_single_volumes_as_blocks_miss_the_memory_of_the_signals(rng: np.random.Generator) -> None:
    bold = autoregressive(rng, 240, 0.8)
    single, blocks = (
        bootstrap_standard_errors(bold, fisher_z_of_resamples, length=length, n_samples=500) for length in (1, 15)
    )
    assert single.mean() == pytest.approx(1 / np.sqrt(237), rel=0.15)  # what theory says of independent volumes
    assert (blocks > 1.3 * single).all()


def test_freedom_taken_by_confounds_widens_the_errors(rng: np.random.Generator) -> None:
    bold = autoregressive(rng, 120, 0.3)
    free, taken = (
        bootstrap_standard_errors(bold, fisher_z_of_resamples, length=8, n_samples=50, freedom_left=share)
        for share in (1.0, 0.25)
    )
    assert taken == pytest.approx(2 * free)


def test_the_same_signals_have_the_same_errors_whatever_their_unit(rng: np.random.Generator) -> None:
    bold = autoregressive(rng, 120, 0.3)
    once = bootstrap_standard_errors(bold, partial_fisher_z_of_resamples, length=8, n_samples=50)
    resample_counts.cache_clear()
    again = bootstrap_standard_errors(bold, partial_fisher_z_of_resamples, length=8, n_samples=50)
    rescaled = bootstrap_standard_errors(
        100 + bold * [1, 20, 0.1, 3], partial_fisher_z_of_resamples, length=8, n_samples=50
    )
    assert np.array_equal(once, again)
    assert rescaled == pytest.approx(once, rel=1e-6)


def test_many_regions_are_resampled_in_portions_without_a_trace(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    bold, counts = autoregressive(rng, 60, 0.3), resample_counts(60, 5, 21)
    at_once = partial_fisher_z_of_resamples(bold, counts)
    monkeypatch.setattr("predictor.features.bootstrap._NUMBERS_AT_ONCE", 250)
    assert partial_fisher_z_of_resamples(bold, counts) == pytest.approx(at_once, abs=1e-12)


def test_each_resample_holds_blocks_and_as_many_volumes_as_the_run() -> None:
    counts = resample_counts(50, 12, 400)
    assert (counts.sum(axis=1) == 50).all()
    # Circular blocks: the first and the last volume are drawn as often as any other.
    assert counts.mean(axis=0) == pytest.approx(np.ones(50), abs=0.3)
    # Within a resample the count changes only where a block begins or ends: at most 5 blocks, so at most 10 places.
    assert (np.count_nonzero(np.diff(counts, axis=1), axis=1) <= 10).all()


@pytest.mark.parametrize("of_resamples", [fisher_z_of_resamples, partial_fisher_z_of_resamples])
def test_a_region_that_moves_only_once_has_no_known_error(rng: np.random.Generator, of_resamples) -> None:
    bold = autoregressive(rng, 120, 0.3)
    bold[:, 3] = 0
    bold[60, 3] = 1
    errors = bootstrap_standard_errors(bold, of_resamples, length=8, n_samples=50)
    assert np.isnan(errors[[2, 4, 5]]).all()


def test_block_length_follows_the_repetition_time_and_needs_four_blocks() -> None:
    assert block_length(240, 2.0, 30.0) == 15
    assert block_length(240, 0.8, 30.0) == 38
    assert block_length(240, 40.0, 30.0) == 1
    with pytest.raises(FeatureError, match="59 volumes hold fewer than 4 blocks of 15 volumes"):
        block_length(59, 2.0, 30.0)
