from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import statsmodels.api as sm

from predictor.circuit.circuit import load_circuit
from predictor.features.recipe import default_recipe
from predictor.scan.cleaning import clean, percent_signal_change
from predictor.scan.confounds import select_confounds
from predictor.scan.session import read_visit
from predictor.scan.visit_files import find_visits
from training.simulation.planted_truth import (
    half_run_edges,
    oracle_shares,
    planted_edges,
    split_half_reliability,
    truth_document,
)
from training.simulation.trial import TrialPlan, improvement_percent, inhibition_sd, participants_table, simulate_people

CIRCUIT = load_circuit()


def test_reliability_is_that_of_the_whole_measurement(rng: np.random.Generator) -> None:
    # Halves with as much noise as makes the mean of both reliable to .6: var(noise of a half) = 2 * .4 / .6.
    true = rng.standard_normal((40_000, 1, 1))
    halves = true + np.sqrt(2 * 0.4 / 0.6) * rng.standard_normal((40_000, 2, 1))
    assert split_half_reliability(halves) == pytest.approx([0.6], abs=0.02)


def test_people_whose_run_cannot_be_cleaned_are_left_out(rng: np.random.Generator) -> None:
    halves = rng.standard_normal((50, 2, 2))
    with_gap = np.concatenate([halves, np.full((3, 2, 2), np.nan)])
    assert np.array_equal(split_half_reliability(with_gap), split_half_reliability(halves))
    assert np.isnan(split_half_reliability(halves[:2])).all()


def test_oracle_is_ordinary_least_squares_on_the_true_couplings() -> None:
    people = simulate_people(TrialPlan(n_patients=80, n_controls=6, seed=9), CIRCUIT)
    table = participants_table(people).query("group == 'patient'")
    patients = [person for person in people if person.row["group"] == "patient"]
    before, after = (table[f"caps5_total_{when}"].to_numpy(float) for when in ("baseline", "followup"))
    arm = (table["arm"] == "ketamine").to_numpy(float)
    truth = np.array([inhibition_sd(person.coupling) for person in patients])
    design = np.column_stack([arm, before, table["age"].to_numpy(float), table["sex"] == "F", truth, arm * truth])
    outcome = improvement_percent(before, after)
    adjusted = [
        sm.OLS(outcome, sm.add_constant(design[:, :n_terms].astype(float))).fit().rsquared_adj for n_terms in (1, 4, 6)
    ]
    shares = oracle_shares(people)
    assert [shares["arm"], shares["arm_clinical"], shares["oracle"]] == pytest.approx(adjusted)
    assert shares["oracle_beyond_arm_clinical"] == pytest.approx(adjusted[2] - adjusted[1])


@pytest.mark.parametrize(("effect", "low", "high"), [("ketamine-only", 0.28, 0.40), ("null", -0.02, 0.02)])
def test_oracle_explains_what_was_planted(effect: str, low: float, high: float) -> None:
    plan = TrialPlan(n_patients=600, n_controls=0, seed=1, effect=effect)  # type: ignore[arg-type]
    beyond = oracle_shares(simulate_people(plan, CIRCUIT))["oracle_beyond_arm_clinical"]
    assert beyond is not None
    assert low < beyond < high


def test_halves_are_those_of_the_cleaned_run(small_trial: Path) -> None:
    recipe = default_recipe()
    visit = find_visits(small_trial, bids_dir=None, tasks=recipe.tasks, participant_labels=["001"])[0]
    session = read_visit(visit, CIRCUIT, recipe.tasks)
    run = session.of_kind("rest")[0]
    assert run is not None
    confounds = select_confounds(run.confounds, "motion24_wm_csf", censor_framewise_displacement_mm=0.5)
    cleaned = clean(percent_signal_change(run.recording), confounds, high_pass_hz=0.008, low_pass_hz=0.1)
    second = np.corrcoef(cleaned.bold[len(cleaned.bold) // 2 :], rowvar=False)
    place = [cleaned.region_names.index(name) for name in planted_edges(CIRCUIT)[1]]
    assert half_run_edges(session, recipe)[1, 1] == pytest.approx(np.arctanh(second[place[0], place[1]]))


def test_truth_tells_everyones_couplings_and_the_seed(small_trial: Path) -> None:
    written = json.loads((small_trial / "planted_truth.json").read_text())
    plan = TrialPlan(n_patients=2, n_controls=1, seed=5)
    people = simulate_people(plan, CIRCUIT)
    assert written["plan"]["seed"] == 5
    assert set(written["participants"]) == {person.participant_id for person in people}
    for person in people:
        entry = written["participants"][person.participant_id]["endogenous_hz"]
        expected = person.coupling.hz("vmPFC", "amygdala_L", during_faces=False)
        assert entry["vmPFC->amygdala_L"] == pytest.approx(expected, abs=1e-6)


def test_document_is_json_even_for_a_cohort_too_small_to_measure() -> None:
    plan = TrialPlan(n_patients=2, n_controls=0)
    document = truth_document(plan, simulate_people(plan, CIRCUIT), np.full((2, 2, 2), np.nan), CIRCUIT)
    text = json.dumps(document, allow_nan=False)
    assert json.loads(text)["measured"]["split_half_reliability"]["mean"] is None
