"""Checking region tables: the verdict is extraction's own, and one person's mess stops nobody else."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from predictor.__main__ import main
from training.cohort.table_check import check_tables
from training.cohort.timeseries_table import find_table_visits, table_recipe

REGIONS = ("amygdala_L", "amygdala_R", "vmPFC")


def write_person(
    folder: Path, name: str, rng: np.random.Generator, *, n_volumes: int = 120, moved_mm: float = 0.1
) -> None:
    rows = rng.standard_normal((n_volumes, len(REGIONS)))
    lines = ["\t".join(REGIONS), *("\t".join(map(str, row)) for row in rows)]
    (folder / f"{name}_task-rest_timeseries.tsv").write_text("\n".join(lines) + "\n")
    (folder / f"{name}_task-rest_timeseries.json").write_text('{"RepetitionTime": 2.0}')
    moved = "\n".join(["framewise_displacement", *[str(moved_mm)] * n_volumes])
    (folder / f"{name}_task-rest_desc-confounds_timeseries.tsv").write_text(moved + "\n")


@pytest.fixture
def tables(tmp_path: Path, rng: np.random.Generator) -> Path:
    """Four sound people, and participants.tsv."""
    folder = tmp_path / "tables"
    folder.mkdir()
    names = [f"sub-{number:02d}" for number in range(1, 5)]
    for name in names:
        write_person(folder, name, rng)
    (folder / "participants.tsv").write_text("\n".join(["participant_id", *names]) + "\n")
    return folder


def found_in(folder: Path) -> set[tuple[str | None, str, str]]:
    visits = find_table_visits(folder)
    checked = check_tables(visits, table_recipe(visits, censor_framewise_displacement_mm=0.15), folder)
    return {(finding.participant_id, finding.severity, finding.code) for finding in checked.findings}


def test_sound_tables_lack_nothing_but_a_description(tables: Path) -> None:
    assert found_in(tables) == {(None, "note", "description-missing")}


def test_every_fault_is_found_beside_the_others(tables: Path, rng: np.random.Generator) -> None:
    (tables / "sub-01_task-rest_timeseries.tsv").write_text("")
    write_person(tables, "sub-02", rng, moved_mm=0.9)
    write_person(tables, "sub-05", rng, n_volumes=90)
    write_person(tables, "sub-06", rng)
    (tables / "sub-06_task-rest_desc-confounds_timeseries.tsv").write_text("framewise_displacement\n0.1\n")
    assert {
        ("sub-01", "unusable", "table-invalid"),
        ("sub-02", "missing", "feature-not-computable"),
        ("sub-02", "flag", "censoring-high"),
        ("sub-05", "flag", "run-unlike-others"),
        ("sub-06", "unusable", "confounds-row-mismatch"),
        (None, "flag", "participants-differ"),
    } <= found_in(tables)


def test_check_and_extraction_agree_on_who_can_be_used(
    tables: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tables / "sub-01_task-rest_timeseries.tsv").write_text("")
    (tables / "sub-03_task-rest_timeseries.json").write_text('{"RepetitionTime": 2000}')
    assert main(["check", str(tables), "--json", "--quiet"]) == 1
    unusable = json.loads(capsys.readouterr().out)["unusable"]
    assert main(["extract", str(tables), str(tmp_path / "out"), "participant", "--jobs", "1", "--quiet"]) == 1
    assert unusable == ["sub-01", "sub-03"]
    assert {path.name for path in (tmp_path / "out").glob("sub-*")} == {"sub-02", "sub-04"}


def test_a_lost_feature_is_named_by_a_family_that_tables_have(
    tables: Path, rng: np.random.Generator, capsys: pytest.CaptureFixture[str]
) -> None:
    write_person(tables, "sub-02", rng, moved_mm=0.9)
    assert main(["check", str(tables), "--quiet"]) == 0
    out = capsys.readouterr().out
    assert "rest_partial" in out
    assert "rest_fisher_z" not in out


def test_what_cannot_be_checked_is_named(tables: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(tables), "--circuit", "circuit.toml", "--quiet"]) == 2
    assert main(["check", str(tables), "--participant-label", "77", "--quiet"]) == 3
    assert main(["check", str(tables), "--atlas", "other", "--quiet"]) == 3
    assert main(["check", str(tmp_path / "none"), "--quiet"]) == 2
    assert "--circuit have no meaning" in capsys.readouterr().err
