from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from predictor.errors import FeatureError
from training.timecourse.mixed_model import fit_edge_model

IS_TREATED = np.arange(26) < 12


def windows_of(rng: np.random.Generator, *, person_sd: float, effect: float = 0.0) -> np.ndarray:
    fisher_z = 0.3 + person_sd * rng.standard_normal((26, 1)) + 0.11 * rng.standard_normal((26, 5))
    fisher_z[IS_TREATED, 2] += effect
    return fisher_z


def within_mean_square(fisher_z: np.ndarray) -> tuple[float, float]:
    """Mean squares within and between people of a split-plot analysis of variance, arms and windows taken out."""
    residual = fisher_z.copy()
    for arm in (IS_TREATED, ~IS_TREATED):
        residual[arm] -= residual[arm].mean(axis=0)
    means = residual.mean(axis=1, keepdims=True)
    return float(((residual - means) ** 2).sum() / (24 * 4)), float(5 * (means**2).sum() / 24)


def test_complete_data_give_the_split_plot_analysis_of_variance(rng: np.random.Generator) -> None:
    fisher_z = windows_of(rng, person_sd=0.2, effect=-0.3)
    model = fit_edge_model(fisher_z, IS_TREATED)
    change = fisher_z[:, 1:] - fisher_z[:, :1]
    assert model.estimate == pytest.approx(change[IS_TREATED].mean(0) - change[~IS_TREATED].mean(0), abs=1e-9)
    within, between = within_mean_square(fisher_z)
    assert model.residual_sd**2 == pytest.approx(within, rel=1e-4)
    assert model.between_person_sd**2 == pytest.approx((between - within) / 5, rel=1e-3)
    error = np.sqrt(2 * within * (1 / 12 + 1 / 14))
    assert model.standard_error == pytest.approx(np.full(4, error), rel=1e-4)
    reach = stats.t.ppf(0.975, 96) * error
    assert model.upper - model.lower == pytest.approx(np.full(4, 2 * reach), rel=1e-4)
    cells = np.stack([fisher_z[arm].mean(0) for arm in (IS_TREATED, ~IS_TREATED)])
    interaction = cells - cells.mean(axis=1, keepdims=True)
    difference = interaction[0] - interaction[1]
    f_statistic = (difference**2).sum() / (1 / 12 + 1 / 14) / 4 / within
    assert model.f_statistic == pytest.approx(f_statistic, rel=1e-4)
    assert model.f_degrees_of_freedom == (4, 96)
    assert model.p_parametric == pytest.approx(stats.f.sf(f_statistic, 4, 96), rel=1e-3)


@pytest.mark.parametrize("seed", range(6))
def test_people_who_do_not_differ_are_the_bound_and_no_failure(seed: int) -> None:
    fisher_z = windows_of(np.random.default_rng(seed), person_sd=0.0)
    model = fit_edge_model(fisher_z, IS_TREATED)
    within, between = within_mean_square(fisher_z)
    expected = max(between - within, 0.0) / 5
    assert model.between_person_sd**2 == pytest.approx(expected, abs=1e-4)
    assert np.isfinite(model.standard_error).all()


def test_missing_windows_are_used_for_what_is_there(rng: np.random.Generator) -> None:
    fisher_z = windows_of(rng, person_sd=0.2, effect=-0.3)
    fisher_z[0, 0] = fisher_z[5, 3] = np.nan
    fisher_z[20] = np.nan
    model = fit_edge_model(fisher_z, IS_TREATED)
    assert (model.n_people, model.n_observations) == (25, 123)
    assert model.f_degrees_of_freedom[1] == 123 - 25 - 8
    # The same with whole covariance matrices, one block per person.
    person, window = np.nonzero(np.isfinite(fisher_z))
    treated = IS_TREATED[person]
    design = np.column_stack([np.ones(123), treated, *(window == w for w in range(1, 5))])
    design = np.column_stack([design, *((window == w) & treated for w in range(1, 5))])
    same_person = person[:, None] == person
    observed = fisher_z[person, window]

    def restricted_likelihood(between: float, residual: float) -> tuple[float, np.ndarray, np.ndarray]:
        covariance = residual * np.eye(123) + between * same_person
        inverse = np.linalg.inv(covariance)
        information = design.T @ inverse @ design
        coefficients = np.linalg.solve(information, design.T @ inverse @ observed)
        rest = observed - design @ coefficients
        half = np.linalg.slogdet(covariance)[1] + np.linalg.slogdet(information)[1] + rest @ inverse @ rest
        return -half / 2, coefficients, np.linalg.inv(information)

    between, residual = model.between_person_sd**2, model.residual_sd**2
    likelihood, coefficients, covariance = restricted_likelihood(between, residual)
    assert model.estimate == pytest.approx(coefficients[-4:], abs=1e-9)
    assert model.standard_error == pytest.approx(np.sqrt(np.diag(covariance))[-4:], rel=1e-6)
    for factors in ((0.97, 1), (1.03, 1), (1, 0.97), (1, 1.03)):
        assert restricted_likelihood(between * factors[0], residual * factors[1])[0] < likelihood


def test_a_window_without_an_arm_is_left_out(rng: np.random.Generator) -> None:
    fisher_z = windows_of(rng, person_sd=0.2)
    fisher_z[IS_TREATED, 4] = np.nan
    model = fit_edge_model(fisher_z, IS_TREATED)
    assert np.isnan(model.estimate).tolist() == [False, False, False, True]
    assert model.f_degrees_of_freedom[0] == 3
    assert model.estimate[:3] == pytest.approx(fit_edge_model(fisher_z[:, :4], IS_TREATED).estimate)


def test_what_cannot_be_estimated_is_said(rng: np.random.Generator) -> None:
    without_baseline = windows_of(rng, person_sd=0.2)
    without_baseline[IS_TREATED, 0] = np.nan
    with pytest.raises(FeatureError, match="lack one arm"):
        fit_edge_model(without_baseline, IS_TREATED)
    nearly_empty = np.full((26, 5), np.nan)
    nearly_empty[[0, 20], :2] = 0.3
    with pytest.raises(FeatureError, match="too few"):
        fit_edge_model(nearly_empty, IS_TREATED)
