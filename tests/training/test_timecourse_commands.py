from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from predictor.__main__ import main

PLANTED = {"amygdala_L__vmPFC", "amygdala_R__vmPFC"}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("infusion") / "study"
    assert main(["simulate", str(out), "--study", "infusion", "--seed", "1", "--quiet"]) == 0
    return out


def run(study: Path, out: Path, *options: str) -> int:
    return main(["timecourse", str(study), str(out), "--jobs", "1", "--permutations", "999", *options])


def test_planted_decrease_is_found_at_10_to_20_minutes_and_nowhere_else(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(study, tmp_path / "out", "--windows", "default", "--dissociation", "cadss") == 0
    printed = capsys.readouterr()
    assert "**Synthetic data.**" in printed.out
    assert "26 people (12 with ketamine and 14 with midazolam)" in printed.out
    assert printed.err.splitlines()[-1] == "krp timecourse: done"
    found = pd.read_csv(tmp_path / "out" / "results.tsv", sep="\t").query("p_family_wise < 0.05")
    assert set(found["edge"]) == PLANTED
    assert set(found["window"]) == {"10-20"}
    assert (found["difference"] < -0.2).all()
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "timecourse.tsv", "timecourse.svg", "timecourse.png", "results.tsv", "results_edges.tsv",
        "results_dissociation.tsv", "results.json", "summary.md", "dataset_description.json",
    }  # fmt: skip


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the figure out, which takes as long as all the rest."""
    monkeypatch.setattr("training.timecourse.result_files.timecourse_figure", lambda *_, **__: {})


@pytest.mark.usefixtures("undrawn")
def test_bad_participant_is_named_and_the_others_are_analysed(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = shutil.copytree(study, tmp_path / "copy")
    confounds = next(copy.glob("sub-02/**/*_desc-confounds_timeseries.tsv"))
    confounds.write_text("".join(confounds.read_text().splitlines(keepends=True)[:-2]))
    assert run(copy, tmp_path / "out") == 1
    printed = capsys.readouterr()
    assert "confounds-row-mismatch" in printed.err
    assert "failed: sub-02; the other 25 were measured" in printed.err
    assert "- sub-02: left out, could not be read" in printed.out
    assert json.loads((tmp_path / "out" / "results.json").read_text())["dissociation"] == []


@pytest.mark.usefixtures("undrawn")
def test_participants_and_arms_can_be_named(study: Path, tmp_path: Path) -> None:
    table = pd.read_csv(study / "participants.tsv", sep="\t").rename(columns={"arm": "group"})
    table.to_csv(tmp_path / "people.tsv", sep="\t", index=False)
    options = ["--participants", str(tmp_path / "people.tsv"), "--arm", "group", "--treatment", "midazolam"]
    labels = [f"{number:02d}" for number in range(1, 15)]
    assert run(study, tmp_path / "out", *options, "--participant-label", *labels) == 0
    document = json.loads((tmp_path / "out" / "results.json").read_text())
    assert document["arms"] == {"treated": "midazolam", "other": "ketamine"}
    assert sum(document["n_people"].values()) == 14
    assert document["left_out"] == {}  # those not asked for are not missing


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--windows", "none.toml"], 3, "config-invalid"),
        (["--arm", "drug"], 3, "table-column-missing"),
        (["--dissociation", "arm"], 3, "expected a number for every person"),
        (["--treatment", "placebo"], 3, "timecourse-impossible"),
        (["--participants", "none.tsv"], 3, "cannot be read"),
        (["--permutations", "5"], 2, "permutations"),
        (["--participant-label", "99"], 3, "participant-unknown"),
    ],
)
def test_what_cannot_work_is_said(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], code: int, said: str
) -> None:
    assert run(study, tmp_path / "out", *options) == code
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_folders_without_people_or_signals_are_wrong_use(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path / "none", tmp_path / "out") == 2
    (tmp_path / "a" / "b" / "c").mkdir(parents=True)
    assert run(tmp_path / "a" / "b" / "c", tmp_path / "out") == 2
    assert "expected participants.tsv" in capsys.readouterr().err
    shutil.copy(study / "participants.tsv", tmp_path / "a" / "b" / "c")
    assert run(tmp_path / "a" / "b" / "c", tmp_path / "out") == 3


def test_study_of_an_infusion_knows_no_controls(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for options in (["--controls", "4"], ["--effect", "prognostic"], ["--participants", "1"]):
        assert main(["simulate", str(tmp_path / "out"), "--study", "infusion", *options]) == 2
    assert main(["simulate", str(tmp_path / "out"), "--study", "infusion", "--participants", "5", "--quiet"]) == 0
    assert "2 people with ketamine, 3 with midazolam" in capsys.readouterr().out


def test_a_place_that_cannot_hold_results_is_said_before_signals_are_read(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    monkeypatch.setattr("training.timecourse.recording.measure_people", lambda *_, **__: read.append("signals"))
    (tmp_path / "file").write_text("")
    assert run(study, tmp_path / "file") == 2
    assert read == []


def test_windows_of_a_run_that_nobody_has_are_said(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = Path("experiments/infusion_windows.toml").read_text().replace("run = 1", "run = 3")
    (tmp_path / "windows.toml").write_text(plan)
    assert run(study, tmp_path / "out", "--windows", str(tmp_path / "windows.toml")) == 3
    printed = capsys.readouterr()
    assert "usable window" in printed.err
    assert "26 of 26" in printed.err
    assert "two arms" not in printed.err


def test_dissociation_that_is_no_number_is_named_by_its_row(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = (study / "participants.tsv").read_text().splitlines()
    table[3] = "\t".join([*table[3].split("\t")[:-1], "many"])
    (tmp_path / "people.tsv").write_text("\n".join(table) + "\n")
    options = ["--participants", str(tmp_path / "people.tsv"), "--dissociation", "cadss"]
    assert run(study, tmp_path / "out", *options) == 3
    printed = capsys.readouterr()
    assert "found many" in printed.err
    assert "row 3, column cadss" in printed.err
