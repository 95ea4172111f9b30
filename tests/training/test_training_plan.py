from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import training.training_plan
from training.config import ExperimentConfig
from training.evaluation.leak_finding import LeakFinding
from training.training_plan import TrainingPlan, plan_training
from training.training_table import TrainingTable


@pytest.fixture
def planned(
    training_table: TrainingTable, config: ExperimentConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> TrainingPlan:
    """Return the plan of the small trial, without permutations; its store would be below `tmp_path`."""
    monkeypatch.setattr(training.training_plan, "read_training_table", lambda _: training_table)
    quick = replace(config, validation=replace(config.validation, n_permutations=0))
    return plan_training(replace(quick, tracking=replace(config.tracking, store=str(tmp_path / "store"))), n_jobs=2)


def test_a_plan_names_people_features_folds_models_and_baselines(planned: TrainingPlan, tmp_path: Path) -> None:
    shown = "\n".join(planned.lines())
    assert "people        60 (ketamine 30, midazolam 30)" in shown
    assert "features      6 (gppi_faces 6)" in shown
    assert "arm (arm), caps5_total_baseline (clinical), site (site)" in shown
    assert "primary       elastic_net, registered as small-model" in shown
    assert "arm + clinical" in shown
    assert "nothing that gives the outcome or held-out people away" in shown
    assert "expected: about " in shown
    assert not (tmp_path / "store").exists()


def test_more_permutations_are_expected_to_take_longer(planned: TrainingPlan) -> None:
    assert planned.seconds_per_judgement == 0
    validation = replace(planned.config.validation, n_permutations=9_999)
    more = replace(planned, config=replace(planned.config, validation=validation), seconds_per_judgement=0.5)
    assert more.seconds > planned.seconds + 2_000


def test_a_table_that_would_fail_an_audit_is_said_to(planned: TrainingPlan) -> None:
    leak = LeakFinding("duplicates", "leak", "two people are one.", "features.tsv", "Take one out.")
    plan = replace(planned, findings=(leak,))
    shown = "\n".join(plan.lines())
    assert "would fail `krp audit`" in shown
    assert "LEAK  duplicates: two people are one." in shown
