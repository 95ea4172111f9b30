"""Nuisance regressors against nilearn itself, on made and on real tables."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from nilearn.interfaces.fmriprep import load_confounds

from predictor.errors import ConfigError, RowMismatchError, TableError
from predictor.scan import confounds as confounds_module
from predictor.scan.confounds import (
    CONFOUND_STRATEGIES,
    Confounds,
    ConfoundsTable,
    framewise_displacement,
    mean_of_column,
    read_confounds,
    select_confounds,
)

N_VOLUMES = 60
MOTION = ["trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z"]
REAL = [f for f in CONFOUND_STRATEGIES if f != "none"]


def fmriprep_table(rng: np.random.Generator) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Return a table and side-car as fMRIPrep writes them."""
    frame = pd.DataFrame({name: rng.standard_normal(N_VOLUMES).cumsum() for name in [*MOTION, "csf", "white_matter"]})
    frame["global_signal"] = rng.standard_normal(N_VOLUMES) + 100
    for name in list(frame.columns):
        frame[f"{name}_derivative1"] = frame[name].diff()
        frame[f"{name}_power2"] = frame[name] ** 2
        frame[f"{name}_derivative1_power2"] = frame[name].diff() ** 2
    # Rotations in radians are small; this decides framewise displacement.
    frame["framewise_displacement"] = np.abs(rng.standard_normal(N_VOLUMES)) * 0.2
    frame.loc[0, "framewise_displacement"] = np.nan
    frame["std_dvars"] = frame["framewise_displacement"] * 5
    sidecar: dict[str, Any] = {}
    for index in range(18):
        frame[f"a_comp_cor_{index:02d}"] = rng.standard_normal(N_VOLUMES)
        sidecar[f"a_comp_cor_{index:02d}"] = {"Mask": ("combined", "WM", "CSF")[index // 6], "Retained": True}
    frame["cosine00"] = np.cos(np.pi * (np.arange(N_VOLUMES) + 0.5) / N_VOLUMES)
    frame["non_steady_state_outlier00"] = (np.arange(N_VOLUMES) == 0).astype(int)
    frame["motion_outlier00"] = (np.arange(N_VOLUMES) == 30).astype(int)
    return frame, sidecar


def as_bytes(frame: pd.DataFrame) -> bytes:
    return frame.to_csv(sep="\t", index=False, na_rep="n/a").encode()


def table_of(frame: pd.DataFrame, sidecar: dict[str, Any] | None = None) -> ConfoundsTable:
    return read_confounds(as_bytes(frame), None if sidecar is None else json.dumps(sidecar).encode())


def selected(table: ConfoundsTable, strategy: str, censor_mm: float | None = None) -> Confounds:
    return select_confounds(table, strategy, censor_framewise_displacement_mm=censor_mm)


@pytest.mark.parametrize("suffix", ["timeseries", "regressors"])
@pytest.mark.parametrize("strategy", REAL)
def test_a_strategy_selects_what_nilearn_selects_without_cosines(
    rng: np.random.Generator, tmp_path: Path, strategy: str, suffix: str
) -> None:
    frame, sidecar = fmriprep_table(rng)
    stem = tmp_path / "sub-01_task-rest_run-2"
    Path(f"{stem}_desc-confounds_{suffix}.tsv").write_bytes(as_bytes(frame))
    Path(f"{stem}_desc-confounds_{suffix}.json").write_text(json.dumps(sidecar))
    image = f"{stem}_space-MNI152NLin2009cAsym_desc-preproc_bold.nii.gz"
    expected, sample_mask = load_confounds(image, **CONFOUND_STRATEGIES[strategy])
    expected = expected[[name for name in expected if not name.startswith("cosine")]]

    confounds = selected(table_of(frame, sidecar), strategy)

    assert confounds.strategy_used == strategy
    assert confounds.fallback_reason is None
    assert list(confounds.names) == list(expected.columns)
    np.testing.assert_allclose(confounds.regressors, expected.to_numpy(), rtol=1e-9, atol=1e-9)
    assert np.flatnonzero(~confounds.is_censored).tolist() == list(sample_mask)


def test_the_default_strategy_has_24_motion_and_2_tissue_regressors(rng: np.random.Generator) -> None:
    confounds = selected(table_of(*fmriprep_table(rng)), confounds_module.DEFAULT_CONFOUND_STRATEGY)
    assert sum(name.startswith(("trans", "rot")) for name in confounds.names) == 24
    assert sum(name in ("csf", "white_matter") for name in confounds.names) == 2
    assert len(confounds.names) == 26


@pytest.mark.parametrize("size", [3e5, 1e14, 1e29])
def test_large_columns_are_centred_without_a_warning_and_keep_their_unit(rng: np.random.Generator, size: float) -> None:
    frame, _ = fmriprep_table(rng)
    small = selected(table_of(frame), "motion24_wm_csf")
    for name in ("trans_x", "csf"):
        frame[name] *= size
    large = selected(table_of(frame), "motion24_wm_csf")
    assert large.names == small.names
    is_larger = np.isin(large.names, ["trans_x", "csf"])
    factor = np.where(is_larger, size, 1.0)
    np.testing.assert_allclose(large.regressors / factor, small.regressors, atol=1e-9)


def test_a_missing_first_row_takes_the_second_rows_value(rng: np.random.Generator) -> None:
    frame, _ = fmriprep_table(rng)
    frame = frame.drop(columns="non_steady_state_outlier00")
    confounds = selected(table_of(frame), "motion24")
    column = confounds.regressors[:, confounds.names.index("trans_x_derivative1")]
    filled = frame["trans_x_derivative1"].bfill().to_numpy()
    np.testing.assert_allclose(column, filled - filled.mean(), atol=1e-12)


@pytest.mark.parametrize("value", ["n/a", "inf", "none", "1e999"])
def test_another_missing_or_infinite_cell_is_named_by_row_and_column(rng: np.random.Generator, value: str) -> None:
    frame, _ = fmriprep_table(rng)
    text = frame.astype(object)
    text.loc[6, "rot_y"] = value
    with pytest.raises(TableError, match="row 7, column rot_y"):
        selected(read_confounds(as_bytes(text), where="rest_confounds"), "motion6")


def test_a_bad_cell_in_a_column_that_is_not_needed_does_no_harm(rng: np.random.Generator) -> None:
    frame, _ = fmriprep_table(rng)
    text = frame.astype(object)
    text.loc[6, "global_signal"] = 'a "quoted'
    assert selected(table_of(text), "motion6").strategy_used == "motion6"


def test_volumes_are_censored_by_motion_and_before_the_steady_state(rng: np.random.Generator) -> None:
    frame, _ = fmriprep_table(rng)
    confounds = selected(table_of(frame), "motion6", censor_mm=0.25)
    expected = frame["framewise_displacement"].to_numpy() > 0.25
    expected[0] = True
    assert 0 < expected.sum() < N_VOLUMES
    np.testing.assert_array_equal(confounds.is_censored, expected)
    assert np.isnan(confounds.framewise_displacement_mm[0])


def test_a_negative_framewise_displacement_is_an_error_that_names_the_row() -> None:
    frame = pd.DataFrame({"framewise_displacement": [np.nan, 0.1, -0.2]})
    with pytest.raises(TableError, match="0 or more, found a negative number in row 3"):
        framewise_displacement(table_of(frame))


def test_framewise_displacement_is_computed_where_the_column_is_missing() -> None:
    frame = pd.DataFrame(np.zeros((3, 6)), columns=MOTION)
    frame.loc[1, ["trans_x", "trans_z", "rot_y"]] = [0.3, -0.2, 0.01]
    # 0.3 + 0.2 + 50 mm * 0.01 there and the same way back.
    np.testing.assert_allclose(framewise_displacement(table_of(frame)), [np.nan, 1.0, 1.0])


@pytest.mark.parametrize(
    ("asked", "dropped", "used", "reason"),
    [
        ("acompcor", "sidecar", "motion24_wm_csf", "side-car"),
        ("acompcor", "cosine00", "motion24_wm_csf", "cosine"),
        ("acompcor", "a_comp_cor_07", "motion24_wm_csf", "components that the side-car describes"),
        ("motion24_wm_csf", "trans_x_derivative1", "motion6_wm_csf", "trans_x_derivative1"),
        ("motion24_wm_csf", "csf", "motion24", "csf"),
        ("motion6_wm_csf", "white_matter", "motion6", "white_matter"),
        ("motion6", "rot_z", "available", "rot_z"),
        ("simple_gsr", "rot_z_power2", "motion6_wm_csf_gsr", "rot_z_power2"),
    ],
)
def test_a_table_that_lacks_something_is_used_for_what_it_has(
    rng: np.random.Generator, asked: str, dropped: str, used: str, reason: str
) -> None:
    frame, sidecar = fmriprep_table(rng)
    table = table_of(frame) if dropped == "sidecar" else table_of(frame.drop(columns=dropped), sidecar)
    confounds = selected(table, asked)
    assert (confounds.strategy_asked, confounds.strategy_used) == (asked, used)
    assert confounds.fallback_reason is not None
    assert reason in confounds.fallback_reason
    assert np.isfinite(confounds.regressors).all()


def test_the_global_signal_is_never_removed_unasked(rng: np.random.Generator) -> None:
    frame, _ = fmriprep_table(rng)
    confounds = selected(table_of(frame[["trans_x", "global_signal", "csf"]]), "motion24_wm_csf")
    assert confounds.strategy_used == "available"
    assert confounds.names == ("csf", "trans_x")
    np.testing.assert_allclose(confounds.regressors[:, 0], frame["csf"] - frame["csf"].mean(), atol=1e-12)


def test_a_table_of_framewise_displacement_alone_still_censors() -> None:
    table = read_confounds(b"framewise_displacement\nn/a\n0.1\n0.9\n")
    confounds = selected(table, "motion24_wm_csf", censor_mm=0.5)
    assert confounds.strategy_used == "none"
    assert confounds.regressors.shape == (3, 0)
    assert confounds.is_censored.tolist() == [False, False, True]


def test_without_a_table_nothing_is_removed_and_the_reason_says_so() -> None:
    confounds = select_confounds(None, "motion6", censor_framewise_displacement_mm=0.5, n_volumes=5)
    assert confounds.strategy_used == "none"
    assert "without a confounds table" in str(confounds.fallback_reason)
    assert not confounds.is_censored.any()


def test_censoring_that_is_impossible_is_told() -> None:
    confounds = selected(read_confounds(b"csf\n1\n2\n3\n"), "none", censor_mm=0.5)
    assert "no volume was censored" in str(confounds.fallback_reason)
    assert selected(read_confounds(b"csf\n1\n2\n3\n"), "none").fallback_reason is None


def test_every_volume_marked_unsteady_is_a_named_error() -> None:
    table = read_confounds(b"csf\tnon_steady_state_outlier00\n1\t1\n2\t1\n")
    with pytest.raises(TableError, match="steady-state"):
        selected(table, "motion6")


def test_an_unknown_strategy_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match="motion24_wm_csf"):
        selected(read_confounds(b"csf\n1\n2\n"), "all")


def test_other_row_counts_than_volumes_are_a_named_error() -> None:
    with pytest.raises(RowMismatchError, match="has 2 rows, the scan 3 volumes") as caught:
        read_confounds(b"csf\n1\n2\n", n_volumes=3, where="rest_confounds")
    assert caught.value.where == "rest_confounds"


@pytest.mark.parametrize("sidecar", [b"{", b"[]", b"\xff", b'"text"'])
def test_a_malformed_side_car_is_a_table_error(sidecar: bytes) -> None:
    with pytest.raises(TableError):
        read_confounds(b"csf\n1\n2\n", sidecar)


@pytest.mark.parametrize(
    "sidecar",
    [{}, {"a_comp_cor_00": None}, {"a_comp_cor_00": {"Mask": 3}}, {"a_comp_cor_05": {"Mask": "WM"}}, {"x": [1]}],
)
def test_a_side_car_that_describes_nonsense_is_a_fallback(rng: np.random.Generator, sidecar: dict[str, Any]) -> None:
    confounds = selected(table_of(fmriprep_table(rng)[0], sidecar), "acompcor")
    assert confounds.strategy_used == "motion24_wm_csf"


def test_nothing_of_the_table_is_left_on_disk(
    rng: np.random.Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    seen: list[str] = []

    def spy(image: str, **arguments: Any) -> Any:
        seen.extend(path.name for path in Path(image).parent.iterdir())
        return load_confounds(image, **arguments)

    monkeypatch.setattr("nilearn.interfaces.fmriprep.load_confounds", spy)
    selected(table_of(*fmriprep_table(rng)), "acompcor")
    assert sorted(seen) == ["sub-x_task-x_desc-confounds_timeseries.json", "sub-x_task-x_desc-confounds_timeseries.tsv"]
    assert list(tmp_path.iterdir()) == []


def test_a_temporary_folder_whose_name_would_mislead_nilearn_is_not_used(
    rng: np.random.Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # nilearn looks for the side-car under the table's path with every "tsv" replaced.
    names = iter(["xtsvx", "plain"])
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(tempfile, "_get_candidate_names", lambda: names)
    assert selected(table_of(*fmriprep_table(rng)), "acompcor").strategy_used == "acompcor"
    assert list(tmp_path.iterdir()) == []


def test_the_mean_of_a_column_leaves_out_a_missing_first_row() -> None:
    table = read_confounds(b"dvars\tcsf\nn/a\t1\n10\t2\n20\t3\n")
    assert mean_of_column(table, "dvars") == 15
    assert mean_of_column(table, "std_dvars") is None
    assert mean_of_column(None, "dvars") is None


@pytest.mark.parametrize("strategy", REAL)
def test_real_tables_with_old_names_agree_with_nilearn(shared: Path, strategy: str) -> None:
    paths = sorted((shared / "data/aomic_piop2/derivatives/fmriprep").glob("*/func/*desc-confounds_regressors.tsv"))
    assert len(paths) == 16
    for path in paths[:: 1 if strategy == "motion24_wm_csf" else 5]:
        image = str(path).replace(
            "_desc-confounds_regressors.tsv", "_space-MNI152NLin2009cAsym_desc-preproc_bold.nii.gz"
        )
        expected, _ = load_confounds(image, **CONFOUND_STRATEGIES[strategy])
        expected = expected[[name for name in expected if not name.startswith("cosine")]]
        confounds = selected(read_confounds(path.read_bytes(), path.with_suffix(".json").read_bytes()), strategy)
        assert confounds.strategy_used == strategy
        assert list(confounds.names) == list(expected.columns)
        np.testing.assert_allclose(confounds.regressors, expected.to_numpy(), rtol=1e-9, atol=1e-6)


def test_computed_framewise_displacement_is_fmripreps_on_real_tables(shared: Path) -> None:
    for path in sorted(
        (shared / "data/aomic_piop2/derivatives/fmriprep").glob("*/func/*desc-confounds_regressors.tsv")
    ):
        frame = pd.read_csv(path, sep="\t")
        computed = framewise_displacement(table_of(frame[MOTION]))
        np.testing.assert_allclose(computed, frame["framewise_displacement"], atol=1e-9)


def test_a_real_table_with_few_columns_falls_back_by_name(shared: Path) -> None:
    [path] = (shared / "data/studyforrest_localizer").rglob("*desc-confounds_timeseries.tsv")
    confounds = selected(read_confounds(path.read_bytes(), n_volumes=156), "motion24_wm_csf", censor_mm=0.5)
    assert confounds.strategy_used == "motion6_wm_csf"
    assert len(confounds.names) == 8


def test_every_real_table_of_displacement_alone_gives_censoring(shared: Path) -> None:
    paths = sorted((shared / "data/rpn").rglob("*desc-confounds_timeseries.tsv"))
    assert len(paths) == 72
    for path in paths:
        displacement = pd.read_csv(path, sep="\t")["framewise_displacement"].to_numpy()
        confounds = selected(read_confounds(path.read_bytes()), "motion24_wm_csf", censor_mm=0.15)
        assert confounds.strategy_used == "none"
        np.testing.assert_array_equal(confounds.is_censored, displacement > 0.15)
