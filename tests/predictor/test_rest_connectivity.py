"""Resting connectivity."""

from __future__ import annotations

import numpy as np
import pytest
from nilearn.connectome import ConnectivityMeasure
from numpy.typing import NDArray
from sklearn.covariance import EmpiricalCovariance, LedoitWolf

from predictor.errors import FeatureError
from predictor.features.rest_connectivity import fisher_z_edges, partial_correlation_edges, partial_fisher_z_edges
from predictor.scan.cleaning import RegionTimeseries


@pytest.fixture
def timeseries(rng: np.random.Generator) -> RegionTimeseries:
    mixing = np.eye(6) + 0.4 * rng.standard_normal((6, 6))
    scale = np.array([1, 5, 0.2, 1, 3, 1])
    return RegionTimeseries(rng.standard_normal((150, 6)) @ mixing * scale, tuple("abcdef"), 2.0)


def z_scored(bold: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray((bold - bold.mean(axis=0)) / bold.std(axis=0))


def upper(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(matrix[np.triu_indices(len(matrix), k=1)])


def test_recovers_a_planted_correlation(rng: np.random.Generator) -> None:
    bold = rng.multivariate_normal([0, 0], [[1, 0.6], [0.6, 1]], size=5_000)
    edges = fisher_z_edges(RegionTimeseries(bold, ("amygdala_L", "vmPFC"), repetition_time_s=2.0))
    assert edges == pytest.approx([np.arctanh(0.6)], abs=0.05)


def test_fisher_z_is_the_inverse_hyperbolic_tangent_and_no_arctan(timeseries: RegionTimeseries) -> None:
    correlation = upper(np.corrcoef(timeseries.bold, rowvar=False))
    edges = fisher_z_edges(timeseries)
    assert edges == pytest.approx(0.5 * np.log((1 + correlation) / (1 - correlation)))
    # Trap 2: arctan shrinks, arctanh stretches.
    assert (np.abs(edges) > np.abs(correlation)).all()
    assert np.abs(edges - np.arctan(correlation)).max() > 0.01


def test_correlations_are_those_of_nilearn(timeseries: RegionTimeseries) -> None:
    measure = ConnectivityMeasure(EmpiricalCovariance(), kind="correlation")
    expected = upper(measure.fit_transform([timeseries.bold])[0])
    assert np.tanh(fisher_z_edges(timeseries)) == pytest.approx(expected, abs=1e-6)


def test_partial_correlations_are_those_of_nilearn(timeseries: RegionTimeseries) -> None:
    measure = ConnectivityMeasure(LedoitWolf(), kind="partial correlation")
    expected = upper(measure.fit_transform([z_scored(timeseries.bold)])[0])
    assert partial_correlation_edges(timeseries) == pytest.approx(expected, abs=1e-6)
    assert partial_fisher_z_edges(timeseries) == pytest.approx(np.arctanh(expected), abs=1e-6)


def test_partial_correlation_sees_through_a_common_neighbour(rng: np.random.Generator) -> None:
    hub = rng.standard_normal((4_000, 1))
    leaves = hub + 0.5 * rng.standard_normal((4_000, 2))
    star = RegionTimeseries(np.hstack([hub, leaves]), ("hub", "left", "right"), None)
    assert fisher_z_edges(star)[2] > 1
    assert partial_correlation_edges(star)[2] == pytest.approx(0, abs=0.06)


def test_units_of_the_signals_do_not_matter(timeseries: RegionTimeseries) -> None:
    rescaled = RegionTimeseries(timeseries.bold * [3, 1, 7, 2, 0.1, 90] + 40, timeseries.region_names, 2.0)
    assert partial_correlation_edges(rescaled) == pytest.approx(partial_correlation_edges(timeseries), abs=1e-9)
    assert fisher_z_edges(rescaled) == pytest.approx(fisher_z_edges(timeseries), abs=1e-9)


def test_edges_stand_row_by_row(rng: np.random.Generator) -> None:
    bold = rng.standard_normal((500, 4))
    bold[:, 3] += 2 * bold[:, 1]
    edges = fisher_z_edges(RegionTimeseries(bold, tuple("abcd"), 2.0))
    assert int(np.abs(edges).argmax()) == [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)].index((1, 3))


@pytest.mark.parametrize("measure", [fisher_z_edges, partial_correlation_edges])
def test_a_constant_region_is_a_named_error(measure, timeseries: RegionTimeseries) -> None:
    bold = timeseries.bold.copy()
    bold[:, 2] = 5.0
    with pytest.raises(FeatureError, match=r"\bc\b"):
        measure(RegionTimeseries(bold, timeseries.region_names, 2.0))


def test_two_regions_with_one_signal_are_named(timeseries: RegionTimeseries) -> None:
    bold = timeseries.bold.copy()
    bold[:, 4] = bold[:, 1]
    with pytest.raises(FeatureError, match="correlation of b and e"):
        fisher_z_edges(RegionTimeseries(bold, timeseries.region_names, 2.0))
