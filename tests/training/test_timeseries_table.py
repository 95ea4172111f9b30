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
from training.cohort.timeseries_table import find_table_visits, has_tables, table_recipe

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
    assert all(visit.confounds is not None for visit in visits)
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


@pytest.mark.shared
def test_real_cohort_gives_every_edge_and_agrees_with_nilearn(shared: Path) -> None:
    visits = find_table_visits(shared / "data/rpn")
    assert len(visits) == 72
    recipe = table_recipe(visits, censor_framewise_displacement_mm=0.15)
    visit = next(visit for visit in visits if visit.participant_id == "sub-bochum009")
    features = extract_features(visit.read(recipe), recipe)
    assert len(features.names) == 7503
    assert visit.confounds is not None
    signals = pd.read_csv(visit.timeseries, sep="\t")
    moved = pd.read_csv(visit.confounds, sep="\t")["framewise_displacement"].to_numpy()
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
