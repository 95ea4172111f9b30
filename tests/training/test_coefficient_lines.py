from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from predictor.model.bundle import ModelBundle
from training.config import read_experiment
from training.experiment import ExperimentResult, make_estimators
from training.final_model import build_bundle
from training.report.coefficient_lines import coefficient_lines, coefficients, detectable_r, significant_r
from training.shelf.promotion_gate import check_gate
from training.shelf.stored_evidence import StoredEvidence
from training.simulation.measured_tables import simulate_tables, write_tables
from training.simulation.trial import TrialPlan
from training.training_table import read_training_table

EXPERIMENT = Path(__file__).resolve().parents[2] / "experiments" / "norbury_replication.toml"


@cache
def study_a(n_patients: int, folder: Path) -> ModelBundle:
    """Study A's final model on simulated tables (not scans), depression included."""
    # Strength 0: nothing is planted at baseline, so that improvement depends on arm, noise and the changes.
    write_tables(simulate_tables(TrialPlan(n_patients, 0, seed=5, strength=0.0)), folder, changes=True)
    files = [f"cohort.{name}={folder / name}.tsv" for name in ("features", "participants")]
    config = read_experiment(EXPERIMENT, overrides=[*files, "validation.inner_folds=5"])
    table = read_training_table(config)
    return build_bundle(make_estimators(table, config)["elastic_net"], table, config, card={})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("study-a")


def test_the_planted_signs_of_study_a_come_back_at_200_people(folder: Path) -> None:
    found = {(one.feature, one.arm): one.value for one in coefficients(study_a(200, folder))}

    def both_sides(stem: str, arm: str) -> float:
        return sum(value for (name, where), value in found.items() if name.startswith(stem) and where == arm)

    faces = "change_gppi_faces_mean__amygdala"
    assert both_sides(faces, "all") > 0
    assert both_sides(faces, "ketamine > midazolam") > 0
    assert both_sides("change_activation_conflict_regulation__dACC", "ketamine") < 0
    assert both_sides("change_rest_fisher_z__vmPFC__insula_anterior", "ketamine") > 0
    assert both_sides("change_madrs_total", "all") < 0  # less depression goes with less PTSD


def test_a_sample_of_22_says_how_little_it_can_tell(folder: Path) -> None:
    bundle = study_a(22, folder)
    text = "\n".join(coefficient_lines(bundle))
    assert "22 people: a correlation has to exceed 0.42" in text
    assert "the others are not known" in text
    assert sum(one.is_firm for one in coefficients(bundle)) < len(coefficients(bundle)) / 2


def test_a_model_of_changes_never_passes_the_gate(folder: Path) -> None:
    available = check_gate({"measured": {}}, study_a(22, folder), evidence=StoredEvidence(), tags={})[4]
    assert not available.passed
    assert "6 of" in available.measured


def test_coefficients_are_those_of_the_model(result: ExperimentResult) -> None:
    assert result.bundle is not None
    model = result.bundle.model
    found = {(one.feature, one.arm): one for one in coefficients(result.bundle)}
    first = model.input_names[0]
    assert found[first, "all"].value == pytest.approx(model.coefficients[:, 0].mean())
    assert found[first, "ketamine > midazolam"].value == pytest.approx(
        model.coefficients[0, 0] - model.coefficients[1, 0]
    )
    planted = found[first, "ketamine"]  # -14 per unit
    assert planted.upper < 0
    assert planted.is_firm


def test_long_lists_are_not_printed(result: ExperimentResult) -> None:
    assert result.bundle is not None
    many = tuple(replace(result.bundle.definitions[0], name=f"f{number}") for number in range(21))
    bundle = object.__new__(type(result.bundle))
    object.__setattr__(bundle, "definitions", many)
    assert not list(coefficient_lines(bundle))


def test_thresholds_for_a_correlation_agree_with_simulation(rng: np.random.Generator) -> None:
    n_people, r = 40, detectable_r(40)
    x = rng.standard_normal((4000, n_people))
    y = r * x + np.sqrt(1 - r**2) * rng.standard_normal((4000, n_people))
    x, y = (one - one.mean(axis=1, keepdims=True) for one in (x, y))
    found = (x * y).sum(axis=1) / np.sqrt((x**2).sum(axis=1) * (y**2).sum(axis=1))
    assert np.mean(np.abs(found) > significant_r(n_people)) == pytest.approx(0.8, abs=0.03)
