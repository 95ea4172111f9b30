from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from predictor.features.recipe import region_table_recipe
from predictor.report.visit_report import VisitLabel, visit_report
from predictor.scan.region_signals import RegionRecording
from predictor.scan.session import BaselineSession, build_run

pytestmark = pytest.mark.browser
NAMES = ("amygdala_L", "amygdala_R", "vmPFC", "dACC", "silent")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the report of a table of regions of which one never changes."""
    bold = np.random.default_rng(0).standard_normal((90, len(NAMES)))
    bold[:, -1] = 1.0
    unknown = np.full(len(NAMES), np.nan)
    carpet, recipe = np.empty((90, 0), np.float32), region_table_recipe(NAMES)
    recording = RegionRecording(NAMES, bold, unknown, unknown, carpet, 2.0, "region table", "sha256:" + "0" * 64)
    run = build_run(
        "rest", recording, confounds_tsv=None, confounds_sidecar=None, sidecar=None, events_tsv=None, tasks=recipe.tasks
    )
    path = tmp_path_factory.mktemp("report") / "sub-01.html"
    path.write_text(visit_report(BaselineSession((run,)), recipe, VisitLabel("sub-01")), encoding="utf-8")
    return path


@pytest.fixture
def page(browser: Any, report: Path) -> Iterator[Any]:
    """Return the opened report; a request to anyone, or anything that its policy stops, fails the test."""
    context = browser.new_context(viewport={"width": 1000, "height": 800})
    opened = context.new_page()
    asked: list[str] = []
    faults: list[str] = []
    opened.on("request", lambda request: asked.append(request.url))
    opened.on("pageerror", lambda error: faults.append(str(error)))
    opened.on("console", lambda message: faults.append(message.text))
    opened.goto(report.as_uri())
    yield opened
    context.close()
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    assert faults == []


def _shown(page: Any) -> list[str]:
    return [row.locator("code").inner_text() for row in page.locator("#feature-table tbody tr:visible").all()]


def test_features_are_found_by_words_and_by_what_is_missing(page: Any) -> None:
    assert page.locator("#feature-count").inner_text() == "10 of 10"
    page.fill("#feature-search", "VMPFC amygdala")
    assert _shown(page) == ["rest_partial__amygdala_L__vmPFC", "rest_partial__amygdala_R__vmPFC"]
    page.fill("#feature-search", "")
    page.check("#feature-missing")
    assert len(_shown(page)) == 4
    assert all(name.endswith("__silent") for name in _shown(page))
    page.select_option("#feature-family", "rest_partial")
    assert page.locator("#feature-count").inner_text() == "4 of 10"


@pytest.mark.parametrize("width", [1000, 400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_report_fits_its_window_in_light_and_dark(page: Any, scheme: str, width: int) -> None:
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 24, 31)"}[scheme]
    ink = page.locator("svg text", has_text="left amygdala").first.evaluate("node => getComputedStyle(node).fill")
    assert ink == {"light": "rgb(28, 35, 48)", "dark": "rgb(231, 234, 240)"}[scheme]


def test_on_paper_only_what_can_be_read_there_is_left(page: Any) -> None:
    page.emulate_media(media="print", color_scheme="dark")
    assert not page.locator("#feature-tools").is_visible()
    assert not page.locator("nav").is_visible()
    assert page.locator("#feature-table").is_visible()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
