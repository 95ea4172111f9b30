"""Stimulus, deconvolution and interaction against `spm_peb_ppi` of SPM12."""

from __future__ import annotations

import numpy as np
import pytest

from predictor.features.deconvolution import deconvolve
from predictor.features.gppi import interaction_regressor
from predictor.features.serial_correlation import covariance_components, inverse_square_root, reml_covariance
from predictor.features.task_activation import activation_design
from predictor.features.task_design import PRELUDE_BINS, convolve_hrf, remove_drift, stimulus

CASES = [
    "deconv_sim_block_AMY",
    "deconv_sim_event_DACC_sticks",
    "deconv_sim_event_DACC",
    "deconv_rest_LAmy",
    "deconv_rest_LParaCing",
]


def seed_of(spm, whitening=None):
    """Return the filtered seed, its confounds, and the centred psychological variable."""
    drift, n_volumes = spm.drift, spm.grid.n_volumes
    whitening = np.eye(n_volumes) if whitening is None else whitening
    seed = remove_drift(whitening @ spm.bold[[spm.params["seed_roi"]]].to_numpy(), drift)
    confounds = np.column_stack([remove_drift(whitening @ np.ones(n_volumes), drift), drift])
    stimuli = np.column_stack([stimulus(condition, spm.grid)[PRELUDE_BINS:] for condition in spm.conditions])
    psychological = stimuli @ np.array(spm.params["contrast"], dtype=np.float64)
    return seed, confounds, stimuli, psychological


@pytest.mark.parametrize("case", CASES)
def test_stimulus_and_its_convolution_are_those_of_spm(spm_case, share_of_largest, case: str) -> None:
    spm = spm_case(case)
    micro, scan = spm.table("out_iid_micro.csv"), spm.table("out_iid_scan.csv")
    _, _, stimuli, psychological = seed_of(spm)
    assert share_of_largest(stimuli, micro[[f"u_{name}" for name in spm.params["conditions"]]]) < 1e-10
    centred = psychological - psychological.mean()
    assert share_of_largest(centred, micro["psy"]) < 1e-10
    assert share_of_largest(convolve_hrf(centred, spm.grid)[spm.grid.sampled_bins], scan["PPI_P"]) < 1e-10


@pytest.mark.parametrize("case", CASES)
def test_deconvolved_signal_and_interaction_are_those_of_spm(spm_case, share_of_largest, case: str) -> None:
    spm = spm_case(case)
    micro, scan = spm.table("out_iid_micro.csv"), spm.table("out_iid_scan.csv")
    seed, confounds, _, psychological = seed_of(spm)
    neuronal = deconvolve(seed, spm.grid, confounds=confounds)
    interaction = interaction_regressor(neuronal, psychological, spm.grid)
    physiological = seed - confounds @ np.linalg.lstsq(confounds, seed)[0]
    assert share_of_largest(seed[:, 0], scan["xY_u"]) < 1e-10
    assert share_of_largest(physiological[:, 0], scan["PPI_Y"]) < 1e-10
    assert share_of_largest(neuronal[:, 0], micro["xn"]) < 1e-4
    assert share_of_largest(interaction[:, 0] - interaction.mean(), scan["PPI_ppi"]) < 1e-4


@pytest.mark.parametrize("case", CASES)
def test_confounds_of_the_deconvolution_are_those_of_spm(shared_case, share_of_largest, case: str) -> None:
    spm = shared_case(case)
    assert share_of_largest(seed_of(spm)[1], spm.matrix("out_iid_X0.csv")) < 1e-10
    assert share_of_largest(seed_of(spm, spm.matrix("out_ar1_W.csv"))[1], spm.matrix("out_ar1_X0.csv")) < 1e-10


@pytest.mark.parametrize("case", CASES)
def test_deconvolution_of_a_whitened_seed_is_that_of_spm(shared_case, share_of_largest, case: str) -> None:
    spm = shared_case(case)
    micro, scan = spm.table("out_ar1_micro.csv"), spm.table("out_ar1_scan.csv")
    whitening = spm.matrix("out_ar1_W.csv")
    seed, confounds, _, psychological = seed_of(spm, whitening)
    neuronal = deconvolve(seed, spm.grid, confounds=confounds, whitening=whitening)
    interaction = interaction_regressor(neuronal, psychological, spm.grid)
    physiological = seed - confounds @ np.linalg.lstsq(confounds, seed)[0]
    assert share_of_largest(seed[:, 0], scan["xY_u"]) < 1e-10
    assert share_of_largest(physiological[:, 0], scan["PPI_Y"]) < 1e-10
    assert share_of_largest(neuronal[:, 0], micro["xn"]) < 1e-4
    assert share_of_largest(interaction[:, 0] - interaction.mean(), scan["PPI_ppi"]) < 1e-4


@pytest.mark.parametrize("case", CASES)
def test_deconvolution_with_own_whitening_is_close_to_that_of_spm(shared_case, share_of_largest, case: str) -> None:
    spm = shared_case(case)
    components = spm.matrix("out_ar1_Q_firstrows.csv")
    assert share_of_largest(covariance_components(spm.grid.n_volumes), components) < 1e-10
    # SPM's design of these runs: both conditions and the constant.
    design = np.column_stack([activation_design(spm.conditions, spm.grid).columns, spm.drift])
    row = reml_covariance(spm.bold.to_numpy(), design)
    expected_row = spm.matrix("out_ar1_V_firstrow.csv")[0]
    assert row[1] == pytest.approx(expected_row[1], abs=0.01)
    seed, confounds, _, _ = seed_of(spm, inverse_square_root(row))
    neuronal = deconvolve(seed, spm.grid, confounds=confounds, whitening=inverse_square_root(row))
    assert np.corrcoef(neuronal[:, 0], spm.table("out_ar1_micro.csv")["xn"])[0, 1] > 0.999


@pytest.mark.parametrize("case", [name for name in CASES if name.startswith("deconv_sim") and "sticks" not in name])
def test_deconvolution_comes_near_the_neuronal_signal_that_was_simulated(shared_case, case: str) -> None:
    spm = shared_case(case)
    truth = spm.table("truth_neuronal.csv")[spm.params["seed_roi"]].to_numpy()
    seed, confounds, _, _ = seed_of(spm)
    neuronal = deconvolve(seed, spm.grid, confounds=confounds)[:, 0]
    # A cosine basis of one function per volume cannot follow the faster part of the truth.
    volumes = spm.grid.n_volumes
    smooth = [signal.reshape(volumes, -1).mean(axis=1) for signal in (truth, neuronal)]
    assert np.corrcoef(*smooth)[0, 1] > 0.6
