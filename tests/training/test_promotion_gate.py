from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from predictor.model.bundle import ModelBundle
from training.shelf.promotion_gate import REQUIRED_TAGS, check_gate
from training.shelf.stored_evidence import StoredEvidence

BASELINES = (
    "constant", "arm only", "clinical only", "arm + clinical", "covariates only", "motion only", "site only",
)  # fmt: skip
PASSING: dict[str, Any] = {
    "primary": {
        "named_in_config": "elastic_net", "model": "elastic_net", "config_logged_at_s": 10.0,
        "fitting_started_at_s": 10.5,
    },
    "comparisons": {name: {"difference": 5.0, "lower": 0.1, "upper": 8.0} for name in BASELINES},
    "baselines": {"impossible": {"age/sex only": "no column has the role demographic"}},
    "permutation": {"p_value": 0.01, "n_permutations": 99},
    "fold_isolation": {"passed": True, "n_folds": 10, "n_values_compared": 500},
    "measured": {},
}  # fmt: skip
TAGS = dict.fromkeys(REQUIRED_TAGS, "sha256:d")
EVIDENCE = StoredEvidence(
    config_digest="sha256:d",
    named_primary="elastic_net",
    tags={"primary": "elastic_net", "config_digest": "sha256:d"},
    started_at_s=9.5,
    models_started_at_s={"elastic_net": 20.0, "constant": 20.1},
    roles={"elastic_net": "primary", "constant": "baseline"},
)


def failed(
    measured: Mapping[str, Any],
    bundle: ModelBundle,
    *,
    evidence: StoredEvidence = EVIDENCE,
    tags: Mapping[str, str] = TAGS,
) -> list[int]:
    checks = check_gate(measured, bundle, evidence=evidence, tags=tags)
    return [check.number for check in checks if not check.passed]


def with_changed(path: tuple[str, ...], value: object) -> dict[str, Any]:
    measured = copy.deepcopy(PASSING)
    target = measured
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
    return measured


def test_there_are_six_checks_and_all_can_pass(complete_bundle: ModelBundle) -> None:
    checks = check_gate(PASSING, complete_bundle, evidence=EVIDENCE, tags=TAGS)
    assert [(check.number, check.passed) for check in checks] == [(number, True) for number in range(1, 7)]


@pytest.mark.parametrize(
    ("path", "value", "number"),
    [
        (("primary", "model"), "ridge", 1),
        (("primary", "fitting_started_at_s"), 9.0, 1),
        (("primary", "config_logged_at_s"), None, 1),
        (("comparisons", "arm only", "lower"), 0.0, 2),
        (("comparisons", "constant", "lower"), float("nan"), 2),
        (("baselines", "impossible"), {}, 2),
        (("baselines", "left_out"), {"age/sex only": "participants.tsv has age"}, 2),
        (("permutation", "p_value"), 0.05, 3),
        (("permutation", "p_value"), None, 3),
        (("fold_isolation", "passed"), False, 4),
        (("fold_isolation", "passed"), "yes", 4),
        (("measured",), None, 5),
        (("measured",), {"gppi_faces": "week2"}, 5),
        (("measured",), {"caps5_total_baseline": "infusion 3"}, 5),
    ],
)
def test_each_measurement_can_fail_its_own_check_alone(
    complete_bundle: ModelBundle, path: tuple[str, ...], value: object, number: int
) -> None:
    assert failed(with_changed(path, value), complete_bundle) == [number]


@pytest.mark.parametrize(
    "change",
    [
        {"config_digest": None},
        {"config_digest": "sha256:another"},
        {"named_primary": "ridge"},
        {"tags": {"primary": "ridge", "config_digest": "sha256:d"}},
        {"tags": {"primary": "elastic_net"}},
        {"roles": {"elastic_net": "candidate", "ridge": "primary"}},
        {"started_at_s": 11.0},
        {"models_started_at_s": {"elastic_net": 9.0}},
    ],
)
def test_what_the_store_says_otherwise_fails_the_first_check_whatever_the_model_claims(
    complete_bundle: ModelBundle, change: dict[str, Any]
) -> None:
    assert failed(PASSING, complete_bundle, evidence=replace(EVIDENCE, **change)) == [1]


def test_what_was_not_measured_fails(complete_bundle: ModelBundle) -> None:
    assert failed({}, complete_bundle) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("name", BASELINES)
def test_leaving_out_any_baseline_that_is_possible_fails_and_names_it(complete_bundle: ModelBundle, name: str) -> None:
    measured = copy.deepcopy(PASSING)
    del measured["comparisons"][name]
    check = check_gate(measured, complete_bundle, evidence=EVIDENCE, tags=TAGS)[1]
    assert not check.passed
    assert f"left out: {name} (not compared)" in check.measured


def test_a_baseline_that_is_not_possible_is_named_with_its_reason(complete_bundle: ModelBundle) -> None:
    check = check_gate(PASSING, complete_bundle, evidence=EVIDENCE, tags=TAGS)[1]
    assert "impossible: age/sex only (no column has the role demographic)" in check.measured


def test_a_model_with_the_name_of_an_analysis_is_never_promoted(complete_bundle: ModelBundle) -> None:
    assert failed(PASSING, replace(complete_bundle, name="small-model-analysis")) == [5]


def test_an_incomplete_card_table_or_version_fails_and_says_what_is_absent(complete_bundle: ModelBundle) -> None:
    card = replace(complete_bundle, card={**complete_bundle.card, "limits": []})
    table = replace(complete_bundle, tripod_ai=complete_bundle.tripod_ai[:-1])
    for bundle, tags, word in (
        (card, TAGS, "card: limits"),
        (table, TAGS, "TRIPOD+AI: item 27"),
        (replace(complete_bundle, card_text=""), TAGS, "bundle: card_text"),
        (complete_bundle, TAGS | {"cohort_digest": ""}, "version: cohort_digest"),
    ):
        check = check_gate(PASSING, bundle, evidence=EVIDENCE, tags=tags)[5]
        assert not check.passed
        assert word in check.measured


def test_a_gap_that_only_people_can_fill_does_not_stop_a_model(complete_bundle: ModelBundle) -> None:
    rows = [dict(row) for row in complete_bundle.tripod_ai]
    rows[-1] |= {"status": "gap", "source": "people"}
    assert failed(PASSING, replace(complete_bundle, tripod_ai=tuple(rows))) == []
    rows[-1] |= {"source": "run"}
    assert failed(PASSING, replace(complete_bundle, tripod_ai=tuple(rows))) == [6]


def test_every_line_carries_its_number(complete_bundle: ModelBundle) -> None:
    lines = [check.line() for check in check_gate(PASSING, complete_bundle, evidence=EVIDENCE, tags=TAGS)]
    assert "0.5 s before fitting" in lines[0]
    assert "7 of 7 beaten; smallest lower bound +0.1 (against constant)" in lines[1]
    assert "p = 0.01 (99 permutations)" in lines[2]
    assert "500 fitted values" in lines[3]


@pytest.mark.parametrize("column", ["gppi_faces", "gppi_faces__r0__s", "caps5_total_baseline", "site"])
def test_inputs_declared_as_later_fail_check_five_whatever_they_are_called(
    complete_bundle: ModelBundle, column: str
) -> None:
    assert failed(PASSING | {"measured": {column: "week2"}}, complete_bundle) == [5]
    assert failed(PASSING | {"measured": {column: "baseline"}}, complete_bundle) == []
