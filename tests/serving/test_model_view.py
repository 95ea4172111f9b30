"""The model strip in words."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from serving.model_store import ModelStore
from serving.web.model_view import model_view

METRICS = {"r2": 0.31, "r2_interval": {"lower": 0.1, "upper": 0.5}}
NOT_REPORTED = {"not_reported": "the experiment record does not hold it"}


@pytest.mark.parametrize(
    ("card", "expected"),
    [
        ({"metrics": METRICS, "permutation": {"p_value": 0.01}}, {"0.31 [0.10, 0.50]", "p = 0.01"}),
        ({"metrics": METRICS, "permutation": None}, {"0.31 [0.10, 0.50]"}),
        ({"metrics": METRICS, "permutation": NOT_REPORTED}, {"0.31 [0.10, 0.50]"}),
        ({"metrics": {"r2": 0.31, "r2_interval": None}}, {"0.31"}),
        ({"metrics": {"r2": None}}, set()),
        ({"metrics": None}, set()),
        ({"metrics": NOT_REPORTED}, set()),
        ({}, set()),
    ],
)
def test_performance_is_told_as_far_as_the_card_does(
    card: dict[str, Any], expected: set[str], store: ModelStore
) -> None:
    model = store.current()
    facts = dict(model_view(replace(model, bundle=replace(model.bundle, card=card))).facts)
    told = {facts[name] for name in ("R² in cross-validation", "Permutation test") if name in facts}
    assert told == expected


@pytest.mark.parametrize(
    ("passed_at", "expected"),
    [("2026-03-04T05:06:07+00:00", ["4 March 2026"]), (None, []), ("last spring", [])],
)
def test_the_strip_says_when_the_model_passed_the_gate(
    store: ModelStore, passed_at: str | None, expected: list[str]
) -> None:
    model = store.current()
    promoted = replace(model, version=replace(model.version, gate_passed_at=passed_at))
    assert [words for name, words in model_view(promoted).facts if name == "Passed the gate"] == expected
