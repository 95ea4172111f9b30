from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from predictor.errors import MissingColumnError, TableError, TimecourseError
from training.timecourse.analysis import analyse, dissociation_change
from training.timecourse.cohort import TimecourseCohort, assemble_cohort
from training.timecourse.recording import PersonWindows
from training.timecourse.window_plan import load_window_plan

PLAN = load_window_plan()
NAMES = [f"sub-{number:02d}" for number in range(1, 13)]


def people(rng: np.random.Generator) -> list[PersonWindows]:
    return [PersonWindows(name, rng.standard_normal((5, 6)), np.full(5, 300), {}, f"sha256:{name}") for name in NAMES]


def participants() -> pd.DataFrame:
    table = {"arm": ["midazolam", "ketamine"] * 6, "cadss": np.arange(12.0), "site": ["a", "b", "c"] * 4}
    return pd.DataFrame(table, index=pd.Index(NAMES, name="participant_id"))


def cohort_of(measured: list[PersonWindows], table: pd.DataFrame, **options: object) -> TimecourseCohort:
    return assemble_cohort(measured, table, PLAN, **{"arm_column": "arm", **options})


def test_rows_follow_the_participants_whatever_the_tables_order(rng: np.random.Generator) -> None:
    measured = people(rng)
    cohort = cohort_of(measured[::-1], participants().sample(frac=1, random_state=1), dissociation_column="cadss")
    assert cohort.participant_ids == tuple(NAMES)
    assert cohort.arms == ("ketamine", "midazolam")
    assert cohort.is_treated.tolist() == [False, True] * 6
    assert cohort.dissociation.tolist() == list(range(12))
    assert np.array_equal(cohort.fisher_z, np.stack([person.fisher_z for person in measured]))
    assert np.array_equal(cohort.changes[3], measured[3].fisher_z[1:] - measured[3].fisher_z[0])


def test_everyone_left_out_is_named_with_the_reason(rng: np.random.Generator) -> None:
    measured = people(rng)
    blank = np.full((5, 6), np.nan)
    reasons = {(window, edge): "only 3 volumes" for window in range(5) for edge in range(6)}
    measured[0] = replace(measured[0], fisher_z=blank, missing=reasons)
    table = participants()
    table.loc["sub-02", "arm"] = np.nan
    cohort = cohort_of(measured[:-2], table.drop(index="sub-03"), failed={"sub-12": "the table is damaged"})
    assert dict(cohort.left_out) == {
        "sub-01": "has no usable window: only 3 volumes",
        "sub-02": "has no arm",
        "sub-03": "is not in participants.tsv",
        "sub-11": "has an arm, but no signals in the folder",
        "sub-12": "could not be read: the table is damaged",
    }
    assert cohort.participant_ids == tuple(NAMES[3:10])


def test_treated_arm_can_be_named_and_is_else_the_first_by_alphabet(rng: np.random.Generator) -> None:
    table = participants()
    assert cohort_of(people(rng), table, treatment="midazolam").arms == ("midazolam", "ketamine")
    table["arm"] = table["arm"].replace({"ketamine": "zinc", "midazolam": "iron"})
    assert cohort_of(people(rng), table).arms == ("iron", "zinc")
    with pytest.raises(TimecourseError, match="no arm is called ketamine"):
        cohort_of(people(rng), table, treatment="ketamine")


def test_arms_may_be_numbers(rng: np.random.Generator) -> None:
    numbered = participants()
    numbered["arm"] = (numbered["arm"] == "ketamine").astype(float)
    assert cohort_of(people(rng), numbered, treatment="1").arms == ("1", "0")


def test_what_cannot_be_compared_is_said(rng: np.random.Generator) -> None:
    with pytest.raises(TimecourseError, match="two arms"):
        cohort_of(people(rng), participants(), arm_column="site")
    with pytest.raises(MissingColumnError, match="group"):
        cohort_of(people(rng), participants(), arm_column="group")
    with pytest.raises(TableError, match="a number"):
        cohort_of(people(rng), participants(), dissociation_column="site")
    with pytest.raises(TimecourseError, match="usable window"):
        cohort_of([], participants())
    with pytest.raises(TimecourseError, match="2 people of the arm ketamine"):
        cohort_of(people(rng)[:5], participants())


def test_people_without_baseline_have_no_change(rng: np.random.Generator) -> None:
    measured = people(rng)
    for number in (1, 3, 5, 7):
        fisher_z = measured[number].fisher_z.copy()
        fisher_z[0] = np.nan
        measured[number] = replace(measured[number], fisher_z=fisher_z)
    with pytest.raises(TimecourseError, match="2 people of the arm ketamine have a change from the window baseline"):
        cohort_of(measured, participants())


def test_dissociation_is_related_to_the_mean_change_of_the_named_windows(rng: np.random.Generator) -> None:
    cohort = cohort_of(people(rng), participants(), dissociation_column="cadss")
    plan = replace(PLAN, dissociation_windows=("0-10", "20-30"))
    z = cohort.fisher_z
    assert dissociation_change(cohort, plan) == pytest.approx((z[:, 1] + z[:, 3]) / 2 - z[:, 0])


def test_analysis_is_the_same_for_the_same_seed_and_knows_what_it_lacks(rng: np.random.Generator) -> None:
    measured = people(rng)
    for number in range(1, 12, 2):  # the ketamine arm has no baseline of the first pair
        fisher_z = measured[number].fisher_z.copy()
        fisher_z[0, 0] = np.nan
        measured[number] = replace(measured[number], fisher_z=fisher_z)
    cohort = cohort_of(measured, participants(), dissociation_column="cadss")
    one, two = (analyse(cohort, PLAN, n_permutations=199, seed=3) for _ in range(2))
    assert np.array_equal(one.arm_test.p_family, two.arm_test.p_family, equal_nan=True)
    assert np.array_equal(one.associations[0].p_family, two.associations[0].p_family, equal_nan=True)
    assert one.models[0] is None
    assert one.models[1] is not None
    assert "lack one arm" in one.model_reasons["amygdala_L__vmPFC"]
    assert analyse(replace(cohort, dissociation=None), PLAN, n_permutations=19).associations == ()
