from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

import pytest

from training.report.tripod_ai import TripodItem, gaps_of_the_run, tripod_markdown, tripod_table
from training.report.tripod_questions import QUESTIONS
from training.report_config import ReportConfig

FROM_PEOPLE = {"2", "3a", "3c", "5b", "8b", "8c", "17", "18a", "18b", "18c", "18d", "18e", "18f", "19"}


def row(document: dict[str, Any], item: str) -> TripodItem:
    """Return one row of the table."""
    return next(one for one in tripod_table(document) if one.item == item)


def test_there_are_27_items_with_52_parts_in_order(record_document: dict[str, Any]) -> None:
    table = tripod_table(record_document)
    numbers = [int(re.match(r"\d+", one.item)[0]) for one in table]  # type: ignore[index]
    assert len(table) == len(QUESTIONS) == len({one.item for one in table}) == 52
    assert numbers == sorted(numbers)
    assert set(numbers) == set(range(1, 28))
    parts = Counter(numbers)
    several = {number: n for number, n in parts.items() if n > 1}
    assert several == {3: 3, 5: 2, 6: 3, 8: 3, 9: 3, 12: 7, 18: 6, 20: 3, 23: 2, 27: 3}


def test_items_on_evaluation_only_are_marked(record_document: dict[str, Any]) -> None:
    only = {one.item for one in tripod_table(record_document) if one.applies == "evaluation"}
    assert only == {"12f", "12g", "20c", "24"}


def test_what_evaluation_differs_in_is_answered_where_sites_are_left_out(record_document: dict[str, Any]) -> None:
    for item in ("12f", "16", "20c", "24"):
        assert row(record_document, item).status == "not applicable"
    record_document["config"]["validation"]["scheme"] = "leave_one_site_out"
    assert "north 62, south 18" in row(record_document, "16").answer
    assert row(record_document, "20c").status == "partly"
    assert row(record_document, "12f").status == row(record_document, "24").status == "not applicable"


def test_a_whole_record_leaves_gaps_to_people_only(record_document: dict[str, Any]) -> None:
    table = tripod_table(record_document)
    assert {one.item for one in table if one.status == "gap"} == FROM_PEOPLE
    assert gaps_of_the_run(table) == ()


def test_every_row_answers_or_says_what_is_missing(record_document: dict[str, Any]) -> None:
    for document in (record_document, {}, record_document | {"is_synthetic": True}):
        for one in tripod_table(document):
            assert bool(one.answer) == (one.status != "gap"), one
            assert bool(one.missing) == (one.status in ("gap", "partly")), one


def test_an_empty_record_fills_nothing_that_needs_one() -> None:
    unanswered = gaps_of_the_run(tripod_table({}))
    assert {"1", "4", "8a", "11", "12a", "12c", "20a", "21", "22", "23a", "25", "26"} <= set(unanswered)


@pytest.mark.parametrize(
    ("part", "item"),
    [("power", "10"), ("models", "23a"), ("limits", "26"), ("data_flow", "20a"), ("features", "9b"), ("outcome", "8a")],
)
def test_a_part_that_the_run_should_have_recorded_is_its_gap(
    record_document: dict[str, Any], part: str, item: str
) -> None:
    del record_document[part]
    assert item in gaps_of_the_run(tripod_table(record_document))


def test_rows_that_are_not_there_count_as_gaps(record_document: dict[str, Any]) -> None:
    rows = [one.document() for one in tripod_table(record_document) if one.item != "12b"]
    assert gaps_of_the_run(rows) == ("12b",)
    assert len(gaps_of_the_run([])) == 52


def test_every_entry_of_the_report_section_is_used_by_card_or_table(record_document: dict[str, Any]) -> None:
    from training.report.model_card import card_document

    written = {name: f"text on {name}." for name in ReportConfig.__slots__}
    record_document["config"]["report"] = written
    text = tripod_markdown(tripod_table(record_document)) + json.dumps(card_document(record_document)["statements"])
    assert [name for name, said in written.items() if said not in text] == []
    assert {one.item for one in tripod_table(record_document) if one.status == "gap"} == {"2"}


def test_simulated_people_need_no_ethics_but_are_called_simulated(record_document: dict[str, Any]) -> None:
    document = record_document | {"is_synthetic": True}
    assert [row(document, item).status for item in ("5b", "8b", "8c", "17", "19")] == ["not applicable"] * 5
    assert "Simulated" in row(document, "1").answer
    assert row(document, "18a").status == "gap"


def test_the_numbers_of_the_run_stand_in_the_answers(record_document: dict[str, Any]) -> None:
    assert "R2 0.31 [0.12, 0.47]" in row(record_document, "23a").answer
    assert "not shown to be better than arm only" in row(record_document, "25").answer
    assert "with an outcome: 80" in row(record_document, "20a").answer
    assert "in the feature table" not in row(record_document, "20a").answer
    assert "south (n = 18): too few" in row(record_document, "23b").answer
    assert "rest_fisher_z 1.2 %" in row(record_document, "11").answer
    assert "an R2 of 0.08" in row(record_document, "10").answer


def test_a_failed_audit_is_no_proof(record_document: dict[str, Any]) -> None:
    record_document["audit"] = {"passed": False}
    assert "proven" not in row(record_document, "12a").answer
    assert "held-out people reach the fit" in row(record_document, "12a").missing


def test_a_competition_does_not_claim_to_have_been_named(record_document: dict[str, Any]) -> None:
    record_document["models"][0] |= {"name": "random_forest", "role": "winner"}
    assert "none was named before" in row(record_document, "4").answer
    assert "weighted sum" not in row(record_document, "12c").answer


def test_trees_are_described_as_trees_in_every_answer(record_document: dict[str, Any]) -> None:
    record_document["models"][0]["name"] = "random_forest"
    assert "regression trees of all inputs" in row(record_document, "12c").answer
    assert "strengths of penalty" not in row(record_document, "12c").answer
    assert "leaves of every tree" in row(record_document, "22").answer
    assert "enter as they are" in " ".join(item.answer for item in tripod_table(record_document))


def test_the_table_is_json_and_reads_as_markdown(record_document: dict[str, Any]) -> None:
    record_document["config"]["report"]["ethics"] = "Board | of <b>Ulm</b>\n\nsecond line"
    table = tripod_table(record_document)
    assert json.loads(json.dumps([one.document() for one in table])) == [one.document() for one in table]
    text = tripod_markdown(table)
    cells = [re.split(r"(?<!\\)\|", line) for line in text.splitlines() if line.startswith("| ")]
    assert {len(one) for one in cells} == {5}
    assert r"Board \| of &lt;b>Ulm&lt;/b> second line" in text
    assert text.count("**GAP**") == sum(bool(one.missing) for one in table)
    assert "Research use only" in text
