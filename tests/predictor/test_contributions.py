from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from predictor.model.bundle import ModelBundle
from predictor.model.canonical_json import answer_json
from predictor.model.contributions import Contributions
from predictor.model.explanation import explain
from predictor.model.person_inputs import person_inputs


@pytest.fixture
def contributions(bundle: ModelBundle, person: dict[str, Any]) -> Contributions:
    features = {**person["features"], bundle.feature_names[0]: None}
    return explain(bundle, person_inputs(features, {"site": "B"}, bundle), arm="ketamine").contributions


def test_json_is_what_the_documents_are_written_as(contributions: Contributions) -> None:
    documents = [one.document() for one in contributions]
    assert len(documents) == len(contributions) == 3
    assert contributions.to_json() == answer_json(documents, n_missing=len(documents))


def test_json_escapes_names_and_categories_as_every_json_does(contributions: Contributions) -> None:
    hostile = replace(contributions, covariate_values=dict.fromkeys(contributions.covariate_values, 'a,"b"\\\u2028'))
    assert json.loads(hostile.to_json()) == [one.document() for one in hostile]
    assert any('a,"b"' in str(one.value) for one in hostile)


def test_json_says_null_where_no_fold_model_was_asked(contributions: Contributions) -> None:
    unasked = replace(contributions, fold_sign_agreement=None)
    assert json.loads(unasked.to_json()) == [one.document() for one in unasked]
    assert {one.fold_sign_agreement for one in unasked} == {None}


def test_nothing_is_an_empty_list(contributions: Contributions) -> None:
    none = replace(contributions, shown=contributions.shown[:0], amounts=contributions.amounts[:0], covariate_values={})
    assert (none.to_json(), list(none), none.by_kind) == (b"[]", [], {})


def test_sums_by_circuit_and_kind_hold_every_contribution_once(contributions: Contributions) -> None:
    for found, labels in (
        (contributions.by_circuit, {one.circuit for one in contributions}),
        (contributions.by_kind, {one.kind for one in contributions}),
    ):
        assert set(found) == labels
        assert sum(found.values()) == pytest.approx(float(np.sum(contributions.amounts)))
