"""Models side by side, and their cards."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from serving.model_source import ListedModel
from serving.web.model_comparison import ROWS, in_order, model_column

PAGE = {"Accept": "text/html,application/xhtml+xml"}


def card(**changed: Any) -> dict[str, Any]:
    """Return a card as training writes it."""
    interval = {"level": 0.95, "lower": 0.2, "upper": 0.6}
    return {
        "model": "random_forest",
        "cohort": "synthetic randomised trial",
        "is_synthetic": True,
        "n_participants": 120,
        "n_per_arm": {"ketamine": 60, "midazolam": 60},
        "outcome": {"name": "caps5_percent_improvement", "unit": "percent"},
        "metrics": {"r2": 0.41, "r2_interval": interval, "mae": 18.62, "mae_interval": {**interval, "upper": 21.0}},
        "responders": {"auc": 0.78, "auc_interval": interval},
        "calibration": {"slope": 0.93, "slope_interval": interval},
        "coverage": {"realised": 0.88, "promised": 0.9},
        "permutation": {"p_value": 0.01, "n_permutations": 99},
        "baselines": {"arm only": {"r2": 0.28, "r2_interval": interval}},
        "comparisons": {
            "arm only": {"difference": 135.9, "corrected_interval": {"lower": -4.4, "upper": 276.2}},
            "constant": {"difference": 311.4, "corrected_interval": {"lower": 177.6, "upper": 445.3}},
        },
        "benefit": {"status": "shown", "reason": "the interaction was found"},
        **changed,
    }


def listed(**changed: Any) -> ListedModel:
    """Return a version of a registry."""
    fields: dict[str, Any] = {"name": "response", "version": "3", "digest": "sha256:" + "ab" * 32, "card": card()}
    return ListedModel(**(fields | changed))


def test_a_model_is_told_with_intervals_calibration_baselines_and_benefit() -> None:
    column = model_column(listed(aliases=("champion",), gate="passed", gate_reasons="6 of 6", is_current=True))
    assert tuple(column.cells) == ROWS
    assert column.tags == ["champion", "answers now"]
    assert column.is_synthetic
    assert column.cells["Promotion gate"] == ["passed", "6 of 6"]
    assert column.cells["Model"] == ["random forest"]
    assert column.cells["R² in cross-validation"] == ["0.41 [0.20, 0.60]"]
    assert column.cells["Responders, AUC"] == ["0.78 [0.20, 0.60]"]
    assert column.cells["Mean absolute error"] == ["18.6 % [0.2, 21.0]"]
    assert column.cells["Calibration slope (ideal 1)"] == ["0.93 [0.20, 0.60]"]
    assert column.cells["Intervals held"] == ["88 % of the 90 % promised"]
    assert column.cells["Baselines, R²"] == ["arm only: 0.28 [0.20, 0.60]"]
    assert column.cells["Benefit of treatment"] == ["shown", "the interaction was found"]


def test_a_gain_that_may_be_chance_is_not_told_as_one() -> None:
    gains = model_column(listed()).cells["Squared error saved"]
    assert gains == ["over arm only: +136 [−4, 276], not clearly", "over constant: +311 [178, 445]"]


@pytest.mark.parametrize("held", [None, {}, {"responders": {"not_reported": "too few"}, "metrics": None}])
def test_what_a_card_does_not_say_is_a_gap_and_no_number(held: dict[str, Any] | None) -> None:
    column = model_column(listed(card=held))
    said = {line for name in ROWS if name not in ("Bundle", "Promotion gate") for line in column.cells[name]}
    assert said == {"not said"}
    assert column.has_card is (held is not None)


def test_only_addresses_of_a_server_become_links() -> None:
    assert model_column(listed(run_link="javascript:alert(1)")).run_link is None
    assert model_column(listed(run_link="http://127.0.0.1:5000/#/runs/1")).run_link


def test_the_model_that_answers_comes_first_and_then_those_with_an_alias() -> None:
    plain, candidate = listed(version="1"), listed(version="2", aliases=("candidate",))
    current = listed(version="3", is_current=True)
    assert [one.version for one in in_order([plain, candidate, current])] == ["3", "2", "1"]


def test_the_page_compares_and_leads_to_the_card(client: httpx.Client) -> None:
    page = client.get("/models", headers=PAGE).text
    assert "answers now" in page
    assert "0.31 [0.10, 0.50]" in page
    assert "Research use only" in page
    reading = client.get("/models/current/card", headers=PAGE)
    assert reading.status_code == 200
    assert "made-up trial" in reading.text
    assert client.get("/models/9/card", headers=PAGE).status_code == 404
