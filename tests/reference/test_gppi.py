"""gPPI designs and fits against SPM12, with our own deconvolution and with SPM's design."""

from __future__ import annotations

import numpy as np
import pytest

from predictor.features.gppi import fit_gppi, gppi_design, gppi_matrix, seed_signals
from predictor.features.region_glm import fit_region_glm
from predictor.features.serial_correlation import reml_covariance
from predictor.features.task_design import DesignMatrix

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
def test_matrix_holds_the_contrast_of_every_seed_on_every_target(spm_case, case: str, variant: str) -> None:
    spm = spm_case(case)
    seeds, seed_index, _ = prepared(spm, variant)
    first, second = spm.params["conditions"]
    matrix = gppi_matrix(spm.bold.to_numpy(), seeds, {first: 1.0, second: -1.0}, drift=spm.drift)
    expected = spm.table(f"out_{variant}_contrast.csv").set_index("target")["ols_con"]
    for target, effect in expected.items():
        found = matrix[seed_index, list(spm.bold).index(target)]
        assert found == pytest.approx(effect, abs=1e-4 * expected.abs().max())
    assert np.isnan(np.diag(matrix)).all()
