from __future__ import annotations

import copy
from typing import Any

import pytest

from training.experiment import ExperimentResult
from training.report.prediction_figures import (
    calibration_figure,
    decision_figure,
    permutation_figure,
    prediction_figure,
)


@pytest.fixture
def document(result: ExperimentResult) -> dict[str, Any]:
    return copy.deepcopy(dict(result.record.document))


def test_people_are_drawn_only_where_their_predictions_are_given(
    document: dict[str, Any], result: ExperimentResult
) -> None:
    with_people, without = (prediction_figure(document, one) for one in (result.record.predictions, None))
    assert with_people is not None
    assert without is not None
    assert "One dot per person" in with_people.caption
    assert "No single person is shown" in without.caption
    assert len(with_people.svg) > len(without.svg)


def test_the_calibration_slope_of_the_caption_is_that_of_the_record(document: dict[str, Any]) -> None:
    drawn = calibration_figure(document)
    assert drawn is not None
    assert f"slope {document['models'][0]['assessment']['calibration']['slope']:.2f} [" in drawn.caption


def test_the_null_is_drawn_with_its_mean_and_what_was_observed(document: dict[str, Any]) -> None:
    drawn = permutation_figure(document)
    assert drawn is not None
    test = document["permutation"]
    assert f"permuted {len(test['null_r2'])} times" in drawn.caption
    assert f"observed {test['observed_r2']:.2f}" in drawn.svg


def test_what_is_not_reported_is_not_drawn(document: dict[str, Any]) -> None:
    gap = {"not_reported": "leave-one-out."}
    document["models"][0]["assessment"] |= dict.fromkeys(("calibration", "response_groups", "decision_curve"), gap)
    document["permutation"]["null_r2"] = []
    document["calibration_bins"] = document["calibration_bins"][:1]
    assert prediction_figure(document, None) is None
    assert calibration_figure(document) is None
    assert decision_figure(document) is None
    assert permutation_figure(document) is None
