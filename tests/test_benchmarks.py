"""The form that benchmarks share, and the page that is made of their results. Nothing is timed here."""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture
def benchmarks(project: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return what imports a module of the benchmarks, which are scripts and no package."""
    monkeypatch.syspath_prepend(str(project / "tests" / "benchmarks"))

    def load(name: str) -> ModuleType:
        return importlib.import_module(name)

    return load


@pytest.fixture
def results(project: Path) -> dict[str, Any]:
    return json.loads((project / "docs/benchmarks/results.json").read_text(encoding="utf-8"))


def test_a_ratio_says_how_many_times_better_ours_is(benchmarks: Any) -> None:
    measurement = benchmarks("measurement").Measurement
    faster = measurement("group", "time", "s", 2.0, 10.0, "another")
    more = measurement("group", "rate", "per s", 300.0, 100.0, "another", larger_is_better=True)
    assert (faster.ratio, more.ratio) == (5.0, 3.0)
    assert faster.met is None


@pytest.mark.parametrize(
    ("ours", "target", "met"),
    [
        (3.0, {"at_most": 3.0}, True),
        (3.1, {"at_most": 3.0}, False),
        (496.0, {"at_least": 500.0}, False),
        (1.0, {"ratio_at_least": 10.0}, True),
        (1.1, {"ratio_at_least": 10.0}, False),
    ],
)
def test_a_target_is_met_by_the_number_and_by_nothing_else(
    ours: float, target: dict[str, float], met: bool, benchmarks: Any
) -> None:
    measurement = benchmarks("measurement").Measurement
    one = measurement("group", "name", "s", ours, 10.0, "another", **target)
    assert one.met is met
    forged = one.document() | {"met": not met, "ratio": 99.0}
    assert measurement.of_document(forged) == one


@pytest.mark.parametrize(
    "wrong",
    [
        {"other": 1.0},
        {"other_name": "another"},
        {"ratio_at_least": 2.0},
        {"at_most": 1.0, "at_least": 1.0},
    ],
)
def test_half_a_comparison_or_two_targets_are_no_measurement(wrong: dict[str, Any], benchmarks: Any) -> None:
    with pytest.raises(ValueError, match="name:"):
        benchmarks("measurement").Measurement("group", "name", "s", 1.0, **wrong)


def test_a_missed_target_is_an_exit_code_and_a_word_on_the_screen(
    benchmarks: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    module = benchmarks("measurement")
    met, missed = (module.Measurement("group", f"name {limit}", "s", 2.0, at_most=limit) for limit in (3.0, 1.0))
    assert module.conclude([met], as_json=False) == 0
    assert module.conclude([met, missed], as_json=False) == 1
    assert re.search(r"name 1.0 .*MISSED", capsys.readouterr().out)


def test_every_benchmark_has_the_common_form(project: Path) -> None:
    scripts = sorted((project / "tests/benchmarks").glob("bench_*.py"))
    assert len(scripts) >= 9
    for script in scripts:
        text = script.read_text(encoding="utf-8")
        assert "parser_of(__doc__)" in text, script.name
        assert "conclude(" in text, script.name


def test_the_page_and_its_charts_are_those_of_the_results(
    project: Path, results: dict[str, Any], benchmarks: Any
) -> None:
    module, folder = benchmarks("benchmark_page"), project / "docs/benchmarks"
    made = {module.PAGE: module.page_of(results), **module.charts_of(results)}
    differing = [name for name, content in made.items() if (folder / name).read_text(encoding="utf-8") != content]
    assert differing == [], "python tests/benchmarks/benchmark_run.py --page-only writes them again"


def test_what_follows_from_the_results_was_not_written_by_hand(results: dict[str, Any], benchmarks: Any) -> None:
    measurement = benchmarks("measurement").Measurement
    assert results["measurements"]
    for one in results["measurements"]:
        assert measurement.of_document(one).document() == one


def test_the_page_says_what_was_missed_and_what_could_not_be_measured(results: dict[str, Any], benchmarks: Any) -> None:
    missed = benchmarks("measurement").Measurement("group", "a slow thing", "s", 2.0, at_most=1.0)
    document = results | {"measurements": [missed.document()], "failed": {"bench_x.py": "it ended with 1."}}
    page = benchmarks("benchmark_page").page_of(document)
    assert "0 of 1 targets met.** Missed: a slow thing (2 s, asked ≤ 1 s)." in page
    assert "**`bench_x.py` could not be measured:** it ended with 1." in page


def test_the_results_name_no_machine_and_no_folder(project: Path) -> None:
    text = (project / "docs/benchmarks/results.json").read_text(encoding="utf-8")
    assert re.search(r"/(home|root|work|tmp|Users)/", text) is None
