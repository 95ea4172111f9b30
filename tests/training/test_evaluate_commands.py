from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from predictor.__main__ import main
from predictor.exit_codes import DONE, INVALID_INPUT, REFUSED, WRONG_USE
from predictor.model.bundle import ModelBundle, save_bundle
from training.log_book.tracking import Store, start_run
from training.shelf.registry import register_bundle

WritePeople = Callable[..., Path]


def register(store: Store, bundle: ModelBundle, name: str, *, participants: list[str]) -> str:
    with start_run(store, "small-trial", name="small-trial") as run:
        run.table(pd.DataFrame({"participant_id": participants, "repeat_0": 0}), "splits.tsv")
        tags = {"cohort_digest": "sha256:" + "c" * 64}
        return register_bundle(replace(bundle, name=name), {}, store=store, run=run, tags=tags).version


def tables(folder: Path) -> list[str]:
    return ["--features", str(folder / "people.tsv"), "--participants", str(folder / "participants.tsv")]


def test_a_registered_model_is_tested_once_and_the_version_says_so(
    shelf: Store,
    complete_bundle: ModelBundle,
    write_people: WritePeople,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    version = register(shelf, complete_bundle, "evaluated", participants=["sub-01", "sub-02"])
    command = ["evaluate", "evaluated/candidate", *tables(write_people()), "--store", str(shelf.folder)]
    page, result = tmp_path / "page.html", tmp_path / "result.json"
    assert main([*command, "--name", "new people", "--report", str(page), "--out", str(result)]) == DONE
    shown = capsys.readouterr()
    assert "Research use only" in shown.out
    assert "locked model" in shown.out
    assert "<!doctype html>" in page.read_text()
    document = json.loads(result.read_text())
    assert document["model"]["label"] == f"evaluated/{version}"
    assert document["checks"] == {"participant_ids": "compared", "feature_rows": "compared, near copies too"}
    assert main(command) == REFUSED
    assert "locked-test-opened" in capsys.readouterr().err
    assert main([*command, "--again", "--json"]) == DONE
    assert json.loads(capsys.readouterr().out)["opening"]["number"] == 2
    assert shelf.client.get_model_version("evaluated", version).tags["openings"] == "2"


def test_people_of_the_split_manifest_are_refused_and_not_named(
    shelf: Store, complete_bundle: ModelBundle, write_people: WritePeople, capsys: pytest.CaptureFixture[str]
) -> None:
    register(shelf, complete_bundle, "evaluated shared", participants=["new-03", "sub-02"])
    command = ["evaluate", "evaluated shared/1", *tables(write_people()), "--store", str(shelf.folder)]
    assert main(command) == REFUSED
    shown = capsys.readouterr()
    assert "1 with the id" in shown.err
    assert "new-03" not in shown.err + shown.out


def test_a_bundle_folder_with_an_experiment_file_and_another_include(
    complete_bundle: ModelBundle, write_people: WritePeople, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_people()
    save_bundle(complete_bundle, tmp_path / "bundle")
    experiment = tmp_path / "experiment.toml"
    experiment.write_text(
        f'name = "small"\n[cohort]\nfeatures = "{folder}/people.tsv"\nparticipants = "{folder}/participants.tsv"\n'
        'include = { site = "a" }\n[outcome]\ncolumn = "improvement"\nunit = "percent"\nresponse_threshold = 30\n'
        '[tracking]\nregistered_model = "small-model"\n'
    )
    command = ["evaluate", "--bundle", str(tmp_path / "bundle"), str(experiment), "--exclude-missing-outcome"]
    assert main([*command, "--include", "site=b", "--report", str(tmp_path / "page.md")]) == DONE
    shown = capsys.readouterr()
    assert "people of site=b" in shown.out
    assert "training ids are not known" in shown.err
    assert (tmp_path / "page.md").read_text().startswith("# Locked test")
    assert len((tmp_path / "bundle.openings.jsonl").read_text().splitlines()) == 2
    experiment.write_text(experiment.read_text().replace("improvement", "age"))
    assert main(command) == INVALID_INPUT
    assert "model's outcome" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["evaluate"],
        ["evaluate", "model/1"],
        ["evaluate", "model/1", "experiment.toml", "another"],
        ["evaluate", "model/1", "experiment.toml", "--report", "page.pdf"],
        ["evaluate", "model/1", "experiment.toml", "--out", "absent/result.json"],
    ],
)
def test_wrong_use_is_told_before_anything_is_read(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == WRONG_USE
    assert "usage:" in capsys.readouterr().err
