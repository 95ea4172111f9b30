from __future__ import annotations

from dataclasses import replace

import numpy as np

from training.evaluation.leak_finding import LeakFinding
from training.evaluation.permutation import PermutationTest
from training.experiment import ExperimentResult
from training.report.result_table import result_lines


def text_of(result: ExperimentResult) -> str:
    return "\n".join(result_lines(result))


def test_benefit_power_and_coverage_stand_beside_the_models(result: ExperimentResult) -> None:
    text = text_of(result)
    assert "about people like this one" in text
    assert "power with 60 people" in text
    assert "90% prediction intervals held" in text
    assert "fold isolation         passed" in text


def test_early_stopping_and_competition_are_said(result: ExperimentResult) -> None:
    stopped = PermutationTest(0.0, np.full(12, 0.1), n_planned=99)
    assert "p = 1.00 (12 of 99 permutations, enough)" in text_of(replace(result, permutation=stopped))
    best = PermutationTest(0.5, np.zeros(19), n_planned=19, competitors=("ridge", "pls"))
    assert "p = .05 (19 permutations, best of 2 models)" in text_of(replace(result, permutation=best))


def test_without_a_named_primary_nothing_is_registered_and_the_optimism_is_said(result: ExperimentResult) -> None:
    winner = replace(result.models[0], role="winner")
    text = text_of(replace(result, models=(winner, *result.models[1:]), registered=None, bundle=None))
    assert "winner's squared error less by" in text
    assert "nothing: models competed" in text
    assert "too high on average" in text


def test_a_leak_is_named(result: ExperimentResult) -> None:
    leak = LeakFinding("duplicates", "leak", "sub-01 and sub-02 are the same", "features.tsv", "Leave one out.")
    text = text_of(replace(result, audit=replace(result.audit, findings=(leak,))))
    assert "FAILED at duplicates" in text
    assert "sub-01 and sub-02" in text
