from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest

from predictor.model.bundle import ModelBundle
from training.config import ExperimentConfig
from training.experiment import make_estimators
from training.final_model import build_bundle
from training.promotion_gate import REQUIRED_CARD_ENTRIES, check_gate, not_available_at_baseline
from training.training_table import TrainingTable

PASSING: dict[str, Any] = {
    "primary": {
        "named_in_config": "elastic_net", "model": "elastic_net", "config_logged_at_s": 10.0,
        "fitting_started_at_s": 10.5,
    },
    "comparisons": {
        "constant": {"difference": 5.0, "lower": 2.0, "upper": 8.0},
        "arm only": {"difference": 3.0, "lower": 0.1, "upper": 6.0},
    },
    "permutation": {"p_value": 0.01, "n_permutations": 99},
    "fold_isolation": {"passed": True, "n_folds": 10, "n_values_compared": 500},
}  # fmt: skip


@pytest.fixture(scope="module")
def bundle(training_table: TrainingTable, config: ExperimentConfig) -> ModelBundle:
    card = {name: "said" for name in REQUIRED_CARD_ENTRIES}
    return build_bundle(make_estimators(training_table, config)["elastic_net"], training_table, config, card=card)


def failed(measured: dict[str, Any], bundle: ModelBundle) -> list[int]:
    return [check.number for check in check_gate(measured, bundle) if not check.passed]


def test_there_are_six_checks_and_all_can_pass(bundle: ModelBundle) -> None:
    assert [check.number for check in check_gate(PASSING, bundle)] == [1, 2, 3, 4, 5, 6]
    assert failed(PASSING, bundle) == []


@pytest.mark.parametrize(
    ("path", "value", "number"),
    [
        (("primary", "model"), "ridge", 1),
        (("primary", "fitting_started_at_s"), 9.0, 1),
        (("primary", "config_logged_at_s"), None, 1),
        (("comparisons", "arm only", "lower"), 0.0, 2),
        (("comparisons", "constant", "lower"), -0.1, 2),
        (("permutation", "p_value"), 0.05, 3),
        (("permutation", "p_value"), None, 3),
        (("fold_isolation", "passed"), False, 4),
        (("fold_isolation", "passed"), "yes", 4),
    ],
)
def test_each_measurement_can_fail_its_own_check_alone(
    bundle: ModelBundle, path: tuple[str, ...], value: object, number: int
) -> None:
    measured = copy.deepcopy(PASSING)
    target = measured
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
    assert failed(measured, bundle) == [number]


def test_what_was_not_measured_fails(bundle: ModelBundle) -> None:
    assert failed({}, bundle) == [1, 2, 3, 4]


def test_leaving_out_the_constant_baseline_fails(bundle: ModelBundle) -> None:
    measured = copy.deepcopy(PASSING)
    del measured["comparisons"]["constant"]
    assert failed(measured, bundle) == [2]


def test_an_incomplete_card_fails_and_says_what_is_absent(bundle: ModelBundle) -> None:
    checks = check_gate(PASSING, replace(bundle, card={**bundle.card, "limits": []}))
    assert not checks[5].passed
    assert "limits" in checks[5].measured


def test_measures_from_after_baseline_are_recognised_by_their_names() -> None:
    late = ["caps5_total_followup", "change_rest__a__b", "cadss_infusion_40min", "pcl5_week2", "rest_post__a__b"]
    early = ["caps5_total_baseline", "rest_fisher_z__amygdala_L__vmPFC", "gppi_faces__posterior_x__y", "site=postdam"]
    assert not_available_at_baseline(late) == tuple(late)
    assert not_available_at_baseline(early) == ()


def test_every_line_carries_its_number(bundle: ModelBundle) -> None:
    lines = [check.line() for check in check_gate(PASSING, bundle)]
    assert "0.5 s before fitting" in lines[0]
    assert "+0.1 (against arm only)" in lines[1]
    assert "p = 0.01 (99 permutations)" in lines[2]
    assert "500 fitted values" in lines[3]


@pytest.mark.parametrize("column", ["gppi_faces", "gppi_faces__r0__s", "caps5_total_baseline", "site"])
def test_inputs_declared_as_later_fail_check_five_whatever_they_are_called(bundle: ModelBundle, column: str) -> None:
    assert failed(PASSING | {"declared_times": {column: "week2"}}, bundle) == [5]
    assert failed(PASSING | {"declared_times": {column: "baseline"}}, bundle) == []
