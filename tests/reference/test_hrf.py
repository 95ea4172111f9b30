"""The canonical response against SPM12."""

from __future__ import annotations

import numpy as np
import pytest

from predictor.features.hrf import ResponseModel, canonical_hrf, hrf_with_derivatives, orthogonal_hrf_basis


def test_canonical_response_on_microtime_is_that_of_spm(spm_case) -> None:
    expected = spm_case("hrf").table("out_TR2_T16_hrf.csv")
    assert canonical_hrf(2.0 / 16) == pytest.approx(expected["spm_hrf"].to_numpy(), abs=1e-10)


def test_canonical_response_at_the_repetition_time_is_that_of_spm(spm_case) -> None:
    expected = spm_case("hrf").table("out_TR2_T16_hrf_scan.csv")
    assert canonical_hrf(2.0) == pytest.approx(expected["spm_hrf_at_TR"].to_numpy(), abs=1e-10)


def test_derivatives_are_those_of_spm(spm_case) -> None:
    expected = spm_case("hrf").table("out_TR2_T16_hrf.csv")
    found = hrf_with_derivatives(2.0 / 16)
    assert found[:, 1] == pytest.approx(expected["time_derivative_raw"].to_numpy(), abs=1e-10)
    assert found[:, 2] == pytest.approx(expected["dispersion_derivative_raw"].to_numpy(), abs=1e-8)


@pytest.mark.parametrize("case", ["deconv_sim_block_AMY", "deconv_rest_LAmy", "deconv_rest_LParaCing"])
def test_response_of_odd_repetition_times_is_that_of_spm(spm_case, shared, case: str) -> None:
    spm = spm_case(case)
    path = shared / "reference" / case / "out_hrf.csv"
    expected = np.loadtxt(path, delimiter=",", skiprows=1)[:, 1]
    assert canonical_hrf(spm.grid.step_s) == pytest.approx(expected, abs=1e-10)


def test_response_with_its_own_sampling_is_that_of_spm(spm_case) -> None:
    expected = spm_case("hrf").table("out_TR2_T16_hrf.csv")
    assert canonical_hrf(2.0 / 16) == pytest.approx(expected["spm_hrf_T"].to_numpy(), abs=1e-10)
    assert np.arange(257) * 2.0 / 16 == pytest.approx(expected["time_s"].to_numpy())


def test_orthogonal_basis_is_that_of_spm(spm_case) -> None:
    expected = spm_case("hrf").table("out_TR2_T16_hrf.csv")[["bf1_orth", "bf2_orth", "bf3_orth"]].to_numpy()
    found = orthogonal_hrf_basis(2.0 / 16)
    assert found[:, :2] == pytest.approx(expected[:, :2], abs=1e-10)
    assert found[:, 2] == pytest.approx(expected[:, 2], abs=1e-8)
    assert ResponseModel(n_derivatives=1).kernels(2.0 / 16) == pytest.approx(expected[:, :2], abs=1e-10)
