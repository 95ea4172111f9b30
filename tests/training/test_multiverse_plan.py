from __future__ import annotations

from pathlib import Path

import pytest

from predictor.errors import AlternativeMissingError, ConfigError
from training.config import read_experiment
from training.multiverse.multiverse_plan import MultiversePlan, read_multiverse

FILE = """
name = "trial"
[cohort]
features = "features.tsv"
participants = "participants.tsv"
[outcome]
name = "caps5_percent_improvement"
[features]
families = ["rest_fisher_z"]
[reference]
covariates = ["age"]
[tracking]
registered_model = "ketamine-response"
"""
AXES = """
[multiverse]
derivatives = "trial/deriv atives"
tables = "others"
extract = "--bids-dir trial"
[multiverse.axes.confounds]
motion24 = {}
motion6 = { extract = "--confound-strategy motion6" }
[multiverse.axes.edges]
correlation = {}
partial = { features.families = ["rest_partial"] }
[multiverse.axes.controls]
with = {}
without = { reference = false }
"""


def plan(folder: Path, text: str, *overrides: str) -> MultiversePlan:
    path = folder / "experiment.toml"
    path.write_text(text)
    return read_multiverse(path, overrides=overrides)


def test_the_registered_universe_is_the_experiment_itself(tmp_path: Path) -> None:
    found = plan(tmp_path, FILE + AXES)
    assert found.registered.is_registered
    assert found.registered.config.digest == read_experiment(tmp_path / "experiment.toml").digest
    assert [one.is_registered for one in found.universes].count(True) == 1
    assert len({one.config.digest for one in found.universes}) == len(found.universes) == 8


def test_every_universe_is_the_file_with_its_decisions_in_place(tmp_path: Path) -> None:
    found = {one.label: one.config for one in plan(tmp_path, FILE + AXES, "validation.n_folds=4").universes}
    other = found["confounds: motion6, edges: partial, controls: without"]
    assert other.features.families == ("rest_partial",)
    assert other.cohort.features == str(Path("others/confounds-motion6/features.tsv"))
    assert other.reference is None
    same = found["confounds: motion24, edges: correlation, controls: without"]
    assert same.features.families == ("rest_fisher_z",)
    assert same.cohort.features == "features.tsv"
    assert {config.validation.n_folds for config in found.values()} == {4}


def test_missing_tables_are_named_with_the_commands_that_make_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "features.tsv").write_text("")
    found = plan(tmp_path, FILE + AXES)
    command = (
        "krp extract 'trial/deriv atives' others/confounds-motion6 group --bids-dir trial --confound-strategy motion6"
    )
    assert found.extraction_commands() == (command,)
    *_, heading, last = found.lines()
    assert (heading, last) == ("first make the tables that are missing:", f"  {command}")
    with pytest.raises(AlternativeMissingError, match="1 of the feature tables") as caught:
        found.check_tables()
    assert command in caught.value.remedy
    table = tmp_path / "others/confounds-motion6/features.tsv"
    table.parent.mkdir(parents=True)
    table.write_text("")
    found.check_tables()


def test_a_missing_table_that_no_command_makes_is_named_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "features.tsv").write_text("")
    axes = '[multiverse.axes.site]\nours = {}\ntheirs = { cohort.features = "theirs.tsv" }\n'
    with pytest.raises(AlternativeMissingError, match=r"theirs\.tsv") as caught:
        plan(tmp_path, FILE + axes).check_tables()
    assert "Name feature tables that exist" in caught.value.remedy


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (FILE, "names no alternatives"),
        (FILE + AXES + '[model]\nprimary = ""\ncandidates = ["ridge", "lasso"]\n', "compete"),
        (FILE + AXES.replace('families = ["rest_partial"]', "families = 3"), "confounds: motion24, edges: partial"),
        (FILE + AXES.replace("features.families", "features.familys"), "unknown entries: familys"),
        (FILE + AXES.replace("tables =", "table ="), "unknown entries: table"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_a_multiverse_is_a_named_error(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        plan(tmp_path, text)


def test_the_shipped_example_can_be_read(project: Path) -> None:
    found = read_multiverse(project / "experiments" / "multiverse.toml")
    assert len(found.universes) == 16


def test_the_example_extracts_its_alternatives_as_its_registered_table_was_extracted() -> None:
    root = Path(__file__).parents[2]
    (line,) = [one for one in (root / "experiments/demo.sh").read_text().splitlines() if " participant " in one]
    found = read_multiverse(root / "experiments/multiverse.toml")
    assert line.partition(" participant ")[2] == found.alternatives.extract
    assert found.alternatives.derivatives in line
