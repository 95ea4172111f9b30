from __future__ import annotations

import numpy as np
import pytest

from predictor.circuit.circuit import load_circuit
from predictor.errors import UsageError
from training.simulation.treatment_change import (
    CHANGES,
    KETAMINE_SLOPES,
    MADRS_RANGE,
    MIDAZOLAM_SLOPES,
    TreatmentChange,
    change_slopes,
    coupling_at_followup,
    draw_change,
    draw_depression,
)
from training.simulation.trial import (
    Effect,
    TrialPlan,
    improvement_percent,
    outcome_model,
    participants_table,
    simulate_people,
)

CIRCUIT = load_circuit()


def as_array(change: TreatmentChange) -> np.ndarray:
    return np.array([getattr(change, name) for name in CHANGES])


def test_changes_are_uncorrelated_and_go_with_the_noise_as_the_slopes_say(rng: np.random.Generator) -> None:
    noise = rng.standard_normal(20_000)
    changes = np.array([as_array(draw_change(float(e), KETAMINE_SLOPES, rng)) for e in noise])
    slopes = np.linalg.lstsq(changes, noise, rcond=None)[0]
    assert slopes == pytest.approx(KETAMINE_SLOPES, abs=0.03)
    assert np.corrcoef(changes.T) == pytest.approx(np.eye(3), abs=0.03)
    assert changes.mean(axis=0) == pytest.approx(0, abs=0.03)


@pytest.mark.parametrize("slopes", [KETAMINE_SLOPES, MIDAZOLAM_SLOPES])
def test_changes_leave_room_for_noise(slopes: tuple[float, ...]) -> None:
    assert sum(slope**2 for slope in slopes) < 1


def test_planted_signs_are_those_of_study_a() -> None:
    ketamine, midazolam = change_slopes("ketamine-only").values()
    faces, regulation, insula = ketamine
    assert faces > midazolam[0] > 0  # in both arms, and ketamine more than midazolam
    assert regulation < 0 < insula
    assert midazolam[1:] == (0.0, 0.0)
    assert not np.any(list(change_slopes("null").values()))


@pytest.mark.parametrize("effect", ["ketamine-only", "null"])
def test_improvement_in_a_large_trial_goes_with_the_true_changes(effect: Effect) -> None:
    people = simulate_people(TrialPlan(n_patients=1200, n_controls=0, seed=1, effect=effect), CIRCUIT)
    table = participants_table(people)
    before, after = (table[f"caps5_total_{when}"].to_numpy(float) for when in ("baseline", "followup"))
    percent = improvement_percent(before, after)
    is_ketamine = (table["arm"] == "ketamine").to_numpy()
    changes = np.array([as_array(person.change) for person in people if person.change])
    terms = np.column_stack([changes, np.ones(len(changes))])[is_ketamine]
    found = np.linalg.lstsq(terms, percent[is_ketamine], rcond=None)[0][:3]
    planted = np.array(change_slopes(effect)["ketamine"]) * outcome_model(effect).residual_sd_percent
    assert found == pytest.approx(planted, abs=4)  # three standard errors


def test_a_second_visit_changes_couplings_scan_and_nothing_else() -> None:
    (person, _) = simulate_people(TrialPlan(n_patients=2, n_controls=0, seed=1), CIRCUIT)
    after = person.at_followup(CIRCUIT)
    assert after.row == person.row
    assert after.scan_seed.spawn_key != person.scan_seed.spawn_key
    assert person.conflict_regulation_per_s == 0
    assert after.conflict_regulation_per_s != 0
    changed = np.argwhere(after.coupling.endogenous != person.coupling.endogenous)
    names = CIRCUIT.region_names
    assert {(names[source], names[target]) for target, source in changed} == {
        ("vmPFC", "insula_anterior_L"), ("vmPFC", "insula_anterior_R")
    }  # fmt: skip


def test_more_faces_connectivity_is_less_inhibition_and_dynamics_stay_stable() -> None:
    people = simulate_people(TrialPlan(n_patients=400, n_controls=0, seed=2), CIRCUIT)
    assert min(person.at_followup(CIRCUIT).coupling.slowest_decay_hz for person in people) > 0.1
    rise = TreatmentChange(faces_connectivity=0.5, conflict_regulation=0.0, rest_insula_connectivity=0.0)
    before = people[0].coupling
    after = coupling_at_followup(before, rise, CIRCUIT)
    assert after.inhibition_hz(during_faces=True) < before.inhibition_hz(during_faces=True)
    assert after.inhibition_hz(during_faces=False) == before.inhibition_hz(during_faces=False)


def test_controls_have_no_second_visit() -> None:
    people = simulate_people(TrialPlan(n_patients=2, n_controls=1), CIRCUIT)
    with pytest.raises(UsageError, match="control"):
        people[-1].at_followup(CIRCUIT)
    assert people[-1].row["madrs_total_baseline"] == "n/a"


def test_depression_improves_along_with_ptsd_and_stays_on_its_scale(rng: np.random.Generator) -> None:
    deviation = rng.standard_normal(3000)
    drawn = [draw_depression("ketamine", float(one), rng) for one in deviation]
    before, after = (np.array([one[f"madrs_total_{when}"] for one in drawn]) for when in ("baseline", "followup"))
    assert after.min() >= MADRS_RANGE[0]
    assert after.max() <= MADRS_RANGE[1]
    assert np.corrcoef(deviation, improvement_percent(before, after))[0, 1] == pytest.approx(0.6, abs=0.06)
