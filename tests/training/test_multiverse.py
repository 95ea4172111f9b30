from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from predictor.errors import ConfigError, TrainingError
from training.experiment_folds import make_manifest
from training.judged_models import judge_all, make_estimators
from training.multiverse.multiverse import MultiverseResult, read_same_people, run_multiverse, same_folds
from training.multiverse.multiverse_plan import MultiversePlan, read_multiverse
from training.simulation.measured_tables import simulate_tables, write_tables
from training.simulation.trial import TrialPlan
from training.training_table import read_training_table

FILE = """
name = "simulated-multiverse"
[cohort]
name = "synthetic tables"
features = "{folder}/features.tsv"
participants = "{folder}/participants.tsv"
include = {{ group = "patient" }}
[outcome]
name = "caps5_percent_improvement"
[features]
families = ["gppi_faces", "rest_fisher_z"]
[covariates]
arm = "arm"
clinical = ["caps5_total_baseline"]
demographic = ["age"]
interactions = true
[model]
l1_ratios = [0.5]
n_alphas = 6
[validation]
n_folds = 5
n_repeats = 2
inner_folds = 3
[tracking]
registered_model = "simulated"
[multiverse.axes.edges]
correlation = {{}}
partial = {{ features.families = ["gppi_faces", "rest_partial"] }}
[multiverse.axes.penalty]
elastic-net = {{}}
lasso = {{ model.primary = "lasso" }}
[multiverse.axes.baseline]
severity = {{}}
none = {{ covariates.clinical = [] }}
"""


def write_plan(folder: Path, text: str = FILE) -> MultiversePlan:
    path = folder / "experiment.toml"
    path.write_text(text.format(folder=folder))
    return read_multiverse(path)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("multiverse")
    write_tables(simulate_tables(TrialPlan(48, 8, 3, "ketamine-only", strength=0.35)), folder)
    return folder


@pytest.fixture(scope="module")
def plan(cohort: Path) -> MultiversePlan:
    return write_plan(cohort)


@pytest.fixture(scope="module")
def result(plan: MultiversePlan) -> MultiverseResult:
    return run_multiverse(plan, n_jobs=1, n_permutations=3)


def test_the_registered_universe_is_what_training_finds(plan: MultiversePlan, result: MultiverseResult) -> None:
    table = read_training_table(plan.config)
    manifest = make_manifest(table, plan.config)
    assert result.manifest.digest == manifest.digest
    models = judge_all(make_estimators(table, plan.config), table, manifest, plan.config, n_jobs=1)
    by_name = {model.name: model.metrics for model in models}
    assert result.registered.metrics.r2 == pytest.approx(by_name["elastic_net"].r2, abs=1e-6)
    baselines = {name: one.r2 for name, one in by_name.items() if name != "elastic_net"}
    assert result.registered.baseline == max(baselines, key=lambda name: baselines[name])
    assert result.registered.baseline_r2 == baselines[result.registered.baseline]
    (gain,) = (m.gain_of_primary for m in models if m.name == result.registered.baseline)
    assert gain is not None
    assert result.registered.gain.difference == pytest.approx(gain.difference, abs=1e-3)


def test_universes_differ_in_what_was_decided_and_in_nothing_else(result: MultiverseResult) -> None:
    r2 = {one.universe.label: one.metrics.r2 for one in result.universes}
    assert len(r2) == 8
    assert all(value != result.registered.metrics.r2 for label, value in r2.items() if "correlation" not in label)
    assert {one.features_digest for one in result.universes} == {result.registered.features_digest}
    without = next(one for one in result.universes if one.universe.choice["baseline"] == "none")
    assert without.clinical_gain is None
    assert result.registered.clinical_gain is not None


def test_chance_of_the_best_universe_is_that_of_the_best_of_all(result: MultiverseResult) -> None:
    assert result.chance is not None
    assert len(result.chance.competitors) == 8
    assert len(result.chance.null_r2) == 3


def test_models_without_compiled_code_are_judged_too(cohort: Path, tmp_path: Path) -> None:
    head = FILE[: FILE.index("[multiverse.axes")].replace("n_repeats = 2", "n_repeats = 1")
    path = tmp_path / "experiment.toml"
    axes = '[multiverse.axes.model]\nelastic-net = {{}}\npls = {{ model.primary = "pls" }}\n'
    path.write_text((head + axes).format(folder=cohort))
    other = run_multiverse(read_multiverse(path), n_jobs=1).universes[1]
    assert other.universe.config.model.primary == "pls"
    assert np.isfinite(other.metrics.r2)


def test_people_whom_a_universe_cannot_use_are_left_out_of_all(cohort: Path, tmp_path: Path) -> None:
    for name in ("features.tsv", "features.json", "participants.tsv"):
        (tmp_path / name).write_bytes((cohort / name).read_bytes())
    table = pd.read_csv(cohort / "features.tsv", sep="\t", dtype=str, keep_default_na=False)
    (tmp_path / "fewer").mkdir()
    table.iloc[3:].to_csv(tmp_path / "fewer" / "features.tsv", sep="\t", index=False)
    (tmp_path / "fewer" / "features.json").write_bytes((cohort / "features.json").read_bytes())
    head = FILE[: FILE.index("[multiverse.axes")]
    axes = '[multiverse.axes.tables]\nall = {{}}\nfewer = {{ cohort.features = "{folder}/fewer/features.tsv" }}\n'
    found = write_plan(tmp_path, head + axes)
    tables, n_left_out = read_same_people(found)
    assert n_left_out == 3
    assert [list(one.inputs.index) for one in tables] == [list(tables[0].inputs.index)] * 2
    assert len(tables[0].inputs) == 45
    assert len(same_folds(found, tables).participants) == 45


def test_universes_on_other_folds_are_refused(plan: MultiversePlan) -> None:
    tables, _ = read_same_people(plan)
    swapped = replace(tables[1], outcome=tables[1].outcome[::-1])
    with pytest.raises(TrainingError, match="other people, outcomes or folds") as caught:
        same_folds(plan, (tables[0], swapped, *tables[2:]))
    assert caught.value.where == plan.universes[1].label


def test_an_extracted_alternative_that_is_the_registered_table_is_refused(cohort: Path) -> None:
    copied = cohort / "others" / "confounds-motion6"
    copied.mkdir(parents=True)
    for name in ("features.tsv", "features.json"):
        (copied / name).write_bytes((cohort / name).read_bytes())
    axes = '[multiverse]\ntables = "{folder}/others"\nderivatives = "scans"\n[multiverse.axes.confounds]\n'
    axes += 'motion24 = {{}}\nmotion6 = {{ extract = "--confound-strategy motion6" }}\n'
    with pytest.raises(TrainingError, match="the registered one in another place"):
        run_multiverse(write_plan(cohort, FILE[: FILE.index("[multiverse.axes")] + axes), n_jobs=1)


def test_an_error_in_a_universe_says_in_which(cohort: Path, tmp_path: Path) -> None:
    text = FILE.replace('"gppi_faces", "rest_partial"', '"rest_partial", "no_such_family"')
    path = tmp_path / "experiment.toml"
    path.write_text(text.format(folder=cohort))
    with pytest.raises(ConfigError, match="no family no_such_family") as caught:
        run_multiverse(read_multiverse(path), n_jobs=1)
    assert "universe edges: partial" in caught.value.where


def test_the_same_run_twice_gives_the_same_numbers(plan: MultiversePlan, result: MultiverseResult) -> None:
    tables, _ = read_same_people(plan)
    assert np.array_equal(same_folds(plan, tables).partitions, result.manifest.partitions)
