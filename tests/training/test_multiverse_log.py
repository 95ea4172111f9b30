from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pandas as pd
import pytest

from predictor.__main__ import main
from predictor.errors import ModelUnavailableError
from training.log_book.tracking import Store, find_runs, open_store, start_run
from training.multiverse.multiverse import MultiverseResult, run_multiverse
from training.multiverse.multiverse_log import latest_multiverse, log_multiverse, multiverse_files, universe_table
from training.multiverse.multiverse_plan import read_multiverse
from training.multiverse.multiverse_record import multiverse_document
from training.report.multiverse_section import multiverse_lines, multiverse_section
from training.report.specification_curve import specification_curve
from training.simulation.measured_tables import simulate_tables, write_tables
from training.simulation.trial import TrialPlan

FILE = """
name = "logged-multiverse"
[cohort]
name = "synthetic tables"
features = "{folder}/features.tsv"
participants = "{folder}/participants.tsv"
include = {{ group = "patient" }}
[outcome]
name = "caps5_percent_improvement"
[features]
families = ["activation_faces"]
[covariates]
arm = "arm"
clinical = ["caps5_total_baseline"]
[model]
l1_ratios = [0.5]
n_alphas = 6
[validation]
n_folds = 4
n_repeats = 1
inner_folds = 3
[tracking]
registered_model = "simulated"
[multiverse]
universes = [{{ features = "conflict" }}, {{ arms = "interactions" }}]
[multiverse.axes.features]
faces = {{}}
conflict = {{ features.families = ["activation_conflict"] }}
[multiverse.axes.arms]
main-effects = {{}}
interactions = {{ covariates.interactions = true }}
"""


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("multiverse")
    write_tables(simulate_tables(TrialPlan(40, 8, 3, "ketamine-only", strength=0.35)), folder)
    path = folder / "experiment.toml"
    path.write_text(FILE.format(folder=folder))
    return path


@pytest.fixture(scope="module")
def multiverse(experiment: Path) -> MultiverseResult:
    return run_multiverse(read_multiverse(experiment), n_jobs=1)


@pytest.fixture(scope="module")
def document(multiverse: MultiverseResult) -> dict[str, Any]:
    return multiverse_document(multiverse)


@pytest.fixture
def store(store_folder: Path) -> Store:
    return open_store(store_folder)


def test_the_document_marks_the_registered_universe_and_warns_of_picking_another(document: dict[str, Any]) -> None:
    assert [one["registered"] for one in document["universes"]] == [True, False, False]
    assert "forking path" in document["caution"]
    assert document["research_use_only"] is True
    assert document["is_synthetic"] is True
    assert json.loads(json.dumps(document)) == document


def test_shares_and_range_are_those_of_the_universes(document: dict[str, Any]) -> None:
    universes, found = document["universes"], document["summary"]
    better = [one["r2"] > one["baseline_r2"] + 1e-6 for one in universes]
    assert found["share_better"] == sum(better) / 3
    assert found["n_surely_better"] == sum(one["gain_lower"] > 0 for one in universes)
    assert (found["r2_lowest"], found["r2_highest"]) == (
        min(one["r2"] for one in universes),
        max(one["r2"] for one in universes),
    )
    assert found["registered_rank"] == 1 + sum(one["r2"] > universes[0]["r2"] for one in universes)
    assert {(one["axis"], one["alternative"], one["n"]) for one in document["by_alternative"]} == {
        ("features", "faces", 2), ("features", "conflict", 1), ("arms", "main-effects", 2), ("arms", "interactions", 1)
    }  # fmt: skip


def test_a_model_that_is_its_baseline_does_not_beat_it(multiverse: MultiverseResult) -> None:
    # Nothing is weighed here but arm and severity: the difference of 1e-14 is rounding.
    one = replace(multiverse.registered, gain=replace(multiverse.registered.gain, difference=1e-14))
    assert not one.is_better
    assert replace(one, gain=replace(one.gain, difference=1.0)).is_better


def test_no_file_holds_a_participant(multiverse: MultiverseResult, document: dict[str, Any]) -> None:
    written = "".join(multiverse_files(document).values())
    assert not [name for name in multiverse.manifest.participants if name in written]


def test_one_parent_with_a_child_per_universe_stands_in_the_log_book(
    store: Store, multiverse: MultiverseResult, document: dict[str, Any]
) -> None:
    run_id = log_multiverse(store, multiverse, document)
    runs = find_runs(store, experiments=["logged-multiverse"])
    children = [run for run in runs if run.parent == run_id]
    (parent,) = (run for run in runs if run.parent is None)
    assert (parent.run_id, parent.tags["kind"], parent.tags["synthetic"]) == (run_id, "multiverse", "yes")
    assert parent.metrics["registered_r2"] == document["summary"]["registered_r2"]
    assert len(children) == 3
    (registered,) = (run for run in children if run.tags["registered"] == "yes")
    assert registered.metrics["r2"] == document["universes"][0]["r2"]
    assert registered.params["universe.features"] == "faces"
    assert latest_multiverse(store, "logged-multiverse") == document
    assert latest_multiverse(store, "logged-multiverse", splits_digest="sha256:other") is None
    with start_run(store, "without-a-multiverse", name="trained"):
        pass
    assert latest_multiverse(store, "without-a-multiverse") is None
    with pytest.raises(ModelUnavailableError):
        latest_multiverse(store, "unheard-of")
    assert not store.client.search_registered_models("name = 'simulated'")


def test_the_figure_has_a_mark_for_every_universe_and_says_what_it_shows(document: dict[str, Any]) -> None:
    drawn = ElementTree.fromstring(specification_curve(document))
    marks = [one.text or "" for one in drawn.iter("{http://www.w3.org/2000/svg}title")]
    assert len(marks) == 1 + 3  # the drawing's own title
    words = "".join(drawn.itertext())
    assert "Synthetic data. Research use only." in words
    assert "forking path" in words


def test_a_name_cannot_break_the_figure(document: dict[str, Any]) -> None:
    odd = json.loads(json.dumps(document).replace("conflict", "a<b&c"))
    ElementTree.fromstring(specification_curve(odd))


def test_many_universes_fit_into_the_same_width(document: dict[str, Any]) -> None:
    many = document | {"universes": [document["universes"][number % 3] | {"number": number} for number in range(500)]}
    ElementTree.fromstring(specification_curve(many))


def test_lines_and_section_say_the_same_numbers(document: dict[str, Any]) -> None:
    lines = list(multiverse_lines(document))
    assert sum(line.startswith("  * ") for line in lines) == 1
    section = multiverse_section(document)
    assert all(any(sentence in line for line in lines) for sentence in section.sentences)
    assert section.note == document["caution"]
    assert [one.split(" ")[0] for one in section.references] == ["Steegen", "Simonsohn"]
    assert all("doi:10." in one for one in section.references)
    assert "faces (registered)" in {row[1] for row in section.rows}
    tested = document | {"chance_of_the_best": {"p_value": 0.25, "n_permutations": 3, "null_r2_95": 0.1}}
    assert "p = .250" in multiverse_section(tested).sentences[-1]


def test_the_table_has_a_row_per_universe(document: dict[str, Any]) -> None:
    table = universe_table(document)
    assert list(table["number"]) == [0, 1, 2]
    assert list(table["features"]) == ["faces", "conflict", "faces"]
    assert isinstance(table, pd.DataFrame)


def test_the_command_prints_logs_and_writes(
    store: Store,
    experiment: Path,
    document: dict[str, Any],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    call = ["multiverse", str(experiment), "--set", f"tracking.store={store.folder}", "--jobs", "1"]
    assert main([*call, "--out", str(tmp_path / "out")]) == 0
    assert "forking path" in capsys.readouterr().out
    written = json.loads((tmp_path / "out" / "multiverse.json").read_text())
    assert [one["r2"] for one in written["universes"]] == [one["r2"] for one in document["universes"]]
    assert (tmp_path / "out" / "figures" / "specification_curve.svg").is_file()
    assert main([*call, "--permutations", "-1"]) == 2


def test_a_missing_table_ends_the_command_before_anything_is_logged(
    experiment: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "experiment.toml"
    extracting = 'scans = {}\nother = { extract = "--no-deconvolution" }\n'
    head = experiment.read_text().split("[multiverse]")[0]
    path.write_text(
        f'{head}[multiverse]\nderivatives = "scans"\ntables = "nowhere"\n[multiverse.axes.deconvolution]\n{extracting}'
    )
    assert main(["multiverse", str(path), "--set", f"tracking.store={tmp_path / 'mlruns'}"]) == 3
    shown = capsys.readouterr().err
    assert "krp extract scans nowhere/deconvolution-other group --no-deconvolution" in shown
    assert not (tmp_path / "mlruns").exists()


def test_a_document_without_a_full_cross_says_so(document: dict[str, Any], multiverse: MultiverseResult) -> None:
    assert "combinations chosen in the experiment file" in multiverse_section(document).sentences[0]
    left_out = multiverse_document(replace(multiverse, n_left_out=2))
    assert "(2 others lack the features of some universe)" in multiverse_section(left_out).sentences[0]
