"""gPPI designs and fits against SPM12, with our own deconvolution and with SPM's design."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from predictor.features.gppi import fit_gppi, gppi_design, gppi_estimates, seed_signals
from predictor.features.region_glm import fit_region_glm
from predictor.features.serial_correlation import ar1_noise, reml_covariance
from predictor.features.task_design import DesignMatrix, condition_regressors, remove_drift

CASES = ["gppi_block_AMY_VMPFC", "gppi_event_DACC_DLPFC"]
VARIANTS = ["centred", "uncentred"]
both = [pytest.mark.parametrize("case", CASES), pytest.mark.parametrize("variant", VARIANTS)]


def prepared(spm, variant: str):
    """Return the seeds (all regions), the index of the seed, and the targets' signals."""
    seeds = seed_signals(
        spm.bold.to_numpy(),
        spm.conditions,
        spm.grid,
        drift=spm.drift,
        center_psychological=variant == "centred",
    )
    return seeds, list(spm.bold).index(spm.params["seed_roi"]), spm.bold[spm.params["targets"]].to_numpy()


def betas_by_target(spm, variant: str, estimator: str):
    glm = spm.table(f"out_{variant}_glm.csv")
    wide = glm.pivot(index="regressor", columns="target", values=f"{estimator}_beta")
    return wide.loc[list(glm["regressor"].unique()), spm.params["targets"]].to_numpy()


def interaction_contrast(spm) -> dict[str, float]:
    first, second = spm.params["conditions"]
    return {f"ppi_{first}": 1.0, f"ppi_{second}": -1.0}


@both[0]
@both[1]
def test_design_with_own_deconvolution_is_that_of_spm(spm_case, share_of_largest, case: str, variant: str) -> None:
    spm = spm_case(case)
    expected = spm.table(f"out_{variant}_design.csv")
    seeds, seed_index, _ = prepared(spm, variant)
    design = gppi_design(seeds, seed_index)
    assert list(design.names) == list(expected)
    for name, column in zip(design.names, design.columns.T, strict=True):
        assert share_of_largest(column, expected[name]) < (1e-4 if name.startswith("ppi_") else 1e-10)
    physiological = spm.table("out_seed_scan.csv")["PPI_Y"]
    assert share_of_largest(seeds.physiological[:, seed_index], physiological) < 1e-10


@both[0]
@both[1]
def test_betas_end_to_end_are_those_of_spm(spm_case, share_of_largest, case: str, variant: str) -> None:
    spm = spm_case(case)
    seeds, seed_index, targets = prepared(spm, variant)
    model = fit_gppi(targets, seeds, seed_index, drift=spm.drift)
    contrast = model.contrast(model.design.weights(interaction_contrast(spm)))
    expected = spm.table(f"out_{variant}_contrast.csv")
    assert share_of_largest(model.betas[:-1], betas_by_target(spm, variant, "ols")[:-1]) < 1e-4
    assert share_of_largest(contrast.effect, expected["ols_con"]) < 1e-4
    assert share_of_largest(contrast.t, expected["ols_t"]) < 1e-4


@both[0]
@both[1]
def test_ordinary_least_squares_on_the_given_design_is_that_of_spm(
    spm_case, share_of_largest, case: str, variant: str
) -> None:
    spm = spm_case(case)
    given = spm.table(f"out_{variant}_design.csv")
    design = DesignMatrix(given.to_numpy(np.float64), tuple(given))
    _, _, targets = prepared(spm, variant)
    model = fit_region_glm(targets, design, drift=spm.drift)
    contrast = model.contrast(design.weights(interaction_contrast(spm)))
    expected = spm.table(f"out_{variant}_contrast.csv")
    assert share_of_largest(model.betas, betas_by_target(spm, variant, "ols")) < 1e-8
    assert contrast.t == pytest.approx(expected["ols_t"].to_numpy(), rel=1e-8)
    assert contrast.standard_error == pytest.approx(expected["ols_se"].to_numpy(), rel=1e-8)
    assert contrast.degrees_of_freedom == pytest.approx(expected["ols_df"][0], abs=1e-6)


@both[0]
@both[1]
def test_fit_with_the_given_noise_covariance_is_that_of_spm(spm_case, case: str, variant: str) -> None:
    spm = spm_case(case)
    given = spm.table(f"out_{variant}_design.csv")
    design = DesignMatrix(given.to_numpy(np.float64), tuple(given))
    rows = spm.table(f"out_{variant}_V_firstrow.csv").set_index("target")
    expected = spm.table(f"out_{variant}_contrast.csv").set_index("target")
    betas = betas_by_target(spm, variant, "reml")
    for position, target in enumerate(spm.params["targets"]):
        row = rows.loc[target].to_numpy(np.float64)
        model = fit_region_glm(spm.bold[[target]].to_numpy(), design, drift=spm.drift, covariance_row=row)
        contrast = model.contrast(design.weights(interaction_contrast(spm)))
        assert model.betas[:, 0] == pytest.approx(betas[:, position], rel=1e-6)
        assert contrast.t[0] == pytest.approx(expected.loc[target, "reml_t"], rel=1e-6)


@both[0]
@both[1]
def test_own_noise_covariance_is_close_to_that_of_spm(spm_case, case: str, variant: str) -> None:
    spm = spm_case(case)
    seeds, seed_index, _ = prepared(spm, variant)
    rows = spm.table(f"out_{variant}_V_firstrow.csv").set_index("target")
    expected = spm.table(f"out_{variant}_contrast.csv").set_index("target")
    explained = np.column_stack([gppi_design(seeds, seed_index).columns, spm.drift])
    for target in spm.params["targets"]:
        signal = spm.bold[[target]].to_numpy()
        row = reml_covariance(signal, explained)
        model = fit_gppi(signal, seeds, seed_index, drift=spm.drift, covariance_row=row)
        contrast = model.contrast(model.design.weights(interaction_contrast(spm)))
        assert row[1] == pytest.approx(rows.loc[target, "lag1"], abs=0.01)
        assert contrast.t[0] == pytest.approx(expected.loc[target, "reml_t"], rel=0.01)


@both[0]
@both[1]
def test_estimates_hold_the_contrast_of_every_seed_on_every_target(spm_case, case: str, variant: str) -> None:
    spm = spm_case(case)
    seeds, seed_index, _ = prepared(spm, variant)
    first, second = spm.params["conditions"]
    found = gppi_estimates(spm.bold.to_numpy(), seeds, {first: 1.0, second: -1.0}, drift=spm.drift)
    expected = spm.table(f"out_{variant}_contrast.csv").set_index("target")["ols_con"]
    for target, effect in expected.items():
        entry = seed_index, list(spm.bold).index(target)
        assert found.effect[entry] == pytest.approx(effect, abs=1e-4 * expected.abs().max())
    assert np.isnan(np.diag(found.effect)).all()
    assert np.isnan(np.diag(found.standard_error)).all()


@both[0]
@both[1]
def test_ar1_noise_is_that_of_gls_in_r_and_so_is_the_standard_error(shared_case, case: str, variant: str) -> None:
    spm = shared_case(case)
    fit = spm.table(f"out_{variant}_gls_fit.csv").set_index("roi").loc[spm.params["targets"]]
    expected = spm.table(f"out_{variant}_gls_contrast.csv").set_index("roi").loc[spm.params["targets"]]
    given = spm.table(f"out_{variant}_design.csv")
    _, seed_index, targets = prepared(spm, variant)
    noise = ar1_noise(targets, np.column_stack([given.to_numpy(np.float64), spm.drift]))
    assert noise.correlation_rows[:, 1] == pytest.approx(fit["gls_rho"].to_numpy(), abs=3e-4)
    assert np.sqrt(noise.variance) == pytest.approx(fit["gls_sigma"].to_numpy(), rel=3e-4)
    # Least squares with the noise's covariance, and generalised least squares, differ little; without it they differ a
    # lot: the standard errors of lm are a quarter too small.
    first, second = spm.params["conditions"]
    seeds, _, _ = prepared(spm, variant)
    found = gppi_estimates(spm.bold.to_numpy(), seeds, {first: 1.0, second: -1.0}, drift=spm.drift)
    columns = [list(spm.bold).index(target) for target in spm.params["targets"]]
    assert found.standard_error[seed_index, columns] == pytest.approx(expected["gls_se"].to_numpy(), rel=0.08)


@both[0]
@both[1]
def test_ordinary_least_squares_is_that_of_r(shared_case, share_of_largest, case: str, variant: str) -> None:
    spm = shared_case(case)
    given = spm.table(f"out_{variant}_design.csv")
    design = DesignMatrix(given.to_numpy(np.float64), tuple(given))
    _, _, targets = prepared(spm, variant)
    model = fit_region_glm(targets, design, drift=spm.drift)
    expected = spm.table(f"out_{variant}_gls.csv")
    contrast = spm.table(f"out_{variant}_gls_contrast.csv")
    fit = spm.table(f"out_{variant}_gls_fit.csv")
    for column, target in enumerate(spm.params["targets"]):
        rows = expected[expected["roi"] == target].set_index("regressor")
        for position, name in enumerate(design.names[:-1]):
            assert model.betas[position, column] == pytest.approx(rows.loc[name, "lm_beta"], rel=1e-8)
    found = model.contrast(design.weights(interaction_contrast(spm)))
    assert found.effect == pytest.approx(contrast["lm_con"].to_numpy(), rel=1e-8)
    assert found.standard_error == pytest.approx(contrast["lm_se"].to_numpy(), rel=1e-8)
    assert model.residual_variance == pytest.approx(fit["lm_sigma2"].to_numpy(), rel=1e-8)
    assert model.degrees_of_freedom == fit["lm_df"][0]


@both[0]
@both[1]
def test_parts_of_the_model_are_those_of_spm(shared_case, share_of_largest, case: str, variant: str) -> None:
    spm = shared_case(case)
    scan = spm.table("out_seed_scan.csv")
    seeds, seed_index, targets = prepared(spm, variant)
    assert share_of_largest(spm.drift, spm.matrix("out_dct.csv")) < 1e-10
    given = spm.table(f"out_{variant}_design.csv").to_numpy(np.float64)
    assert share_of_largest(remove_drift(given, spm.drift), spm.table(f"out_{variant}_design_filtered.csv")) < 1e-10
    shown = condition_regressors(spm.conditions, spm.grid)
    for name, regressor in zip(shown.names, shown.columns.T, strict=True):
        # PPI_P is made of the centred stimulus; convolved, its mean leaves a rise at the start.
        expected = scan[f"ppi_{variant}_{name}"].to_numpy()
        assert share_of_largest(seeds.interactions[name][:, seed_index], expected - expected.mean()) < 1e-4
        assert np.corrcoef(regressor[20:], scan[f"P_{name}"][20:])[0, 1] > 0.999
    fit = spm.table(f"out_{variant}_fit.csv").set_index("target").loc[spm.params["targets"]]
    model = fit_gppi(targets, seeds, seed_index, drift=spm.drift)
    assert model.residual_variance == pytest.approx(fit["ols_ResMS"].to_numpy(), rel=1e-4)
    assert model.degrees_of_freedom == pytest.approx(fit["ols_erdf"].iloc[0], abs=1e-6)


@pytest.mark.parametrize("case", CASES)
def test_planted_interactions_have_the_right_sign(shared_case, case: str) -> None:
    spm = shared_case(case)
    truth = pd.read_json(spm.folder / "truth.json", typ="series")
    first, second = spm.params["conditions"]
    seeds, seed_index, _ = prepared(spm, "centred")
    found = gppi_estimates(spm.bold.to_numpy(), seeds, {first: 1.0, second: -1.0}, drift=spm.drift)
    for coupling in truth["coupling"]:
        planted = coupling["mod"][first] - coupling["mod"][second]
        if coupling["source"] != spm.params["seed_roi"]:
            continue
        entry = seed_index, list(spm.bold).index(coupling["target"])
        if abs(planted) > 0.5:
            assert np.sign(found.effect[entry]) == np.sign(planted)
        # One run says little about size: within four standard errors of what was planted.
        assert abs(found.effect[entry] - planted) < 4 * found.standard_error[entry]
