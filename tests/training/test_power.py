from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats

from training.evaluation.power import power_to_find, smallest_found, state_power


def test_power_is_how_often_simulated_cohorts_find_the_effect(rng: np.random.Generator) -> None:
    for n_people, gain in ((21, 0.2), (60, 0.1)):
        slope = np.sqrt(gain / (1 - gain))
        x, noise = rng.standard_normal((2, 4000, n_people))
        r = np.array([np.corrcoef(a, b)[0, 1] for a, b in zip(x, slope * x + noise, strict=True)])
        t = r * np.sqrt((n_people - 2) / (1 - r**2))
        share = (t > stats.t.ppf(0.95, n_people - 2)).mean()
        assert power_to_find(gain, n_people) == pytest.approx(share, abs=3 * 0.5 / np.sqrt(4000))


def test_power_beyond_a_baseline_is_how_often_its_coefficient_is_found(rng: np.random.Generator) -> None:
    n_found, n_cohorts = 0, 600
    for _ in range(n_cohorts):
        arm, signal, noise = rng.standard_normal((3, 40))
        outcome = np.sqrt(0.28) * arm + np.sqrt(0.1) * signal + np.sqrt(0.62) * noise
        fitted = sm.OLS(outcome, sm.add_constant(np.column_stack([arm, signal]))).fit()
        n_found += fitted.tvalues[2] > stats.t.ppf(0.95, 37)
    expected = power_to_find(0.1, 40, baseline_r2=0.28, n_baseline_terms=1)
    assert n_found / n_cohorts == pytest.approx(expected, abs=3 * np.sqrt(expected * (1 - expected) / n_cohorts))


def test_without_an_effect_it_is_the_level_and_grows_with_people_and_effect() -> None:
    assert power_to_find(0.0, 50) == 0.05
    assert power_to_find(1e-6, 50) == pytest.approx(0.05, abs=1e-3)
    assert power_to_find(0.1, 20) < power_to_find(0.1, 40) < power_to_find(0.2, 40)
    assert power_to_find(0.1, 3, n_baseline_terms=1) == 0.0


def test_the_smallest_effect_found_has_just_the_wanted_power() -> None:
    r2 = smallest_found(21)
    assert r2 is not None
    assert power_to_find(r2, 21) == pytest.approx(0.8, abs=1e-3)
    assert smallest_found(4, n_baseline_terms=2) is None


def test_the_statement_names_people_and_effects_and_survives_odd_baselines() -> None:
    first, second = state_power(21, baseline_r2=0.28, n_baseline_terms=1).lines()
    assert "21 people" in first
    assert "fixed beforehand" in first
    assert "beyond a baseline with R2 0.28" in second
    assert state_power(21, baseline_r2=-0.4).against_baseline == state_power(21).against_zero
    document = state_power(100, baseline_r2=0.95).document()
    assert [row["r2"] for row in document["against_zero"]] == [0.05, 0.1, 0.2, 0.3]
    assert len(document["against_baseline"]) <= 1
