"""Every report that a command writes, in light and dark, wide and narrow: nothing axe objects to, nothing cut off."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from predictor.features.feature_vector import FeatureVector
from predictor.features.recipe import Recipe
from predictor.model.bundle import ModelBundle
from predictor.pipeline import score_features
from predictor.report.visit_report import VisitLabel, visit_report
from predictor.scan.session import BaselineSession
from training.cohort_quality.cohort_quality import cohort_quality
from training.config import CohortConfig
from training.experiment import ExperimentResult
from training.extraction.feature_table import FailedVisit
from training.extraction.visit_reports import report_path
from training.locked.locked_cohort import read_locked_cohort
from training.locked.locked_test import run_locked_test
from training.locked.openings import FileOpenings
from training.report.closing_sections import multiverse_part
from training.report.cohort_quality_page import write_cohort_page
from training.report.experiment_report import report_page
from training.report.forest_figure import comparison_page
from training.report.locked_test_page import locked_test_page

pytestmark = pytest.mark.browser
HERE = Path(__file__).parent
LOOKS = [(scheme, width) for scheme in ("light", "dark") for width in (1280, 400)]
# Drawings that are wider than the window scroll; nothing else may stand out of it, and nothing of them may be cut.
CUT_OFF = """() => [...document.querySelectorAll("svg")].flatMap((svg) => {
  const box = svg.getBoundingClientRect();
  return [...svg.querySelectorAll("text")].filter((text) => {
    const one = text.getBoundingClientRect();
    return one.width && (one.left < box.left - 1 || one.right > box.right + 1
      || one.top < box.top - 1 || one.bottom > box.bottom + 1);
  }).map((text) => text.textContent);
})"""


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"reports_{path.parent.name}_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look up annotations
    spec.loader.exec_module(module)
    return module


LEGIBILITY = _module(HERE / "test_legibility.py")
MEASURED = _module(HERE.parent / "training" / "measured_cohort.py")
# Fixtures of the neighbouring folders, by their path: tests have no packages.
_TRAINING, _PREDICTOR = (_module(HERE.parent / one / "conftest.py") for one in ("training", "predictor"))
training_table, config, result = _TRAINING.training_table, _TRAINING.config, _TRAINING.result
store_folder, complete_bundle = _TRAINING.store_folder, _TRAINING.complete_bundle
report_recipe, report_session = _PREDICTOR.report_recipe, _PREDICTOR.report_session
report_vector, cohort, bundle = _PREDICTOR.report_vector, _PREDICTOR.cohort, _PREDICTOR.bundle


@pytest.fixture(scope="module")
def cohort_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the quality page of a cohort that has everything a page can show."""
    folder = tmp_path_factory.mktemp("cohort")
    table = MEASURED.write_measured_cohort(folder / "out")
    rows = "".join(f"sub-{number:02d}\t{('north', 'south')[number % 2]}\n" for number in range(1, 26))
    (folder / "participants.tsv").write_text("participant_id\tsite\n" + rows)
    report_path(folder / "out", "sub-02").write_text("<!doctype html><title>a report</title>", encoding="utf-8")
    failed = [FailedVisit("sub-25", "scan-truncated", "the scan ends too early.", "rest", "Copy it again.")]
    found = cohort_quality(table, folder / "out", failed=failed, folders=[folder], is_synthetic=True)
    return write_cohort_page(found, folder / "out")


def _multiverse() -> dict[str, Any]:
    """Return twelve universes of two decisions; the seventh is the registered one."""
    rng = np.random.default_rng(0)
    axes = {
        "regions": {"alternatives": ["amygdala and vmPFC", "whole circuit"], "registered": "whole circuit"},
        "censoring": {"alternatives": [f"{mm} mm" for mm in (0.2, 0.3, 0.4, 0.5, 0.9, 2)], "registered": "0.2 mm"},
    }
    universes = []
    for number, (regions, censoring) in enumerate(
        (one, other) for one in axes["regions"]["alternatives"] for other in axes["censoring"]["alternatives"]
    ):
        r2 = float(rng.normal(0.2, 0.1))
        universes.append(
            {
                "number": number, "registered": number == 6, "choice": {"regions": regions, "censoring": censoring},
                "r2": r2, "r2_lower": r2 - 0.15, "r2_upper": r2 + 0.15, "baseline": "arm + clinical",
                "baseline_r2": 0.15, "is_better": r2 > 0.15, "is_surely_better": False,
                "gain": 1.0, "gain_lower": -3.0, "gain_upper": 5.0,
            }
        )  # fmt: skip
    found = [one["r2"] for one in universes]
    summary = {
        "n_universes": 12, "n_better": 8, "share_better": 0.67, "n_surely_better": 0, "share_surely_better": 0.0,
        "r2_lowest": min(found), "r2_highest": max(found), "r2_median": 0.2, "registered_r2": found[6],
        "registered_rank": 5,
    }  # fmt: skip
    by_alternative = [
        {"axis": axis, "alternative": name, "n": 6, "r2_median": 0.2, "share_better": 0.5}
        for axis, known in axes.items()
        for name in known["alternatives"]
    ]
    return {
        "name": "tables", "is_synthetic": True, "axes": axes, "universes": universes, "summary": summary,
        "by_alternative": by_alternative, "n_participants": 60, "n_left_out": 2, "is_full_cross": True,
        "chance_of_the_best": None, "caution": "The best of many universes is better than it deserves.",
    }  # fmt: skip


def _comparison() -> str:
    numbers = {"r2": 0.31, "r2_lower": 0.12, "r2_upper": 0.47, "best_baseline_r2": 0.28, "p_value": 0.01}
    experiments = [
        {"name": f"experiment-with-a-long-name-{letter}", "folds": letter, "is_synthetic": letter == "A", **numbers}
        for letter in "AB"
    ]
    document = {"experiments": experiments, "comparable": False, "verdict": "Not all are on the same people."}
    heads = ("experiment", "started", "outcome", "n", "R2", "p", "MAE", "best baseline", "gain", "gate", "version")
    return comparison_page(document, heads, [tuple("a cell" for _ in heads)] * 2)


@pytest.fixture(scope="module")
def locked_page(complete_bundle: ModelBundle, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the page of a locked test on other people."""
    folder = tmp_path_factory.mktemp("locked") / "people"
    _TRAINING.write_people_to(folder, _TRAINING.make_table(seed=8))
    people = CohortConfig(str(folder / "people.tsv"), str(folder / "participants.tsv"))
    bundle = replace(complete_bundle, digest="sha256:" + "d" * 64)
    document = run_locked_test(
        bundle, read_locked_cohort(people, bundle, name="other people"), FileOpenings.beside(folder / "bundle"),
        label="small-model/1", trained_on=None, is_synthetic=True, n_permutations=99,
    )  # fmt: skip
    return locked_test_page(document)


@pytest.fixture(scope="module")
def reports(
    result: ExperimentResult,
    locked_page: str,
    report_session: BaselineSession,
    report_recipe: Recipe,
    report_vector: FeatureVector,
    bundle: ModelBundle,
    cohort: Any,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Path]:
    """Return every other page that a command writes, by what it shows."""
    features = {name: 0.1 * number for number, name in enumerate(cohort.feature_names)}
    covariates = {"caps5_total_baseline": 44.0, "site": "A"}
    answer = score_features(features, covariates, bundle, recipe_hash=_PREDICTOR.TRAINED_BY, input_digest=None)
    label = VisitLabel("sub-07", "ses-1", is_synthetic=True)
    pages = {
        "a visit": visit_report(report_session, report_recipe, label, vector=report_vector, answer=answer),
        "an experiment": report_page(result.record, sections=[multiverse_part(_multiverse())]),
        "a locked test": locked_page,
        "a comparison": _comparison(),
    }
    folder = tmp_path_factory.mktemp("reports")
    for name, page in pages.items():
        (folder / f"{name.replace(' ', '_')}.html").write_text(page, encoding="utf-8")
    return {name: folder / f"{name.replace(' ', '_')}.html" for name in pages}


@pytest.fixture
def opened(browser: Any, cohort_page: Path) -> Iterator[Any]:
    """Return the cohort's page; a request to anyone, or anything that its policy stops, fails the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    asked: list[str] = []
    faults: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda message: faults.append(message.text))
    page.goto(cohort_page.as_uri())
    yield page
    context.close()
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    assert faults == []


def _names(page: Any) -> list[str]:
    return [str(name) for name in page.locator("#people tbody tr:visible th").all_inner_texts()]


@pytest.mark.parametrize("look", LOOKS, ids=str)
def test_the_cohorts_page_is_accessible_and_nothing_is_cut_off(opened: Any, look: tuple[str, int]) -> None:
    LEGIBILITY.dress(opened, look)
    LEGIBILITY.check(opened, "a cohort's quality", only_colours=look[0] == "dark")
    assert opened.evaluate(CUT_OFF) == []


def test_the_table_is_sorted_and_searched_by_keyboard(opened: Any) -> None:
    assert _names(opened)[0] == "sub-25"  # who failed stands first
    opened.locator("#people thead button", has_text="Participant").focus()
    opened.keyboard.press("Enter")
    assert _names(opened) == sorted(_names(opened))
    assert opened.locator("#people th[aria-sort=ascending]").inner_text().startswith("Participant")
    opened.keyboard.press("Enter")
    assert _names(opened) == sorted(_names(opened), reverse=True)
    opened.locator("#people thead button", has_text="Motion").click()
    opened.locator("#people thead button", has_text="Motion").click()
    assert _names(opened)[0] == "sub-02"  # who moved most
    assert _names(opened)[-1] == "sub-25"  # what is not known stands last, either way
    opened.fill("#people-search", "motion-high")
    assert _names(opened) == ["sub-02"]
    assert opened.locator("#people-count").inner_text() == "1 of 25"
    opened.fill("#people-search", "")
    opened.select_option("#people-status", "refused")
    assert _names(opened) == ["sub-03"]
    opened.locator("#people-status").select_option("")
    opened.check("#people-marked")
    assert set(_names(opened)) >= {"sub-02", "sub-03", "sub-05", "sub-06", "sub-07", "sub-25"}
    assert len(_names(opened)) < 12


def test_a_name_opens_the_report_of_the_visit(opened: Any) -> None:
    opened.click("text=sub-02")
    assert opened.title() == "a report"


def test_a_mark_leads_to_the_report_or_to_the_row(opened: Any) -> None:
    def click(name: str) -> None:
        opened.locator("#distributions circle, #distributions path").filter(has_text=name).first.dispatch_event("click")

    click("sub-09: ")
    assert _names(opened) == ["sub-09"]
    click("sub-02: ")
    opened.wait_for_url("**/sub-02.html")


def test_without_script_and_on_paper_the_table_is_whole(browser: Any, cohort_page: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(cohort_page.as_uri())
    assert page.locator("#people tbody tr").count() == 25
    assert not page.locator("#people-tools").is_visible()
    page.emulate_media(media="print", color_scheme="dark")
    assert page.locator("#people tbody tr").last.is_visible()
    assert not page.locator("nav").is_visible()
    context.close()


@pytest.mark.parametrize("look", [LOOKS[0], LOOKS[-1]], ids=str)  # their tables take axe seconds
def test_every_other_report_is_accessible_and_nothing_is_cut_off(
    browser: Any, reports: dict[str, Path], look: tuple[str, int]
) -> None:
    context = browser.new_context()
    page = context.new_page()
    for name, path in reports.items():
        page.goto(path.as_uri())
        LEGIBILITY.dress(page, look)
        LEGIBILITY.check(page, name)
        assert page.evaluate(CUT_OFF) == [], name
    context.close()


def test_on_paper_no_column_lies_beyond_the_edge(browser: Any, reports: dict[str, Path]) -> None:
    page = browser.new_page(viewport={"width": 700, "height": 900})  # A4 less its margins
    page.emulate_media(media="print")
    for name, path in reports.items():
        page.goto(path.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, name
    page.close()
