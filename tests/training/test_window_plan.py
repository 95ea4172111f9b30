from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from predictor.circuit.circuit import load_circuit
from predictor.errors import ConfigError
from training.timecourse.window_plan import WindowPlan, load_window_plan

MINIMAL = """
baseline = "before"
[infusion]
start_min = 5
[[windows]]
name = "during"
start_min = 0
end_min = 10
[[windows]]
name = "before"
start_min = -5
end_min = 0
[edges]
sources = ["amygdala_L"]
targets = ["vmPFC"]
"""


def load(tmp_path: Path, text: str) -> WindowPlan:
    path = tmp_path / "windows.toml"
    path.write_text(text)
    return load_window_plan(path)


def test_default_is_study_b_and_the_file_in_experiments(project: Path) -> None:
    plan = load_window_plan("default")
    assert plan.window_names == ("baseline", "0-10", "10-20", "20-30", "30-40")
    assert plan.baseline == "baseline"
    assert len(plan.edges) == 6
    assert set(plan.region_names) <= set(load_circuit().region_names)
    assert load_window_plan(project / "experiments" / "infusion_windows.toml") == plan


def test_windows_lie_on_the_clock_of_their_run(tmp_path: Path) -> None:
    plan = load(tmp_path, MINIMAL)
    assert plan.window_names == ("before", "during")  # baseline first, whatever the file's order
    assert [(w.start_s, w.end_s) for w in map(plan.time_window, plan.windows)] == [(0, 300), (300, 900)]


def test_a_baseline_run_of_its_own_counts_from_its_first_volume(tmp_path: Path) -> None:
    text = MINIMAL.replace("start_min = 5\n", "start_min = 2\nrun = 2\n")
    plan = load(tmp_path, text.replace("start_min = -5\nend_min = 0", "start_min = 0\nend_min = 8\nrun = 1"))
    assert [(w.run, plan.time_window(w).start_s) for w in plan.windows] == [(1, 0), (2, 120)]


def test_document_holds_the_whole_file(tmp_path: Path) -> None:
    plan = load(tmp_path, MINIMAL)
    document = plan.document()
    assert document["edges"] == [["amygdala_L", "vmPFC"]]
    assert document["infusion"] == {"run": 1, "start_min": 5.0}
    assert document["dissociation_windows"] == ["during"]
    assert len(document["windows"]) == len(tomllib.loads(MINIMAL)["windows"])


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('baseline = "before"', 'baseline = "never"', "name of one of the windows"),
        ("start_min = -5", "start_min = -6", "first volume"),
        ("end_min = 10", "end_min = 0", "later end"),
        ("end_min = 10", "end_min = nan", "number of minutes"),
        ("end_min = 10", "end_min = 1e9", "at most"),
        ("end_min = 10", "", "lacks end_min"),
        ("end_min = 10", 'end_min = "10"', "number of minutes"),
        ("start_min = 0\nend_min = 10", "start_min = -1\nend_min = 10", "share volumes"),
        ('name = "during"', 'name = "before"', "name of one of the windows"),
        ('name = "during"', 'name = "a\\tb"', "printable"),
        ('name = "during"', 'name = "during"\nrun = 0', "number of a resting run"),
        ('["vmPFC"]', '["amygdala_L"]', "source and target"),
        ('["vmPFC"]', "[]", "pair of regions"),
        ('["vmPFC"]', '["vmPFC", "vmPFC"]', "twice"),
        ('baseline = "before"', 'baseline = "before"\ncolour = 1', "unknown entry colour"),
        ('baseline = "before"', 'baseline = "before"\ndissociation_windows = ["before"]', "after baseline"),
        ('baseline = "before"', 'baseline = "before"\nminimum_minutes = 0', "above 0"),
        ("[infusion]", "[infusion", "not TOML"),
        ("[infusion]", "[sliding]\nlength_min = 1\nstep_min = 2\n[infusion]", "step_min"),
        ("[infusion]", "[sliding]\nlength_min = 1\n[infusion]", "lacks step_min"),
    ],
)
def test_impossible_entries_are_named(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in MINIMAL
    with pytest.raises(ConfigError, match=said) as caught:
        load(tmp_path, MINIMAL.replace(old, new))
    assert caught.value.where


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read") as caught:
        load_window_plan(tmp_path / "none.toml")
    assert caught.value.where == "none.toml"
