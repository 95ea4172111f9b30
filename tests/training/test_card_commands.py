from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from predictor.__main__ import main
from predictor.model.bundle import ModelBundle, save_bundle, verify_bundle
from training.config import ExperimentConfig
from training.experiment import make_estimators
from training.final_model import build_bundle
from training.locked.openings import FileOpenings, Opening
from training.report.model_card import with_reading_matter
from training.training_table import TrainingTable

INPUT_INVALID, WRONG_USE = 3, 2


@pytest.fixture(scope="module")
def bare_bundle(training_table: TrainingTable, config: ExperimentConfig) -> ModelBundle:
    return build_bundle(make_estimators(training_table, config)["elastic_net"], training_table, config, card={})


@pytest.fixture
def folder(bare_bundle: ModelBundle, record_document: dict[str, Any], tmp_path: Path) -> Path:
    save_bundle(with_reading_matter(bare_bundle, record_document), tmp_path / "bundle")
    return tmp_path / "bundle"


def test_the_card_is_printed_as_it_was_sealed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["card", "--bundle", str(folder)]) == 0
    assert capsys.readouterr().out == (folder / "card.md").read_text()


def test_the_card_and_the_table_are_printed_as_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["card", "--bundle", str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads((folder / "card.json").read_text())
    assert main(["card", "--bundle", str(folder), "--tripod", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 52


def test_the_table_is_printed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["card", "--bundle", str(folder), "--tripod"]) == 0
    assert capsys.readouterr().out == (folder / "tripod_ai.md").read_text()


def test_openings_of_the_locked_test_are_counted_on_the_card(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    opening = Opening(verify_bundle(folder), "sha256:" + "e" * 64, "new people", "2026-01-01T00:00:00+00:00")
    with FileOpenings.beside(folder).open(opening, again=False):
        pass
    assert main(["card", "--bundle", str(folder)]) == 0
    assert "- Locked test: opened 1 time\n" in capsys.readouterr().out
    assert main(["card", "--bundle", str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["standing"]["openings"] == 1


def test_a_card_without_its_entries_shows_gaps_and_says_which(
    bare_bundle: ModelBundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_bundle(replace(bare_bundle, card={"cohort": "old trial"}), tmp_path / "old")
    assert main(["card", "--bundle", str(tmp_path / "old")]) == 0
    printed = capsys.readouterr()
    assert "- Cohort: old trial" in printed.out
    assert "**GAP**" in printed.out
    assert "the card lacks intended_use" in printed.err
    assert main(["card", "--bundle", str(tmp_path / "old"), "--tripod"]) == WRONG_USE


def test_a_card_of_other_entries_is_a_named_error(
    bare_bundle: ModelBundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_bundle(replace(bare_bundle, card={"metrics": {"r2": "high"}}), tmp_path / "odd")
    assert main(["card", "--bundle", str(tmp_path / "odd")]) == INPUT_INVALID
    assert "expected a model card" in capsys.readouterr().err


def test_a_damaged_bundle_has_no_card_to_show(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "card.md").write_text("R2 .99")
    assert main(["card", "--bundle", str(folder)]) == INPUT_INVALID
    assert "bundle-damaged" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["m/1", "--bundle", "x"]])
def test_one_model_is_asked_for(arguments: list[str]) -> None:
    assert main(["card", *arguments]) == WRONG_USE
