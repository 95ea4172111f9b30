from __future__ import annotations

import copy
from typing import Any

import pytest

from training.experiment import ExperimentResult
from training.report.model_figures import coefficients_figure, contributions_figure, models_figure, subgroups_figure


@pytest.fixture
def document(result: ExperimentResult) -> dict[str, Any]:
    return copy.deepcopy(dict(result.record.document))


def test_every_model_is_drawn(document: dict[str, Any]) -> None:
    drawn = models_figure(document)
    for model in document["models"]:
        assert model["name"].replace("_", " ") in drawn.svg


def test_weights_are_counted_with_those_that_are_not_shown(document: dict[str, Any]) -> None:
    document["n_coefficients_not_shown"] = 5
    drawn = coefficients_figure(document)
    assert drawn is not None
    n_inputs = len({row["feature"] for row in document["coefficients"]})
    assert f"The {n_inputs} largest of {n_inputs + 5} weights" in drawn.caption
    assert "hollow: ketamine > midazolam" in drawn.caption
    document["coefficients"] = None
    assert coefficients_figure(document) is None


def test_contributions_are_drawn_by_input_circuit_and_kind(document: dict[str, Any]) -> None:
    drawn = contributions_figure(document)
    assert drawn is not None
    assert "by circuit" in drawn.svg
    assert "by kind" in drawn.svg
    document["shap"] = {"not_reported": "contributions do not add up."}
    assert contributions_figure(document) is None


def test_subgroups_without_numbers_are_not_drawn(document: dict[str, Any]) -> None:
    drawn = subgroups_figure(document)
    assert drawn is not None
    assert "arm: ketamine (n = 30)" in drawn.svg
    document["subgroups"] = [row | {"mae": None} for row in document["subgroups"]]
    assert subgroups_figure(document) is None
