from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from predictor.errors import BundleDamagedError
from predictor.model.bundle import ModelBundle, load_bundle, save_bundle
from training.config import ExperimentConfig
from training.experiment import ExperimentResult, make_estimators
from training.final_model import build_bundle
from training.report.card_markdown import card_markdown
from training.report.model_card import REQUIRED_ENTRIES, absent_entries, card_document, with_reading_matter
from training.report.tripod_ai import gaps_of_the_run
from training.training_table import TrainingTable

EARLIER = {"version": "1", "bundle_digest": "sha256:" + "d" * 64, "gate": "refused", "gate_reasons": "(3) p = 0.2"}


@pytest.fixture(scope="module")
def bare_bundle(training_table: TrainingTable, config: ExperimentConfig) -> ModelBundle:
    return build_bundle(make_estimators(training_table, config)["elastic_net"], training_table, config, card={})


def test_a_card_from_a_whole_record_lacks_nothing_and_is_json(record_document: dict[str, Any]) -> None:
    card = card_document(record_document)
    assert absent_entries(card) == ()
    assert json.loads(json.dumps(card, allow_nan=False)) == card


def test_a_card_from_nothing_invents_nothing() -> None:
    card = card_document({})
    always_there = {"intended_use", "not_for", "applicability", "calibration", "subgroups", "coverage"}
    assert set(absent_entries(card)) == set(REQUIRED_ENTRIES) - always_there
    assert all("not_reported" in card[name] for name in ("calibration", "subgroups", "coverage"))


@pytest.mark.parametrize(
    ("part", "entries"),
    [
        ("cohort", {"cohort", "n_participants", "missing_data"}),
        ("models", {"model", "metrics", "comparisons"}),
        ("permutation", {"permutation"}),
        ("audit", {"fold_isolation"}),
        ("power", {"power"}),
        ("benefit", {"benefit"}),
        ("limits", {"limits"}),
        ("validation", {"validation"}),
    ],
)
def test_a_part_that_the_record_lacks_is_absent_from_the_card(
    record_document: dict[str, Any], part: str, entries: set[str]
) -> None:
    del record_document[part]
    assert set(absent_entries(card_document(record_document))) == entries


def test_what_is_not_reported_for_a_reason_is_no_absent_entry(record_document: dict[str, Any]) -> None:
    record_document["models"][0]["assessment"]["calibration"] = {"not_reported": "leave-one-out"}
    record_document["coverage"] = None
    card = card_document(record_document)
    assert card["calibration"] == {"not_reported": "leave-one-out"}
    assert absent_entries(card) == ()


def test_the_card_keeps_what_the_service_reads(record_document: dict[str, Any]) -> None:
    card = card_document(record_document)
    assert card["cohort"] == "ward study"
    assert card["metrics"]["r2"] == 0.31
    assert card["metrics"]["r2_interval"]["lower"] == 0.12
    assert card["permutation"] == {"p_value": 0.01, "n_permutations": 99}
    assert set(card["comparisons"]) == {"constant", "arm only"}


def test_neither_seconds_nor_paths_nor_null_distribution_enter_the_card(record_document: dict[str, Any]) -> None:
    text = json.dumps(card_document(record_document))
    record_document |= {"seconds": 99.0}
    assert json.dumps(card_document(record_document)) == text
    assert "null_r2" not in text
    assert "mlruns" not in text


def test_statements_come_from_the_experiment_file_or_are_gaps(record_document: dict[str, Any]) -> None:
    record_document["config"]["report"] |= {"authors": ["A. Author", "B. Author"], "ethics": "  ", "funding": "none"}
    statements = card_document(record_document)["statements"]
    assert statements["authors"] == "A. Author, B. Author"
    assert statements["funding"] == "none"
    assert statements["ethics"] is None


def test_the_change_log_holds_earlier_versions_as_they_were_passed(record_document: dict[str, Any]) -> None:
    assert card_document(record_document)["change_log"] == []
    assert card_document(record_document, previous=[EARLIER])["change_log"] == [EARLIER]


def test_equal_records_give_equal_bundles_to_the_byte(
    bare_bundle: ModelBundle, record_document: dict[str, Any], tmp_path: Path
) -> None:
    again = json.loads(json.dumps(record_document))
    one = save_bundle(with_reading_matter(bare_bundle, record_document, previous=[EARLIER]), tmp_path / "one")
    other = save_bundle(with_reading_matter(bare_bundle, again, previous=[EARLIER]), tmp_path / "other")
    assert one == other
    assert save_bundle(with_reading_matter(bare_bundle, record_document), tmp_path / "third") != one


@pytest.mark.parametrize(
    "damage",
    [lambda path: path.write_text(path.read_text() + " "), lambda path: path.unlink()],
    ids=["changed", "removed"],
)
@pytest.mark.parametrize("name", ["card.json", "card.md", "tripod_ai.json", "tripod_ai.md"])
def test_card_and_table_lie_in_the_bundle_and_cannot_be_changed_there(
    bare_bundle: ModelBundle,
    record_document: dict[str, Any],
    tmp_path: Path,
    name: str,
    damage: Callable[[Path], object],
) -> None:
    bundle = with_reading_matter(bare_bundle, record_document)
    save_bundle(bundle, tmp_path / "bundle")
    loaded = load_bundle(tmp_path / "bundle")
    assert loaded.card == bundle.card
    assert (loaded.card_text, loaded.tripod_ai_text) == (bundle.card_text, bundle.tripod_ai_text)
    assert loaded.tripod_ai == bundle.tripod_ai
    damage(tmp_path / "bundle" / name)
    with pytest.raises(BundleDamagedError):
        load_bundle(tmp_path / "bundle")


def test_the_use_is_that_of_the_cohort_at_hand(record_document: dict[str, Any]) -> None:
    real, simulated = card_document(record_document), card_document(record_document | {"is_synthetic": True})
    assert "predicting improvement" in real["intended_use"]
    assert "simulated" not in real["intended_use"]
    assert "simulated" in simulated["intended_use"]


def test_a_benefit_that_was_not_shown_is_no_use_of_the_model(record_document: dict[str, Any]) -> None:
    assert any("no such benefit was shown" in use for use in card_document(record_document)["not_for"])
    record_document["benefit"]["status"] = "benefit shown"
    assert not any("benefit" in use for use in card_document(record_document)["not_for"])


def test_whom_the_model_has_seen_is_told_by_decade(record_document: dict[str, Any]) -> None:
    record_document["cohort"]["age"] |= {"min_decade": 20, "max_decade": 50}
    assert card_document(record_document)["applicability"][0] == (
        "Seen in training: ages from the 20s to the 50s; sites north, south; arms ketamine, midazolam."
    )


def test_what_an_experiment_really_registers_is_complete(result: ExperimentResult) -> None:
    assert result.bundle is not None
    assert absent_entries(result.bundle.card) == ()
    assert gaps_of_the_run(result.bundle.tripod_ai) == ()
    assert result.bundle.card_text == card_markdown(result.bundle.card)
