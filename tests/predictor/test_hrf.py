"""Haemodynamic responses."""

from __future__ import annotations

import numpy as np
import pytest
from nilearn.glm.first_level import glover_hrf, spm_hrf

from predictor.errors import FeatureError
from predictor.features.hrf import ResponseModel, canonical_hrf, hrf_with_derivatives, orthogonal_hrf_basis


@pytest.mark.parametrize("step_s", [0.05, 0.125, 1.89 / 16, 2.0])
def test_kernel_sums_to_one_and_lasts_32_seconds(step_s: float) -> None:
    kernel = canonical_hrf(step_s)
    assert kernel.sum() == pytest.approx(1.0)
    assert (kernel.size - 1) * step_s <= 32 < kernel.size * step_s


def test_kernel_peaks_at_five_seconds_and_undershoots_at_fifteen() -> None:
    kernel = canonical_hrf(0.01)
    assert kernel.argmax() * 0.01 == pytest.approx(5.0, abs=0.1)
    assert kernel.argmin() * 0.01 == pytest.approx(15.7, abs=0.5)
    assert kernel.max() / -kernel.min() == pytest.approx(11.5, abs=1)


def test_adding_the_time_derivative_delays_or_hastens_the_peak() -> None:
    canonical, time_derivative, _ = hrf_with_derivatives(0.01).T
    assert (canonical + 0.3 * time_derivative).argmax() < canonical.argmax()
    assert (canonical - 0.3 * time_derivative).argmax() > canonical.argmax()


def test_taking_the_dispersion_derivative_away_widens_the_response() -> None:
    canonical, _, dispersion_derivative = hrf_with_derivatives(0.01).T
    wider = canonical_hrf(0.01, dispersion_shift=0.2)
    approximated = canonical - 0.2 * dispersion_derivative
    assert np.corrcoef(approximated, wider)[0, 1] > np.corrcoef(canonical, wider)[0, 1]


@pytest.mark.parametrize(("shape", "peer"), [("spm", spm_hrf), ("glover", glover_hrf)])
def test_both_shapes_are_those_of_nilearn_up_to_its_time_grid(shape, peer) -> None:
    step_s = 0.01
    ours, theirs = canonical_hrf(step_s, shape=shape), peer(t_r=1.0, oversampling=100)
    # nilearn starts one step later, stretches its grid by one step in 3,200, and rounds the undershoot's share.
    assert ours[:-2] == pytest.approx(theirs[1:], abs=2e-2 * ours.max())
    assert np.corrcoef(ours[:-2], theirs[1:])[0, 1] > 0.9999


def test_the_shapes_differ() -> None:
    spm, glover = canonical_hrf(0.1), canonical_hrf(0.1, shape="glover")
    assert np.abs(spm - glover).max() > 0.2 * spm.max()


@pytest.mark.parametrize("shape", ["spm", "glover"])
def test_derivatives_are_made_orthogonal_and_the_response_is_left_alone(shape) -> None:
    basis = orthogonal_hrf_basis(0.1, shape=shape)
    assert basis[:, 0] == pytest.approx(canonical_hrf(0.1, shape=shape))
    lengths = np.linalg.norm(basis, axis=0)
    assert (basis / lengths).T @ (basis / lengths) == pytest.approx(np.eye(3), abs=1e-10)
    raw = hrf_with_derivatives(0.1, shape=shape)
    assert np.linalg.matrix_rank(np.column_stack([basis / lengths, raw]), tol=1e-8) == 3


@pytest.mark.parametrize(("n_derivatives", "n_kernels"), [(0, 1), (1, 2), (2, 3)])
def test_as_many_kernels_as_wanted(n_derivatives: int, n_kernels: int) -> None:
    assert ResponseModel("glover", n_derivatives).kernels(0.1).shape == (321, n_kernels)


@pytest.mark.parametrize("wrong", [{"shape": "fir"}, {"n_derivatives": 3}, {"n_derivatives": -1}])
def test_an_unknown_response_is_a_named_error(wrong) -> None:
    with pytest.raises(FeatureError, match="expected a response of shape spm or glover"):
        ResponseModel(**wrong)
