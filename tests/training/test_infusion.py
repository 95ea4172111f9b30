from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from predictor.errors import UsageError
from training.simulation.infusion import (
    BASELINE_MIN,
    PLANTED_EDGES,
    PLANTED_MIN,
    REGIONS,
    REPETITION_TIME_S,
    InfusedPerson,
    InfusionPlan,
    planted_course,
    simulate_infused_people,
    simulate_infusion,
)

SMALL = InfusionPlan(n_ketamine=2, n_midazolam=1, seed=3)


def correlation(person: InfusedPerson, edge: tuple[str, str], start_min: float, end_min: float) -> float:
    first, stop = (int((BASELINE_MIN + minute) * 60 / REPETITION_TIME_S) for minute in (start_min, end_min))
    kept = person.motion.framewise_displacement_mm[first:stop] <= 0.15
    columns = [REGIONS.index(name) for name in edge]
    return float(np.corrcoef(person.bold[first:stop][kept][:, columns], rowvar=False)[0, 1])


def test_the_planted_decrease_lies_where_it_was_planted() -> None:
    people = list(simulate_infused_people(InfusionPlan(n_ketamine=25, n_midazolam=25, seed=1, decrease_z=0.4)))
    changes = {}
    for arm in ("ketamine", "midazolam"):
        members = [person for person in people if person.arm == arm]
        for edge in (PLANTED_EDGES[0], ("amygdala_L", "dmPFC")):
            for window in ((10, 20), (20, 30)):
                z = [[np.arctanh(correlation(p, edge, *w)) for w in ((-10, 0), window)] for p in members]
                changes[arm, edge[1], window] = float(np.diff(np.array(z), axis=1).mean())
    # Ramps of a minute and an average over the window leave nine tenths of the decrease.
    drop = changes["ketamine", "vmPFC", (10, 20)] - changes["midazolam", "vmPFC", (10, 20)]
    assert drop == pytest.approx(-0.36, abs=0.1)
    assert changes["ketamine", "vmPFC", (20, 30)] == pytest.approx(changes["midazolam", "vmPFC", (20, 30)], abs=0.1)
    assert changes["ketamine", "dmPFC", (10, 20)] == pytest.approx(changes["midazolam", "dmPFC", (10, 20)], abs=0.1)


def test_course_is_zero_outside_the_planted_minutes() -> None:
    course = planted_course()
    minutes = np.arange(len(course)) - BASELINE_MIN
    assert (course[(minutes < PLANTED_MIN[0]) | (minutes >= PLANTED_MIN[1])] == 0).all()
    assert course.max() == 1
    assert course.sum() == pytest.approx(9)


def test_dissociation_is_stronger_under_ketamine_and_with_the_decrease() -> None:
    people = list(simulate_infused_people(InfusionPlan(n_ketamine=50, n_midazolam=20, seed=2)))
    ketamine = [person for person in people if person.arm == "ketamine"]
    midazolam = [person.cadss for person in people if person.arm == "midazolam"]
    assert np.mean([person.cadss for person in ketamine]) > np.mean(midazolam) + 10
    related = np.corrcoef([p.decrease_z for p in ketamine], [p.cadss for p in ketamine])[0, 1]
    assert related == pytest.approx(0.8, abs=0.15)
    assert all(0 <= person.cadss <= 92 for person in people)


def test_null_plants_nothing() -> None:
    people = list(simulate_infused_people(InfusionPlan(n_ketamine=2, n_midazolam=2, effect="null")))
    assert [person.decrease_z for person in people] == [0.0] * 4


def test_study_on_disk_says_what_it_is_and_is_the_same_for_the_same_seed(tmp_path: Path) -> None:
    simulate_infusion(tmp_path / "one", SMALL)
    simulate_infusion(tmp_path / "two", SMALL)
    digests = [
        {str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in root.rglob("*") if p.is_file()}
        for root in (tmp_path / "one", tmp_path / "two")
    ]
    assert digests[0] == digests[1]
    assert "sub-01/ses-infusion/func/sub-01_ses-infusion_task-rest_seg-fronto_stat-mean_timeseries.tsv" in digests[0]
    description = json.loads((tmp_path / "one" / "dataset_description.json").read_text())
    assert "simulated, no real participants" in description["Name"]
    participants = pd.read_csv(tmp_path / "one" / "participants.tsv", sep="\t")
    assert sorted(participants["arm"]) == ["ketamine", "ketamine", "midazolam"]
    truth = json.loads((tmp_path / "one" / "planted_truth.json").read_text())
    assert truth["planted_edges"] == [list(edge) for edge in PLANTED_EDGES]


def test_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="not empty"):
        simulate_infusion(tmp_path, SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("plan", [{"n_ketamine": 0}, {"seed": -1}, {"decrease_z": 2.0}, {"effect": "large"}])
def test_impossible_plans_are_refused(plan: dict) -> None:
    with pytest.raises(UsageError):
        InfusionPlan(**plan)
