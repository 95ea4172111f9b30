from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from predictor.errors import ConfigError, FeatureError
from predictor.features.recipe import region_table_recipe
from predictor.scan.session import BaselineSession
from training.cohort.timeseries_table import TableVisit, find_table_visits
from training.simulation.infusion import REGIONS, InfusionPlan, simulate_infusion
from training.timecourse.recording import measure_people, measure_session
from training.timecourse.result_files import write_sliding
from training.timecourse.window_plan import SlidingPlan, load_window_plan

PLAN = load_window_plan()
RECIPE = region_table_recipe(REGIONS, censor_framewise_displacement_mm=0.15)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("infusion") / "study"
    simulate_infusion(out, InfusionPlan(n_ketamine=1, n_midazolam=1, seed=4))
    return out


@pytest.fixture
def visit(study: Path) -> TableVisit:
    return find_table_visits(study)[0]


def cut_short(session: BaselineSession, n_volumes: int) -> BaselineSession:
    """Return the session with its run cut off, and without confounds."""
    recording = session.runs[0].recording
    shorter = replace(recording, bold=recording.bold[:n_volumes].copy(), carpet=recording.carpet[:n_volumes])
    return BaselineSession((replace(session.runs[0], recording=shorter, confounds=None),))


def test_a_cell_is_the_fisher_z_of_the_windows_kept_volumes(study: Path, visit: TableVisit) -> None:
    found = measure_session(visit.read(RECIPE), RECIPE, PLAN, participant_id="sub-01")
    stem = study / "sub-01/ses-infusion/func/sub-01_ses-infusion_task-rest"
    signals = pd.read_csv(f"{stem}_seg-fronto_stat-mean_timeseries.tsv", sep="\t")
    moved = pd.read_csv(f"{stem}_desc-confounds_timeseries.tsv", sep="\t")["framewise_displacement"]
    assert (moved > 0.15).any()
    minute = np.arange(len(signals)) * 2 / 60 - 10
    for window, (start, end) in enumerate([(-10, 0), (0, 10), (10, 20), (20, 30), (30, 40)]):
        kept = signals[(minute >= start) & (minute < end) & ~(moved > 0.15).to_numpy()]
        assert found.n_volumes[window] == len(kept)
        for edge, (source, target) in enumerate(PLAN.edges):
            expected = np.arctanh(np.corrcoef(kept[source], kept[target])[0, 1])
            assert found.fisher_z[window, edge] == pytest.approx(expected, abs=1e-10)
    assert not found.missing


def test_short_run_lost_region_and_absent_run_are_missing_with_a_reason(visit: TableVisit) -> None:
    session = cut_short(visit.read(RECIPE), 1200)  # 40 minutes: the last window is not reached
    session.runs[0].recording.bold[:, REGIONS.index("dmPFC")] = 1.0
    later = replace(PLAN, windows=(*PLAN.windows, replace(PLAN.windows[1], name="again", run=2)))
    found = measure_session(session, RECIPE, later, participant_id="sub-01")
    edge = {name: number for number, name in enumerate(PLAN.edge_names)}
    window = {name: number for number, name in enumerate(later.window_names)}
    assert "dmPFC" in found.missing[window["0-10"], edge["amygdala_L__dmPFC"]]
    assert found.missing[window["again"], 0] == "the visit has no resting run 2"
    assert np.isfinite(found.fisher_z[window["20-30"], edge["amygdala_L__vmPFC"]])
    assert found.n_volumes[window["30-40"]] == 0
    assert "0 of 300 volumes" in found.missing[window["30-40"], edge["amygdala_L__vmPFC"]]
    is_missing = np.isnan(found.fisher_z)
    assert set(found.missing) == {(int(row), int(column)) for row, column in np.argwhere(is_missing)}


def test_run_with_too_few_volumes_is_missing_throughout(visit: TableVisit) -> None:
    session = visit.read(RECIPE)
    strict = replace(RECIPE, minimum_volumes=2000)
    found = measure_session(session, strict, PLAN, participant_id="sub-01")
    assert np.isnan(found.fisher_z).all()
    assert all("2000 are needed" in reason for reason in found.missing.values())


def test_minimum_minutes_rule_out_short_rests_of_a_window(visit: TableVisit) -> None:
    short = cut_short(visit.read(RECIPE), 1400)  # 6.7 minutes are left of the last ten
    lenient = measure_session(short, RECIPE, PLAN, participant_id="sub-01")
    strict = measure_session(short, RECIPE, replace(PLAN, minimum_minutes=7.0), participant_id="sub-01")
    assert np.isfinite(lenient.fisher_z[4]).all()
    assert np.isnan(strict.fisher_z[4]).all()
    assert np.isfinite(strict.fisher_z[:4]).all()


def test_unknown_repetition_time_is_an_error_that_says_what_to_do(study: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(study, tmp_path / "copy")
    next(copy.glob("sub-01/**/*_timeseries.json")).unlink()
    without = find_table_visits(copy)[0]
    with pytest.raises(FeatureError, match="repetition time is unknown") as caught:
        measure_session(without.read(RECIPE), RECIPE, PLAN, participant_id="sub-01")
    assert "RepetitionTime" in caught.value.remedy


def test_one_bad_visit_stops_nobody_else(study: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(study, tmp_path / "copy")
    confounds = next(copy.glob("sub-01/**/*_desc-confounds_timeseries.tsv"))
    confounds.write_text("".join(confounds.read_text().splitlines(keepends=True)[:-2]))
    measured, failed = measure_people(find_table_visits(copy), RECIPE, PLAN, n_jobs=1)
    assert [person.participant_id for person in measured] == ["sub-02"]
    assert [(failure.participant_id, failure.code) for failure in failed] == [("sub-01", "confounds-row-mismatch")]


def test_regions_that_the_signals_lack_are_named_before_anything_is_read(study: Path) -> None:
    plan = replace(PLAN, edges=(("amygdala_L", "nowhere"),))
    with pytest.raises(ConfigError, match="nowhere"):
        measure_people(find_table_visits(study), RECIPE, plan, n_jobs=1)


def test_sliding_windows_move_over_the_infusion_and_agree_with_named_ones(visit: TableVisit, tmp_path: Path) -> None:
    plan = replace(PLAN, sliding=SlidingPlan(length_min=10.0, step_min=2.5))
    found = measure_session(visit.read(RECIPE), RECIPE, plan, participant_id="sub-01")
    assert found.sliding is not None
    assert found.sliding.fisher_z.shape == (17, len(plan.edges))  # 50 minutes
    assert found.sliding.fisher_z[::4] == pytest.approx(found.fisher_z)
    write_sliding(tmp_path, [found], plan)
    table = pd.read_csv(tmp_path / "sliding.tsv", sep="\t")
    assert table["start_min"].min() == -10
    assert table["end_min"].max() == 40
    assert len(table) == 17 * len(plan.edges)
    write_sliding(tmp_path, [replace(found, sliding=None)], PLAN)
    assert not (tmp_path / "sliding.tsv").exists()


def test_a_run_shorter_than_a_sliding_window_has_none(visit: TableVisit) -> None:
    plan = replace(PLAN, sliding=SlidingPlan(length_min=60.0, step_min=1.0))
    found = measure_session(visit.read(RECIPE), RECIPE, plan, participant_id="sub-01")
    assert found.sliding is not None
    assert found.sliding.windows == ()
