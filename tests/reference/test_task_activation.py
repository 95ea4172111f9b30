"""First-level models of region signals against SPM12 and R's `gls`."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from predictor.features.region_glm import fit_region_glm
from predictor.features.serial_correlation import ar1_noise, covariance_components, reml_covariance
from predictor.features.task_activation import activation_contrast, activation_design
from predictor.features.task_design import DesignMatrix, remove_drift

CASES = ["glm_block", "glm_event"]
pytestmark = pytest.mark.parametrize("case", CASES)


def laid_out(spm):
    """Return signals, design, and the weights of first condition minus second."""
    design = activation_design(spm.conditions, spm.grid)
    first, second = spm.params["conditions"]
    return spm.bold.to_numpy(), design, {first: 1.0, second: -1.0}


def betas_by_region(spm, table: str, column: str):
    glm = spm.table(table)
    return glm.pivot(index="regressor", columns="roi", values=column).loc[
        list(glm["regressor"].unique()), list(spm.bold)
    ]


def test_design_and_drift_are_those_of_spm(spm_case, share_of_largest, case: str) -> None:
    spm = spm_case(case)
    _, design, _ = laid_out(spm)
    expected = spm.table("out_design.csv")
    assert list(design.names) == list(expected)
    assert share_of_largest(design.columns, expected) < 1e-10
    assert share_of_largest(spm.drift, spm.matrix("out_dct.csv")) < 1e-10


def test_ordinary_least_squares_is_that_of_spm(spm_case, share_of_largest, case: str) -> None:
    spm = spm_case(case)
    bold, design, weights = laid_out(spm)
    model = fit_region_glm(bold, design, drift=spm.drift)
    contrast = model.contrast(design.weights(weights))
    expected = spm.table("out_contrast.csv")
    assert share_of_largest(model.betas, betas_by_region(spm, "out_glm.csv", "ols_beta")) < 1e-8
    assert contrast.effect == pytest.approx(expected["ols_con"].to_numpy(), rel=1e-8)
    assert contrast.t == pytest.approx(expected["ols_t"].to_numpy(), rel=1e-8)
    assert contrast.degrees_of_freedom == pytest.approx(expected["ols_df"][0], abs=1e-6)


@pytest.mark.parametrize("pooled", [False, True])
def test_fit_with_the_given_noise_covariance_is_that_of_spm(spm_case, case: str, pooled: bool) -> None:
    spm = spm_case(case)
    bold, design, weights = laid_out(spm)
    rows = spm.table("out_V_firstrow.csv").set_index("roi")
    estimator = "pooled" if pooled else "reml"
    expected = spm.table("out_contrast.csv").set_index("roi")
    betas = betas_by_region(spm, "out_glm.csv", f"{estimator}_beta")
    for column, region in enumerate(spm.bold):
        row = rows.loc["POOLED" if pooled else region].to_numpy(np.float64)
        model = fit_region_glm(bold[:, [column]], design, drift=spm.drift, covariance_row=row)
        contrast = model.contrast(design.weights(weights))
        assert model.betas[:, 0] == pytest.approx(betas[region].to_numpy(), rel=1e-6)
        assert contrast.t[0] == pytest.approx(expected.loc[region, f"{estimator}_t"], rel=1e-6)


def test_covariance_components_are_those_of_spm(spm_case, share_of_largest, case: str) -> None:
    spm = spm_case(case)
    expected = spm.matrix("out_Q_firstrows.csv")
    assert share_of_largest(covariance_components(len(spm.bold)), expected) < 1e-10


def test_own_noise_covariance_and_t_values_are_close_to_those_of_spm(spm_case, case: str) -> None:
    spm = spm_case(case)
    bold, design, weights = laid_out(spm)
    rows = spm.table("out_V_firstrow.csv").set_index("roi")
    explained = np.column_stack([design.columns, spm.drift])
    own = [reml_covariance(bold[:, [column]], explained)[1] for column in range(bold.shape[1])]
    assert own == pytest.approx(rows.loc[list(spm.bold), "lag1"].to_numpy(), abs=0.005)
    assert reml_covariance(bold, explained)[1] == pytest.approx(rows.loc["POOLED", "lag1"], abs=0.005)
    contrast = activation_contrast(bold, design, weights, drift=spm.drift)
    expected = spm.table("out_contrast.csv")
    assert contrast.t == pytest.approx(expected["reml_t"].to_numpy(), rel=0.005)


def test_generalised_least_squares_with_drift_in_the_design_is_that_of_r(spm_case, case: str) -> None:
    spm = spm_case(case)
    bold, design, weights = laid_out(spm)
    whole = DesignMatrix(
        np.column_stack([design.columns, spm.drift]),
        (*design.names, *(f"drift_{order}" for order in range(spm.drift.shape[1]))),
    )
    expected, fits = spm.table("out_gls_contrast.csv"), spm.table("out_gls_fit.csv")
    for column in range(bold.shape[1]):
        row = fits["gls_rho"][column] ** np.arange(len(bold))
        model = fit_region_glm(bold[:, [column]], whole, drift=np.empty((len(bold), 0)), covariance_row=row)
        contrast = model.contrast(whole.weights(weights))
        # Not 1e-12: entries of the whitening matrix below 1e-6 are dropped, as SPM does it.
        assert contrast.effect[0] == pytest.approx(expected["gls_con"][column], rel=1e-5)
        assert contrast.standard_error[0] == pytest.approx(expected["gls_se"][column], rel=1e-5)


def test_autoregressive_noise_is_that_of_gls_in_r(shared_case, case: str) -> None:
    spm = shared_case(case)
    bold, design, _ = laid_out(spm)
    noise = ar1_noise(bold, np.column_stack([design.columns, spm.drift]))
    fit = spm.table("out_gls_fit.csv").set_index("roi").loc[list(spm.bold)]
    assert noise.correlation_rows[:, 1] == pytest.approx(fit["gls_rho"].to_numpy(), abs=3e-4)
    assert np.sqrt(noise.variance) == pytest.approx(fit["gls_sigma"].to_numpy(), rel=3e-4)


def test_ordinary_least_squares_is_that_of_r(shared_case, case: str) -> None:
    spm = shared_case(case)
    bold, design, weights = laid_out(spm)
    model = fit_region_glm(bold, design, drift=spm.drift)
    fit, contrast = spm.table("out_gls_fit.csv"), spm.table("out_gls_contrast.csv")
    betas = betas_by_region(spm, "out_gls.csv", "lm_beta")
    found = model.contrast(design.weights(weights))
    for position, name in enumerate(design.names[:-1]):
        assert model.betas[position] == pytest.approx(betas.loc[name].to_numpy(), rel=1e-8)
    assert found.effect == pytest.approx(contrast["lm_con"].to_numpy(), rel=1e-8)
    assert found.standard_error == pytest.approx(contrast["lm_se"].to_numpy(), rel=1e-8)
    assert model.residual_variance == pytest.approx(fit["lm_sigma2"].to_numpy(), rel=1e-8)


def test_filtered_design_and_residual_variance_are_those_of_spm(shared_case, share_of_largest, case: str) -> None:
    spm = shared_case(case)
    bold, design, _ = laid_out(spm)
    assert share_of_largest(remove_drift(design.columns, spm.drift), spm.table("out_design_filtered.csv")) < 1e-10
    fit = spm.table("out_fit.csv").set_index("roi").loc[list(spm.bold)]
    rows = spm.table("out_V_firstrow.csv").set_index("roi")
    ordinary = fit_region_glm(bold, design, drift=spm.drift)
    assert ordinary.residual_variance == pytest.approx(fit["ols_ResMS"].to_numpy(), rel=1e-8)
    assert ordinary.degrees_of_freedom == pytest.approx(fit["ols_erdf"].iloc[0], abs=1e-6)
    for column, region in enumerate(spm.bold):
        row = rows.loc[region].to_numpy(np.float64)
        whitened = fit_region_glm(bold[:, [column]], design, drift=spm.drift, covariance_row=row)
        assert whitened.residual_variance[0] == pytest.approx(fit.loc[region, "reml_ResMS"], rel=1e-6)


def test_planted_responses_are_ordered_as_planted(shared_case, case: str) -> None:
    spm = shared_case(case)
    bold, design, weights = laid_out(spm)
    truth = pd.read_json(spm.folder / "truth.json", typ="series")
    first, second = spm.params["conditions"]
    planted = {region: drive[first] - drive[second] for region, drive in truth["drive"].items()}
    coupled = {coupling["target"] for coupling in truth["coupling"]}
    found = activation_contrast(bold, design, weights, drift=spm.drift)
    for column, region in enumerate(spm.bold):
        if region not in coupled and abs(planted[region]) > 0.3:
            assert np.sign(found.effect[column]) == np.sign(planted[region])
