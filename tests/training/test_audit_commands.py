from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from predictor.__main__ import main
from training.simulation.measured_tables import simulate_tables, write_tables
from training.simulation.trial import TrialPlan

EXPERIMENT = """
name = "small"

[cohort]
features = "features.tsv"
participants = "participants.tsv"

[outcome]
column = "improvement"
unit = "percent"

[covariates]
clinical = ["severity"]

[model]
candidates = ["ridge"]
l1_ratios = [0.5]
n_alphas = 5

[validation]
n_folds = 3
n_repeats = 1
inner_folds = 3

[tracking]
registered_model = "small"
"""


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator) -> Path:
    """An experiment on ready features, in the folder in which commands are called."""
    people = pd.Index([f"sub-{n:02d}" for n in range(30)], name="participant_id")
    features = pd.DataFrame(2 + rng.standard_normal((30, 8)), people, [f"rest__a__b{n}" for n in range(8)])
    known = pd.DataFrame({"severity": rng.normal(40, 8, 30)}, people)
    known["improvement"] = 10 * features.iloc[:, 0] + 10 * rng.standard_normal(30)
    features.to_csv(tmp_path / "features.tsv", sep="\t")
    known.to_csv(tmp_path / "participants.tsv", sep="\t")
    (tmp_path / "experiment.toml").write_text(EXPERIMENT)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_an_honest_experiment_passes_with_a_line_per_model(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "experiment.toml", "--jobs", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "30 people, 1 partition into folds"
    assert [line.split()[0] for line in lines[1:4]] == ["elastic", "ridge", "table"]
    assert "passed" in lines[1]
    assert not (study / "mlruns").exists()  # an audit logs nothing


def test_a_person_under_two_names_ends_in_refusal_and_is_named(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = pd.read_csv("features.tsv", sep="\t", index_col=0)
    for first, second in (("sub-00", "sub-01"), ("sub-02", "sub-03"), ("sub-04", "sub-05"), ("sub-06", "sub-07")):
        table.loc[first] = table.loc[second]
    table.to_csv("features.tsv", sep="\t")
    assert main(["audit", "experiment.toml", "--jobs", "1", "--only-primary"]) == 4
    shown = capsys.readouterr()
    assert "duplicates" in shown.out
    assert "= sub-0" in shown.out
    assert "\nleak-found: held-out people or the outcome reach the models: duplicates." in shown.err


AS_ANALYSIS = ["--set", "tracking.registered_model=small-analysis"]


def test_what_is_declared_late_passes_as_an_analysis_that_can_never_be_champion(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    late = ["--set", 'cohort.measured={severity = "week2"}', *AS_ANALYSIS]
    assert main(["audit", "experiment.toml", "--jobs", "1", "--only-primary", *late]) == 0
    assert "analysis  time: declared as measured after baseline: severity (week2)" in (out := capsys.readouterr().out)
    assert "analysis, not a predictor: can never be champion" in out
    assert main(["audit", "experiment.toml", "--jobs", "1", "--only-primary", "--json", *late]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["leaking_steps"] == []
    assert [finding["severity"] for finding in document["findings"]] == ["analysis"]


def test_an_input_named_like_a_later_measure_is_refused_until_its_time_is_declared(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = pd.read_csv("participants.tsv", sep="\t", index_col=0)
    table.rename(columns={"severity": "sleep_week2"}).to_csv("participants.tsv", sep="\t")
    asked = [
        "audit",
        "experiment.toml",
        "--jobs",
        "1",
        "--only-primary",
        "--set",
        'covariates.clinical=["sleep_week2"]',
    ]
    assert main(asked) == 3
    assert "Name it small-analysis" in capsys.readouterr().err
    asked += AS_ANALYSIS
    assert main(asked) == 4
    shown = capsys.readouterr()
    assert "UNDECLARED  time" in shown.out
    assert "their time is not declared" in shown.err
    assert main([*asked, "--set", 'cohort.measured={sleep_week2 = "week2"}']) == 0


def test_the_example_of_study_a_passes_the_audit_as_an_analysis(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    example = Path(__file__).resolve().parents[2] / "experiments" / "norbury_replication.toml"
    write_tables(simulate_tables(TrialPlan(24, 0, seed=5, strength=0.0)), tmp_path, changes=True)
    files = [f"cohort.{name}={tmp_path / name}.tsv" for name in ("features", "participants")]
    quick = ["validation.inner_folds=3", "validation.scheme=repeated_kfold", "validation.n_folds=3"]
    overrides = [part for one in (*files, *quick) for part in ("--set", one)]
    assert main(["audit", str(example), "--jobs", "1", *overrides]) == 0
    assert "can never be champion" in capsys.readouterr().out
    undeclared = ["--set", "cohort.measured={}"]
    assert main(["audit", str(example), "--jobs", "1", *overrides, *undeclared]) == 4


def test_a_time_that_is_no_text_is_an_error_of_the_experiment_file(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["audit", "experiment.toml", "--set", "cohort.measured={severity = 2}"]) == 3
    assert "[cohort] measured" in capsys.readouterr().err
