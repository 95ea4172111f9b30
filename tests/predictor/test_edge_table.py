from __future__ import annotations

import csv
import io
import math
from typing import Any

import pytest

from predictor.errors import ExplanationAbsentError
from predictor.report.edge_table import COLUMNS, attributions_of, edge_sums, edge_table_tsv


def contribution(feature: str, amount: float, *, kind: str = "rest", **changed: Any) -> dict[str, Any]:
    item = {"feature": feature, "value": 0.25, "unit": "fisher_z", "contribution": amount, "kind": kind}
    return {**item, "circuit": "vmPFC-dACC", "fold_sign_agreement": 0.8, **changed}


@pytest.fixture
def answer() -> dict[str, Any]:
    contributions = [
        contribution("rest_fisher_z__dACC__vmPFC", 3.25),
        contribution("gppi_faces__vmPFC__dACC", -1.0, kind="gppi"),
        contribution("activation_faces__amygdala_L", 0.1 + 0.2, kind="activation", value=None),
        contribution("site", 0.5, kind="clinical", value="A\tB\nC", unit="", fold_sign_agreement=None),
    ]
    return {
        "status": "ok",
        "outcome": {"name": "caps5_percent_improvement", "unit": "percent"},
        "explanation": {"arm": "ketamine", "contributions": contributions, "base_value": 30.0, "output": 33.05},
    }


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text), delimiter="\t", quoting=csv.QUOTE_NONE))


def test_the_table_adds_up_to_the_output_with_every_digit(answer: dict[str, Any]) -> None:
    rows = rows_of(edge_table_tsv(answer))
    total = math.fsum(float(row["contribution"]) for row in rows) + answer["explanation"]["base_value"]
    assert total == pytest.approx(answer["explanation"]["output"], abs=1e-12)
    assert rows[2]["contribution"] == repr(0.1 + 0.2)


def test_source_and_target_are_those_of_the_feature_name(answer: dict[str, Any]) -> None:
    rows = rows_of(edge_table_tsv(answer))
    ends = [(row["source"], row["target"]) for row in rows]
    assert ends == [("dACC", "vmPFC"), ("vmPFC", "dACC"), ("amygdala_L", "n/a"), ("n/a", "n/a")]
    assert {(row["arm"], row["contribution_unit"], row["research_use_only"]) for row in rows} == {
        ("ketamine", "percent", "true")
    }


def test_what_says_how_good_a_run_was_belongs_to_no_region(answer: dict[str, Any]) -> None:
    name = "quality_mean_framewise_displacement_mm__rest"
    answer["explanation"]["contributions"] = [contribution(name, 1.0, kind="quality")]
    assert [one.regions for one in attributions_of(answer)] == [()]


def test_no_text_of_a_cell_can_add_a_cell_or_a_line(answer: dict[str, Any]) -> None:
    lines = edge_table_tsv(answer).splitlines()
    assert len(lines) == 5
    assert {line.count("\t") for line in lines} == {len(COLUMNS) - 1}
    assert rows_of(edge_table_tsv(answer))[3]["value"] == "A B C"


def test_both_directions_of_a_pair_are_one_edge(answer: dict[str, Any]) -> None:
    assert edge_sums(attributions_of(answer)) == {("dACC", "vmPFC"): 2.25}


def test_a_covariate_has_no_region_even_if_its_name_looks_like_one(answer: dict[str, Any]) -> None:
    answer["explanation"]["contributions"] = [contribution("score__dACC__vmPFC", 1.0, kind="clinical")]
    assert attributions_of(answer)[0].regions == ()


@pytest.mark.parametrize(
    ("answer", "why"),
    [({"status": "refused"}, "refused"), ({"status": "flagged", "explanation": None}, "withheld")],
)
def test_an_answer_without_explanation_has_no_table(answer: dict[str, Any], why: str) -> None:
    with pytest.raises(ExplanationAbsentError, match=why):
        edge_table_tsv({**answer, "outcome": {"unit": "percent"}})
