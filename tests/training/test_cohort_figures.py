from __future__ import annotations

import copy
from typing import Any

import pytest

from training.experiment import ExperimentResult
from training.report.cohort_figures import benefit_figure, coverage_figure, data_flow_figure, power_figure


@pytest.fixture
def document(result: ExperimentResult) -> dict[str, Any]:
    return copy.deepcopy(dict(result.record.document))


def test_every_stage_is_drawn_with_its_number_and_what_is_not_known_as_such(document: dict[str, Any]) -> None:
    drawn = data_flow_figure(document)
    for stage in document["data_flow"]:
        assert stage["stage"] in drawn.svg
    assert ">?<" in drawn.svg.replace(" ", "")  # participants.tsv is not at hand
    assert "listed in participants.tsv unknown" in drawn.svg


def test_benefit_needs_groups_of_people_in_both_arms(document: dict[str, Any]) -> None:
    drawn = benefit_figure(document)
    assert drawn is not None
    assert "ketamine minus midazolam" in drawn.caption
    document["benefit"]["groups"] = []
    assert benefit_figure(document) is None
    assert benefit_figure({"benefit": {"status": "prognostic only", "reason": "one arm"}}) is None


def test_coverage_shows_arms_where_they_are_told(document: dict[str, Any]) -> None:
    drawn = coverage_figure(document)
    assert drawn is not None
    assert "midazolam" in drawn.svg
    document["coverage"]["by_arm"] = {}
    without = coverage_figure(document)
    assert without is not None
    assert "midazolam" not in without.svg
    assert coverage_figure({"coverage": None}) is None


def test_power_says_for_how_many_people(document: dict[str, Any]) -> None:
    assert f"with {document['power']['n_participants']} people" in power_figure(document).caption
