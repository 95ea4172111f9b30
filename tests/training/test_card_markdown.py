from __future__ import annotations

from typing import Any

import pytest

from training.report.card_markdown import card_markdown, standing_markdown
from training.report.model_card import card_document


def section(text: str, title: str) -> str:
    """Return one section of the card."""
    return text.split(f"## {title}\n", 1)[1].split("\n## ", 1)[0]


def test_the_card_says_what_it_is_for_before_any_number(record_document: dict[str, Any]) -> None:
    text = card_markdown(card_document(record_document))
    assert text.index("Research use only") < text.index("Decisions about the treatment") < text.index("0.31")
    assert "Synthetic data" not in text


def test_a_simulated_cohort_is_labelled_at_the_top(record_document: dict[str, Any]) -> None:
    text = card_markdown(card_document(record_document | {"is_synthetic": True}))
    assert "**Synthetic data.**" in text.split("## Use")[0]


def test_performance_stands_with_intervals_beside_the_baselines(record_document: dict[str, Any]) -> None:
    performance = section(card_markdown(card_document(record_document)), "Performance")
    assert "| elastic_net | 0.31 [0.12, 0.47] | 8 [7, 9] percent |" in performance
    assert "| arm only | 0.28 [0.18, 0.38] |" in performance
    assert "20 [-2, 40]" in performance
    assert "p = 0.01, 99 permutations" in performance


def test_small_subgroups_show_their_n_and_no_number(record_document: dict[str, Any]) -> None:
    groups = section(card_markdown(card_document(record_document)), "Subgroups")
    assert "| site | north | 62 | 0.30 | 8.10 | 0.20 |" in groups
    assert "| site | south | 18 | too few | too few | too few |" in groups


def test_coverage_is_told_for_everyone_and_by_arm(record_document: dict[str, Any]) -> None:
    coverage = section(card_markdown(card_document(record_document)), "Prediction intervals")
    assert "promised 90 %" in coverage
    assert "| everyone | 80 | 88 % [78 %, 94 %] |" in coverage
    assert "| ketamine | 40 | 85 % [70 %, 96 %] |" in coverage


@pytest.mark.parametrize("title", ["Population", "Performance", "Power", "Benefit or prognosis", "Statements"])
def test_what_nobody_said_is_a_gap_to_be_seen(title: str) -> None:
    assert "**GAP**" in section(card_markdown(card_document({})), title)


def test_a_reason_for_not_reporting_is_told(record_document: dict[str, Any]) -> None:
    record_document["models"][0]["assessment"]["calibration"] = {"not_reported": "it was leave-one-out."}
    assert "Outcome: not reported. it was leave-one-out." in card_markdown(card_document(record_document))


def test_what_people_wrote_cannot_break_the_page(record_document: dict[str, Any]) -> None:
    nasty = "a | b\n# heading <img src=x> ![x](http://127.0.0.1/x) **GAP** \x1b[31m"
    record_document["config"]["report"]["funding"] = nasty
    (line,) = [one for one in card_markdown(card_document(record_document)).splitlines() if one.startswith("- Funding")]
    assert line == r"- Funding: a \| b # heading &lt;img src=x> ![x]\(http://127.0.0.1/x) \*\*GAP\*\* [31m"


def test_earlier_versions_stand_in_the_change_log(record_document: dict[str, Any]) -> None:
    earlier = {"version": "1", "bundle_digest": "sha256:" + "d" * 64, "gate": "refused", "gate_reasons": "(3) p = 0.2"}
    text = card_markdown(card_document(record_document, previous=[earlier]))
    assert "| 1 | sha256:dddddddddddd | refused | (3) p = 0.2 |" in section(text, "Change log")
    assert "First version" in section(card_markdown(card_document(record_document)), "Change log")


@pytest.mark.parametrize(("openings", "words"), [(0, "never opened"), (1, "opened 1 time\n"), (3, "opened 3 times")])
def test_the_standing_counts_the_openings_of_the_locked_test(openings: int, words: str) -> None:
    text = standing_markdown(
        {"version": "ward-model/2", "aliases": ["champion"], "gate": "passed", "openings": openings}
    )
    assert words in text
    assert "- Aliases: champion" in text
    assert "- Promotion gate: passed" in text
