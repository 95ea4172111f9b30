from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from predictor.circuit.circuit import load_circuit
from predictor.errors import UsageError
from training.simulation.trial import (
    BASELINE_MEAN,
    BASELINE_RANGE,
    BASELINE_SD,
    Effect,
    TrialPlan,
    improvement_percent,
    inhibition_sd,
    outcome_model,
    participants_table,
    simulate_people,
)

CIRCUIT = load_circuit()


@pytest.mark.parametrize("effect", ["ketamine-only", "prognostic", "null"])
def test_outcome_is_scaled_to_the_parent_trial_whatever_is_planted(effect: Effect) -> None:
    model = outcome_model(effect)
    rest = model.baseline_slope_percent**2 + model.residual_sd_percent**2
    spread = {arm: np.sqrt(slope**2 + rest) for arm, slope in model.inhibition_slope_percent.items()}
    responders = {arm: stats.norm.sf(30, model.mean_percent[arm], spread[arm]) for arm in spread}
    assert responders == pytest.approx({"ketamine": 0.67, "midazolam": 0.20})
    low, high = (np.array(BASELINE_RANGE) - BASELINE_MEAN) / BASELINE_SD
    baseline = stats.truncnorm(low, high, BASELINE_MEAN, BASELINE_SD).mean()
    difference = model.mean_percent["ketamine"] - model.mean_percent["midazolam"]
    assert difference * baseline / 100 == pytest.approx(11.9)


@pytest.mark.parametrize(("effect", "n_acting"), [("ketamine-only", 1), ("prognostic", 2), ("null", 0)])
def test_couplings_explain_the_share_that_strength_says(effect: Effect, n_acting: int) -> None:
    model = outcome_model(effect, 0.3)
    slopes = np.array(list(model.inhibition_slope_percent.values()))
    means = np.array(list(model.mean_percent.values()))
    total = means.var() + np.mean(slopes**2) + model.baseline_slope_percent**2 + model.residual_sd_percent**2
    assert np.count_nonzero(slopes) == n_acting
    assert (slopes <= 0).all()
    assert np.mean(slopes**2) / total == pytest.approx(0.3 if n_acting else 0)


def test_large_cohort_shows_the_parent_trials_figures() -> None:
    people = simulate_people(TrialPlan(n_patients=1600, n_controls=0, seed=2), CIRCUIT)
    table = participants_table(people)
    before, after = (table[f"caps5_total_{when}"].to_numpy(float) for when in ("baseline", "followup"))
    percent = improvement_percent(before, after)
    is_ketamine = (table["arm"] == "ketamine").to_numpy()
    # Three standard errors of a share of 800.
    assert np.mean(percent[is_ketamine] >= 30) == pytest.approx(0.67, abs=0.05)
    assert np.mean(percent[~is_ketamine] >= 30) == pytest.approx(0.20, abs=0.045)
    assert (before - after)[is_ketamine].mean() - (before - after)[~is_ketamine].mean() == pytest.approx(11.9, abs=1.5)
    truth = np.array([inhibition_sd(person.coupling) for person in people])
    assert np.corrcoef(truth[is_ketamine], percent[is_ketamine])[0, 1] < -0.7
    assert abs(np.corrcoef(truth[~is_ketamine], percent[~is_ketamine])[0, 1]) < 0.12
    assert ((after >= 0) & (after <= 80) & (after == after.round())).all()


def test_arms_are_equal_and_balanced_within_site_and_sex() -> None:
    table = participants_table(simulate_people(TrialPlan(n_patients=60, n_controls=10, seed=4), CIRCUIT))
    patients = table[table["group"] == "patient"]
    assert patients["arm"].value_counts().to_dict() == {"ketamine": 30, "midazolam": 30}
    for _, stratum in patients.groupby(["site", "sex"]):
        counts = stratum["arm"].value_counts()
        assert abs(counts.get("ketamine", 0) - counts.get("midazolam", 0)) <= 2


def test_controls_have_neither_arm_nor_caps5() -> None:
    table = participants_table(simulate_people(TrialPlan(n_patients=2, n_controls=3), CIRCUIT))
    controls = table[table["group"] == "control"]
    assert len(controls) == 3
    assert (controls[["arm", "caps5_total_baseline", "caps5_total_followup"]] == "n/a").all().all()


def test_same_plan_gives_the_same_people_and_another_seed_others() -> None:
    def drawn(seed: int) -> list[float]:
        people = simulate_people(TrialPlan(n_patients=6, n_controls=1, seed=seed), CIRCUIT)
        return [inhibition_sd(person.coupling) for person in people]

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)


def test_effect_changes_outcomes_but_not_brains() -> None:
    planted, null = (
        simulate_people(TrialPlan(n_patients=20, n_controls=0, seed=3, effect=effect), CIRCUIT)
        for effect in ("ketamine-only", "null")
    )
    assert all(np.array_equal(a.coupling.endogenous, b.coupling.endogenous) for a, b in zip(planted, null, strict=True))
    assert [a.row for a in planted] != [b.row for b in null]


@pytest.mark.parametrize(
    "plan", [{"n_patients": 3}, {"n_patients": 0}, {"n_controls": -1}, {"seed": -1}, {"effect": "some"}]
)
def test_impossible_plans_are_wrong_use(plan: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        TrialPlan(**plan)  # type: ignore[arg-type]


@pytest.mark.parametrize("strength", [0.9, 1.0, -0.1, float("nan")])
def test_strength_that_leaves_no_room_is_wrong_use(strength: float) -> None:
    with pytest.raises(UsageError, match="strength"):
        outcome_model("ketamine-only", strength)
