from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from training.cohort.participants import read_participants
from training.extraction.feature_table import read_feature_table
from training.simulation.measured_tables import SimulatedTables, simulate_tables, true_values, write_tables
from training.simulation.trial import TrialPlan

MEAN_GPPI = "gppi_faces_mean__amygdala_L__vmPFC"


@cache
def tables() -> SimulatedTables:
    return simulate_tables(TrialPlan(n_patients=300, n_controls=10, seed=3))


def test_features_measure_the_inhibition_that_shapes_the_outcome_as_well_as_stated() -> None:
    truth = true_values(tables().people, changes=False)["true_inhibition"]
    values = tables().baseline.values
    # The true value of rdcm_faces is the inhibition itself, of which half the variance is measured.
    assert np.corrcoef(truth, values["rdcm_faces__vmPFC__amygdala_R"])[0, 1] == pytest.approx(-np.sqrt(0.5), abs=0.09)
    assert np.corrcoef(truth, values[MEAN_GPPI])[0, 1] < -0.5
    assert abs(np.corrcoef(truth, values["gppi_faces__dACC__amygdala_R"])[0, 1]) < 0.17


def test_two_visits_agree_as_the_reliability_says() -> None:
    later = tables().followup.values
    first = tables().baseline.values.loc[later.index]
    name = "rest_fisher_z__amygdala_L__dmPFC"
    assert np.corrcoef(first[name], later[name])[0, 1] == pytest.approx(0.6, abs=0.12)


@pytest.mark.parametrize(
    ("feature", "change"),
    [
        (f"change_{MEAN_GPPI}", "true_faces_connectivity"),
        ("change_activation_conflict_regulation__dACC", "true_conflict_regulation"),
        ("change_rest_fisher_z__vmPFC__insula_anterior_R", "true_rest_insula_connectivity"),
    ],
)
def test_each_change_score_rises_with_its_own_true_change(feature: str, change: str) -> None:
    values = tables().changes().values
    truth = true_values(tables().people, changes=True).loc[values.index]
    correlations = truth.corrwith(values[feature])
    assert correlations[change] > 0.4
    assert correlations.drop(change).abs().max() < 0.2


def test_only_patients_have_a_second_visit() -> None:
    assert len(tables().baseline.values) == 310
    assert len(tables().followup.values) == 300


def test_the_same_plan_gives_the_same_tables() -> None:
    plan = TrialPlan(n_patients=4, n_controls=0, seed=9)
    pd.testing.assert_frame_equal(simulate_tables(plan).baseline.values, simulate_tables(plan).baseline.values)


@pytest.mark.parametrize("changes", [False, True])
def test_written_tables_are_what_experiments_read(tmp_path: Path, changes: bool) -> None:
    plan = TrialPlan(n_patients=4, n_controls=1, seed=9)
    write_tables(simulate_tables(plan), tmp_path, changes=changes)
    table = read_feature_table(tmp_path / "features.tsv")
    assert ("change_madrs_total" in table.values) == changes
    assert set(table.values.index) <= set(read_participants(tmp_path / "participants.tsv").index)
    families = {definition.family for definition in table.definitions}
    assert {"change_gppi_faces", "change_scores"} <= families if changes else "gppi_faces" in families
