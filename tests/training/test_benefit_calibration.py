from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm

from training.evaluation.benefit_calibration import calibrate_benefit

N_PEOPLE = 120


def trial(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return predicted benefit, predicted prognosis, a covariate and who is treated."""
    is_treated = rng.permutation(np.arange(N_PEOPLE) % 2 == 0)
    predicted = rng.standard_normal(N_PEOPLE)
    return predicted, predicted + rng.standard_normal(N_PEOPLE), rng.standard_normal((N_PEOPLE, 1)), is_treated


def test_slope_and_average_are_those_of_the_regression_with_the_product(rng: np.random.Generator) -> None:
    predicted, prognosis, covariate, is_treated = trial(rng)
    arm = np.where(is_treated, 0.5, -0.5)
    outcome = 8 * arm + 3 * prognosis + 0.5 * arm * predicted + rng.standard_normal(N_PEOPLE)
    found = calibrate_benefit(predicted, prognosis, covariate, is_treated, outcome, n_training=np.inf)
    centred = predicted - predicted.mean()
    columns = [arm, arm * centred, np.ones(N_PEOPLE), covariate[:, 0], prognosis, centred]
    peer = sm.OLS(outcome, np.column_stack(columns)).fit(cov_type="HC3", use_t=True)
    assert [found.average, found.slope] == pytest.approx(peer.params[:2])
    assert [found.average_interval.lower, found.average_interval.upper] == pytest.approx(peer.conf_int(0.05)[0])
    assert found.slope_interval is not None
    assert [found.slope_interval.lower, found.slope_interval.upper] == pytest.approx(peer.conf_int(0.05)[1])


def test_intervals_hold_the_mean_benefit_of_people_with_that_prediction() -> None:
    rng = np.random.default_rng(3)
    held, n_cohorts = 0.0, 300
    for _ in range(n_cohorts):
        predicted, prognosis, covariate, is_treated = trial(rng)
        truth = 8 + 2.0 * predicted
        noise = rng.standard_normal(N_PEOPLE) * np.where(is_treated, 6, 2)
        outcome = truth * is_treated + 4 * covariate[:, 0] + 2 * prognosis + noise
        found = calibrate_benefit(predicted, prognosis, covariate, is_treated, outcome, n_training=np.inf)
        held += ((found.lower <= truth) & (truth <= found.upper)).mean()
    assert held / n_cohorts == pytest.approx(0.9, abs=0.04)


def test_without_differences_between_predictions_everyone_has_the_mean_benefit(rng: np.random.Generator) -> None:
    _, prognosis, covariate, is_treated = trial(rng)
    outcome = 8.0 * is_treated + rng.standard_normal(N_PEOPLE)
    found = calibrate_benefit(np.zeros(N_PEOPLE), prognosis, covariate, is_treated, outcome, n_training=np.inf)
    assert found.slope is None
    assert found.slope_interval is None
    assert (found.benefit == found.average).all()
    assert found.average == pytest.approx(8, abs=0.6)
    document = found.document()
    assert document["slope"] is None
    assert "same benefit for everyone" in document["slope_missing"]
    assert "not this individual" in document["about"]


def test_predictions_from_folds_that_share_people_widen_the_slope_alone(rng: np.random.Generator) -> None:
    predicted, prognosis, covariate, is_treated = trial(rng)
    outcome = 8.0 * is_treated + rng.standard_normal(N_PEOPLE)
    given, shared = (
        calibrate_benefit(predicted, prognosis, covariate, is_treated, outcome, n_training=n) for n in (np.inf, 80)
    )
    width = [one.slope_interval.upper - one.slope_interval.lower for one in (given, shared) if one.slope_interval]
    assert width[1] / width[0] == pytest.approx(np.sqrt(1 + 120 / 80))
    assert shared.average_interval == given.average_interval
