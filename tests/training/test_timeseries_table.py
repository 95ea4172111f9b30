from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from nilearn.connectome import ConnectivityMeasure
from sklearn.covariance import LedoitWolf

from predictor.errors import (
    DuplicateParticipantError,
    RowMismatchError,
    SessionError,
    TableError,
    UnknownParticipantError,
)
from predictor.features.extraction import extract_features
from predictor.scan.confounds import select_confounds
from training.cohort.timeseries_table import default_censor_mm, find_table_visits, has_tables, table_recipe

REGIONS = ["GlobSig", "amygdala_L", "vmPFC", "dACC"]


def _person(
    folder: Path, name: str, rng: np.random.Generator, *, regions: list[str] = REGIONS, n_fd: int = 120
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    table = pd.DataFrame(rng.standard_normal((120, len(regions))), columns=regions)
    path = folder / f"{name}_task-rest_timeseries.tsv.gz"
    path.write_bytes(gzip.compress(table.to_csv(sep="\t", index=False).encode()))
    moved = pd.DataFrame({"framewise_displacement": rng.uniform(0, 0.2, n_fd)})
    moved.iloc[0] = np.nan
    moved.to_csv(folder / f"{name}_task-rest_desc-confounds_timeseries.tsv", sep="\t", index=False, na_rep="n/a")


def test_tables_are_found_in_folders_per_site(tmp_path: Path, rng: np.random.Generator) -> None:
    _person(tmp_path / "site-b", "sub-02", rng)
    _person(tmp_path / "site-a", "sub-01", rng)
    visits = find_table_visits(tmp_path)
    assert [visit.participant_id for visit in visits] == ["sub-01", "sub-02"]
    assert all(visit.files.runs[0].confounds is not None for visit in visits)
    assert has_tables(tmp_path)
    assert not has_tables(tmp_path / "site-b" / "none")


def test_features_are_what_nilearn_makes_of_the_kept_volumes(tmp_path: Path, rng: np.random.Generator) -> None:
    _person(tmp_path, "sub-01", rng)
    visits = find_table_visits(tmp_path)
    recipe = table_recipe(visits, censor_framewise_displacement_mm=0.15)
    features = extract_features(visits[0].read(recipe), recipe)
    signals = pd.read_csv(tmp_path / "sub-01_task-rest_timeseries.tsv.gz", sep="\t")
    moved = pd.read_csv(tmp_path / "sub-01_task-rest_desc-confounds_timeseries.tsv", sep="\t")
    kept = signals[~(moved["framewise_displacement"] > 0.15).to_numpy()].to_numpy()
    measure = ConnectivityMeasure(
        kind="partial correlation", cov_estimator=LedoitWolf(store_precision=False), standardize="zscore_sample"
    )
    expected = measure.fit_transform([kept])[0][np.triu_indices(4, k=1)]
    assert len(features.names) == 6
    assert features.values == pytest.approx(np.arctanh(expected), abs=1e-3)


def test_what_a_table_does_not_know_is_missing_not_guessed(tmp_path: Path, rng: np.random.Generator) -> None:
    _person(tmp_path, "sub-01", rng)
    visits = find_table_visits(tmp_path)
    (run,) = visits[0].read(table_recipe(visits, censor_framewise_displacement_mm=None)).runs
    assert run.repetition_time_s is None
    assert np.isnan(run.recording.coverage).all()
    assert np.isnan(run.recording.temporal_snr).all()


def test_repetition_time_comes_from_a_side_car(tmp_path: Path, rng: np.random.Generator) -> None:
    _person(tmp_path, "sub-01", rng)
    (tmp_path / "sub-01_task-rest_timeseries.json").write_text('{"RepetitionTime": 2.5}')
    visits = find_table_visits(tmp_path)
    assert visits[0].read(table_recipe(visits, censor_framewise_displacement_mm=None)).runs[0].repetition_time_s == 2.5


def test_other_regions_than_the_cohorts_are_refused(tmp_path: Path, rng: np.random.Generator) -> None:
    _person(tmp_path, "sub-01", rng)
    _person(tmp_path, "sub-02", rng, regions=[*REGIONS[:3], "rACC_L"])
    visits = find_table_visits(tmp_path)
    with pytest.raises(TableError, match="dACC, rACC_L"):
        visits[1].read(table_recipe(visits, censor_framewise_displacement_mm=None))


def test_confounds_of_another_length_are_refused(tmp_path: Path, rng: np.random.Generator) -> None:
    _person(tmp_path, "sub-01", rng, n_fd=119)
    visits = find_table_visits(tmp_path)
    with pytest.raises(RowMismatchError):
        visits[0].read(table_recipe(visits, censor_framewise_displacement_mm=None))


def test_damaged_tables_are_refused(tmp_path: Path, rng: np.random.Generator) -> None:
    _person(tmp_path, "sub-01", rng)
    path = tmp_path / "sub-01_task-rest_timeseries.tsv.gz"
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(TableError, match="damaged"):
        table_recipe(find_table_visits(tmp_path), censor_framewise_displacement_mm=None)


def test_gap_in_a_signal_is_named_by_row_and_column(tmp_path: Path, rng: np.random.Generator) -> None:
    _person(tmp_path, "sub-01", rng)
    table = pd.DataFrame(rng.standard_normal((120, 4)), columns=REGIONS)
    table.loc[7, "vmPFC"] = np.nan
    path = tmp_path / "sub-01_task-rest_timeseries.tsv.gz"
    path.write_bytes(gzip.compress(table.to_csv(sep="\t", index=False, na_rep="n/a").encode()))
    visits = find_table_visits(tmp_path)
    with pytest.raises(TableError) as caught:
        visits[0].read(table_recipe(visits, censor_framewise_displacement_mm=None))
    assert "row 8, column vmPFC" in caught.value.where


def test_unknown_and_doubled_participants_are_named(tmp_path: Path, rng: np.random.Generator) -> None:
    with pytest.raises(SessionError):
        find_table_visits(tmp_path)
    _person(tmp_path / "a", "sub-01", rng)
    with pytest.raises(UnknownParticipantError, match="sub-09"):
        find_table_visits(tmp_path, participant_labels=["09"])
    _person(tmp_path / "b", "sub-01", rng)
    with pytest.raises(DuplicateParticipantError, match="sub-01"):
        find_table_visits(tmp_path)


def _xcp_d_run(
    folder: Path,
    stem: str,
    signals: pd.DataFrame,
    outliers: np.ndarray,
    *,
    space: str = "space-fsLR_seg-Tian",
    motion: str = "motion",
) -> None:
    """Write a run as XCP-D does; `signals` has its rows censored or not, as its mode has it."""
    folder.mkdir(parents=True, exist_ok=True)
    tables = {
        f"{space}_stat-mean_timeseries": signals,
        f"{space}_stat-coverage_bold": pd.DataFrame({"Node": signals.columns, "coverage": np.linspace(1, 0.6, 4)}),
        f"{space}_stat-pearsoncorrelation_relmat": signals.corr(),
        motion: pd.DataFrame({"trans_x": 0.0, "framewise_displacement": np.where(outliers, 0.8, 0.1)}),
        "outliers": pd.DataFrame({"framewise_displacement": outliers.astype(int)}),
    }
    for name, table in tables.items():
        table.to_csv(folder / f"{stem}_{name}.tsv", sep="\t", index=False, na_rep="n/a")
    (folder / f"{stem}_{space}_stat-mean_timeseries.json").write_text('{"SamplingFrequency": "TR"}')
    denoised = folder / f"{stem}_space-MNI152NLin6Asym_desc-denoised_bold.json"
    denoised.write_text('{"RepetitionTime": 0.8}')


@pytest.fixture
def outliers() -> np.ndarray:
    is_outlier = np.zeros(120, dtype=bool)
    is_outlier[[0, 30, 31, 119]] = True
    return is_outlier


def test_dropped_and_filled_in_volumes_of_xcp_d_give_the_same_features(
    tmp_path: Path, rng: np.random.Generator, outliers: np.ndarray
) -> None:
    signals = pd.DataFrame(rng.standard_normal((120, 4)), columns=REGIONS)
    filled = signals.copy()
    filled[outliers] = 7.0
    stem = "sub-01_ses-pre_task-rest"
    _xcp_d_run(tmp_path / "linc/sub-01/ses-pre/func", stem, signals[~outliers], outliers)
    _xcp_d_run(tmp_path / "abcd/sub-01/ses-pre/func", stem, filled, outliers)
    values = []
    for mode in ("linc", "abcd"):
        visits = find_table_visits(tmp_path / mode)
        assert default_censor_mm(visits) is None
        recipe = table_recipe(visits, censor_framewise_displacement_mm=None)
        [run] = visits[0].read(recipe).runs
        assert run.n_volumes == 120
        assert run.repetition_time_s == 0.8
        confounds = select_confounds(run.confounds, "none", censor_framewise_displacement_mm=None)
        np.testing.assert_array_equal(confounds.is_censored, outliers)
        np.testing.assert_allclose(run.recording.bold[~outliers], signals[~outliers])
        np.testing.assert_allclose(run.recording.coverage, np.linspace(1, 0.6, 4))
        vector = extract_features(visits[0].read(recipe), recipe)
        assert vector.missing_reasons == (None,) * 6
        values.append(vector.values)
    np.testing.assert_array_equal(values[0], values[1])


@pytest.mark.parametrize(
    ("space", "motion"),
    [
        ("space-MNI152NLin2009cAsym_atlas-4S156Parcels", "motion"),
        ("space-fsLR_seg-4S156Parcels_den-91k", "motion"),
        ("space-MNI152NLin6Asym_atlas-Gordon", "desc-filtered_motion"),
    ],
)
def test_runs_of_xcp_d_are_found_in_every_spelling(
    space: str, motion: str, tmp_path: Path, rng: np.random.Generator, outliers: np.ndarray
) -> None:
    signals = pd.DataFrame(rng.standard_normal((120, 4)), columns=REGIONS)
    func = tmp_path / "sub-01/func"
    for run in ("run-2", "run-10", "run-1"):
        _xcp_d_run(func, f"sub-01_task-rest_{run}", signals, outliers, space=space, motion=motion)
    _xcp_d_run(func, "sub-01_task-nback", signals, outliers, space=space, motion=motion)
    (tmp_path / "dataset_description.json").write_text('{"GeneratedBy": [{"Name": "XCP-D", "Version": "0.10.1"}]}')
    [visit] = find_table_visits(tmp_path)
    session = visit.read(table_recipe([visit], censor_framewise_displacement_mm=None))
    assert [run.name for run in session.runs] == ["rest", "rest_2", "rest_3"]
    assert [files.timeseries.name.split("_")[2] for files in visit.files.runs] == ["run-1", "run-2", "run-10"]
    assert session.runs[1].notes == ("the table was made by XCP-D 0.10.1", "tables of the task nback are not used")
    assert session.runs[0].confounds is not None
    assert "framewise_displacement" in session.runs[0].confounds.column_names


def test_a_table_of_all_runs_does_not_count_beside_its_parts(
    tmp_path: Path, rng: np.random.Generator, outliers: np.ndarray
) -> None:
    signals = pd.DataFrame(rng.standard_normal((120, 4)), columns=REGIONS)
    for run in ("_run-1", "_run-2", ""):
        _xcp_d_run(tmp_path, f"sub-01_task-rest{run}", signals, outliers)
    [visit] = find_table_visits(tmp_path)
    assert ["run-" in files.timeseries.name for files in visit.files.runs] == [True, True]
    assert visit.files.runs[0].notes == ("a table of all runs together was found too and is not used",)


def test_several_atlases_have_to_be_chosen_from(tmp_path: Path, rng: np.random.Generator, outliers: np.ndarray) -> None:
    signals = pd.DataFrame(rng.standard_normal((120, 4)), columns=REGIONS)
    for atlas in ("Tian", "Gordon"):
        _xcp_d_run(tmp_path, "sub-01_task-rest", signals, outliers, space=f"space-fsLR_seg-{atlas}")
    with pytest.raises(SessionError, match="Gordon, Tian") as caught:
        find_table_visits(tmp_path)
    assert "--atlas" in caught.value.remedy
    [visit] = find_table_visits(tmp_path, atlas="Tian")
    assert "seg-Tian" in visit.files.runs[0].timeseries.name
    with pytest.raises(SessionError, match="atlas Glasser"):
        find_table_visits(tmp_path, atlas="Glasser")


def test_a_region_that_xcp_d_lost_is_missing_with_its_reason(
    tmp_path: Path, rng: np.random.Generator, outliers: np.ndarray
) -> None:
    signals = pd.DataFrame(rng.standard_normal((120, 4)), columns=REGIONS)
    signals["dACC"] = np.nan
    _xcp_d_run(tmp_path, "sub-01_task-rest", signals, outliers)
    [visit] = find_table_visits(tmp_path)
    recipe = table_recipe([visit], censor_framewise_displacement_mm=None)
    vector = extract_features(visit.read(recipe), recipe)
    missing = {name for name, reason in zip(vector.names, vector.missing_reasons, strict=True) if reason}
    assert missing == {name for name in vector.names if "dACC" in name}


def test_outliers_that_fit_no_table_are_refused(tmp_path: Path, rng: np.random.Generator, outliers: np.ndarray) -> None:
    signals = pd.DataFrame(rng.standard_normal((100, 4)), columns=REGIONS)
    _xcp_d_run(tmp_path, "sub-01_task-rest", signals, outliers)
    [visit] = find_table_visits(tmp_path)
    with pytest.raises(RowMismatchError):
        visit.read(table_recipe([visit], censor_framewise_displacement_mm=None))


def test_of_several_sessions_of_tables_the_baseline_or_the_named_one_is_taken(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    for session in ("ses-post", "ses-pre"):
        _person(tmp_path, f"sub-01_{session}", rng)
    [visit] = find_table_visits(tmp_path)
    assert visit.session_id == "ses-pre"
    [visit] = find_table_visits(tmp_path, session_label="post")
    assert visit.session_id == "ses-post"
    _person(tmp_path, "sub-02_ses-a", rng)
    _person(tmp_path, "sub-02_ses-b", rng)
    ambiguous = find_table_visits(tmp_path)[1]
    with pytest.raises(SessionError, match="ses-a, ses-b"):
        ambiguous.read(table_recipe([visit], censor_framewise_displacement_mm=None))


@pytest.mark.shared
def test_real_cohort_gives_every_edge_and_agrees_with_nilearn(shared: Path) -> None:
    visits = find_table_visits(shared / "data/rpn")
    assert len(visits) == 72
    recipe = table_recipe(visits, censor_framewise_displacement_mm=0.15)
    visit = next(visit for visit in visits if visit.participant_id == "sub-bochum009")
    features = extract_features(visit.read(recipe), recipe)
    assert len(features.names) == 7503
    [files] = visit.files.runs
    assert files.confounds is not None
    signals = pd.read_csv(files.timeseries, sep="\t")
    moved = pd.read_csv(files.confounds, sep="\t")["framewise_displacement"].to_numpy()
    kept = signals.to_numpy()[~(moved > 0.15)]
    assert len(kept) < len(signals)
    zscored = (kept - kept.mean(axis=0)) / kept.std(axis=0)
    measure = ConnectivityMeasure(
        kind="partial correlation", cov_estimator=LedoitWolf(store_precision=False), standardize=None
    )
    matrix = measure.fit_transform([zscored])[0]
    names = list(signals)
    expected = {
        frozenset((names[row], names[column])): np.arctanh(matrix[row, column])
        for row, column in zip(*np.triu_indices(123, k=1), strict=True)
    }
    for name, value in zip(features.names, features.values, strict=True):
        assert value == pytest.approx(expected[frozenset(name.split("__")[1:])], abs=1e-6)


def test_an_unreadable_first_table_stops_nobody_else(tmp_path: Path) -> None:
    (tmp_path / "sub-01_task-rest_timeseries.tsv").write_bytes(b"")
    (tmp_path / "sub-02_task-rest_timeseries.tsv").write_text("a\tb\n1\t2\n3\t5\n")
    visits = find_table_visits(tmp_path)
    recipe = table_recipe(visits, censor_framewise_displacement_mm=None)
    assert recipe.circuit.region_names == ("a", "b")
    with pytest.raises(TableError):
        table_recipe(visits[:1], censor_framewise_displacement_mm=None)
