from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from predictor.__main__ import main
from predictor.features.extraction import extract_features
from predictor.features.recipe import default_recipe
from predictor.scan.session import read_visit
from predictor.scan.visit_files import find_visits


def test_simulate_prints_what_was_planted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "trial"
    size = ["--participants", "2", "--controls", "0", "--strength", "0.2"]
    assert main(["simulate", str(out), *size, "--jobs", "1"]) == 0
    printed = capsys.readouterr().out
    for word in ("responders", "CAPS-5 points", "split-half reliability", "oracle"):
        assert word in printed
    planted = json.loads((out / "planted_truth.json").read_text())["plan"]
    assert (planted["n_patients"], planted["strength"]) == (2, 0.2)
    assert main(["simulate", str(out), "--participants", "2"]) == 2
    assert "usage: the output folder exists" in capsys.readouterr().err


def test_group_level_writes_one_table_of_everyone(small_trial: Path, tmp_path: Path) -> None:
    assert main(["extract", str(small_trial), str(tmp_path), "group", "--jobs", "1", "--quiet"]) == 0
    table = pd.read_csv(tmp_path / "features.tsv", sep="\t", index_col="participant_id", dtype=str)
    assert list(table.index) == ["sub-001", "sub-002", "sub-003"]
    recipe = default_recipe()
    visit = find_visits(small_trial, bids_dir=None, tasks=recipe.tasks, participant_labels=["002"])[0]
    vector = extract_features(read_visit(visit, recipe.circuit, recipe.tasks), recipe)
    assert np.array_equal(table.loc["sub-002", list(vector.names)].to_numpy(float), vector.values, equal_nan=True)
    assert table.loc["sub-002", "recipe_hash"] == recipe.recipe_hash
    assert table.loc["sub-002", "input_digest"] == vector.input_digest
    assert {path.name for path in tmp_path.iterdir() if path.is_file()} == {
        "features.tsv", "features.json", "recipe.json", "quality.tsv", "dataset_description.json",
        "standard_errors.tsv", "reliability.tsv", "reliability.json", "index.html",
    }  # fmt: skip


def test_a_page_without_people_is_written_beside_the_other_on_demand(small_trial: Path, tmp_path: Path) -> None:
    words = ["extract", str(small_trial), str(tmp_path)]
    assert main([*words, "participant", "--jobs", "1", "--aggregates-page"]) == 2
    assert not list(tmp_path.iterdir())
    assert main([*words, "group", "--jobs", "1", "--quiet", "--aggregates-page"]) == 0
    with_people, without = ((tmp_path / f"{name}.html").read_text() for name in ("index", "aggregates"))
    assert "sub-002" in with_people
    assert "sub-" not in without


def test_families_that_nobody_has_are_named_with_the_reason(
    small_trial: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    derivatives = small_trial / "derivatives" / "fmriprep"  # without --bids-dir there are no events
    assert main(["extract", str(derivatives), str(tmp_path), "group", "--jobs", "1"]) == 0
    shown = capsys.readouterr().out
    assert "gppi_faces is missing for everyone: " in shown
    assert "unknown" not in shown
    assert "rest_fisher_z is missing" not in shown


def test_a_file_as_dir_is_told_from_a_folder_that_is_not_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "table.tsv").touch()
    assert main(["extract", str(tmp_path / "table.tsv"), str(tmp_path / "out"), "group"]) == 2
    assert "expected a folder as DIR, found a file." in capsys.readouterr().err
    assert main(["extract", str(tmp_path / "fmriprp"), str(tmp_path / "out"), "group"]) == 2
    shown = capsys.readouterr().err
    assert "where   fmriprp" in shown
    assert "remedy  Check the path." in shown


def test_bad_participant_is_named_and_the_others_are_done(
    small_trial: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = shutil.copytree(small_trial, tmp_path / "tree")
    confounds = next(tree.glob("derivatives/fmriprep/sub-002/func/*task-rest_desc-confounds_timeseries.tsv"))
    confounds.write_text("".join(confounds.read_text().splitlines(keepends=True)[:-2]))
    assert main(["extract", str(tree), str(tmp_path / "out"), "group", "--jobs", "1"]) == 1
    shown = capsys.readouterr().err
    assert "confounds-row-mismatch: the confounds table has 238 rows, the scan 240 volumes." in shown
    assert "where   sub-002, rest_confounds" in shown
    assert "remedy  Use the table that fMRIPrep wrote" in shown
    assert "failed: sub-002; the other 2 are done" in shown
    assert list(pd.read_csv(tmp_path / "out/features.tsv", sep="\t")["participant_id"]) == ["sub-001", "sub-003"]
    page = (tmp_path / "out/index.html").read_text(encoding="utf-8")
    assert "confounds-row-mismatch: the confounds table has 238 rows" in page
    assert "Synthetic data" in page


def test_participants_can_be_chosen_and_are_not_done_twice(
    small_trial: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call = ["extract", str(small_trial), str(tmp_path), "participant", "--participant-label", "sub-003", "--jobs", "1"]
    assert main(call) == 0
    assert [path.name for path in tmp_path.glob("sub-*")] == ["sub-003"]
    assert not (tmp_path / "features.tsv").exists()
    capsys.readouterr()
    assert main(call) == 0
    assert "1 participant was done before" in capsys.readouterr().err
    assert main([*call[:-3], "sub-042"]) == 3


def test_strategy_and_censoring_enter_the_recipe_and_the_next_command(
    small_trial: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call = ["extract", str(small_trial), str(tmp_path), "participant", "--participant-label", "001", "--jobs", "1"]
    options = ["--confound-strategy", "motion6", "--censor-mm", "0", "--no-deconvolution"]
    assert main([*call, *options, "--bids-dir", str(small_trial)]) == 0
    following = capsys.readouterr().err.split("; next: ")[1].splitlines()[0]
    expected = "--confound-strategy motion6 --censor-mm 0.0 --no-deconvolution"
    assert following == f"krp extract {small_trial} {tmp_path} group --bids-dir {small_trial} {expected}"
    recipe = json.loads((tmp_path / "recipe.json").read_text())
    assert recipe["confound_strategy"] == "motion6"
    assert recipe["deconvolve_seed"] is False
    assert recipe["censor_framewise_displacement_mm"] is None
    assert main([*call, "--confound-strategy", "magic"]) == 3


def test_region_tables_are_recognised_by_looking(tmp_path: Path, rng: np.random.Generator) -> None:
    folder = tmp_path / "cohort" / "site-a"
    folder.mkdir(parents=True)
    for name in ("sub-01", "sub-02"):
        signals = pd.DataFrame(rng.standard_normal((70, 3)), columns=["a", "b", "c"])
        signals.to_csv(folder / f"{name}_task-rest_timeseries.tsv", sep="\t", index=False)
    call = ["extract", str(tmp_path / "cohort"), str(tmp_path / "out"), "group", "--jobs", "1", "--quiet"]
    assert main(call) == 0
    table = pd.read_csv(tmp_path / "out/features.tsv", sep="\t")
    assert [name for name in table if name.startswith("rest_partial")] == [
        "rest_partial__a__b", "rest_partial__a__c", "rest_partial__b__c",
    ]  # fmt: skip
    assert main([*call, "--circuit", "circuit.toml"]) == 2
    assert main([*call, "--no-deconvolution"]) == 2
    assert main([*call, "--reader", "bids"]) == 3


def test_folder_that_is_not_there_is_wrong_use(tmp_path: Path) -> None:
    assert main(["extract", str(tmp_path / "none"), str(tmp_path / "out"), "group"]) == 2
    assert not (tmp_path / "out").exists()
