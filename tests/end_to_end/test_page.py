from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.browser
SCHEMES, WIDTHS = ("light", "dark"), (1280, 400)


@pytest.fixture
def page(browser: Any, service: Any) -> Iterator[Any]:
    """Return a new page; whatever it asks of other hosts, or its scripts get wrong, fails the test."""
    context = browser.new_context(base_url=service.url, viewport={"width": 1280, "height": 900})
    opened = context.new_page()
    asked: list[str] = []
    faults: list[str] = []
    opened.on("request", lambda request: asked.append(request.url) if not request.url.startswith(service.url) else None)
    opened.on("pageerror", lambda error: faults.append(str(error)))
    opened.on("console", lambda message: faults.append(message.text) if "Content Security" in message.text else None)
    yield opened
    context.close()
    assert [url for url in asked if not url.startswith(service.url)] == []
    assert faults == []


def wait_for_status(page: Any, words: str) -> None:
    """Wait for the status line; by locator, because the page's policy forbids evaluating strings."""
    page.locator("#status", has_text=words).wait_for()


def checks(page: Any, run: str) -> list[str]:
    """Return the states of a run's check list."""
    items = page.locator(f'[data-run="{run}"] .checks li')
    return [str(item.get_attribute("class")) for item in items.all()]


def test_the_sample_visit_is_scored_by_keyboard_alone(page: Any) -> None:
    page.goto("/")
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == "Score the sample visit":
            break
    page.keyboard.press("Enter")
    page.wait_for_url("**/results/*")
    assert "expected improvement" in page.locator("h1").inner_text()
    assert page.locator(".figure-wide svg").count() == 2
    assert page.locator(".figure-wide svg").last.is_visible()
    assert "What the number is made of" in page.inner_text("main")
    assert "Research use only" in page.inner_text("main")


def test_an_uploaded_visit_is_recognised_checked_and_scored(page: Any, visit_files: dict[str, Path]) -> None:
    page.goto("/visit")
    assert page.locator("#send").is_disabled()
    page.set_input_files("#all-files", [str(path) for path in visit_files.values()])
    wait_for_status(page, "Ready to send.")
    assert page.inner_text("#drop-result").startswith("9 of 9 files")
    assert checks(page, "rest") == ["check-good"] * 4
    assert checks(page, "faces") == ["check-good"] * 5
    page.fill("#covariate-caps5_total_baseline", "44")
    page.fill("#covariate-site", "A")
    page.select_option("#covariate-sex", "female")
    page.click("#send")
    page.wait_for_url("**/results/*")
    page.click("text=Technical")
    answer = json.loads(page.inner_text("details[open] pre"))
    covariates = json.dumps({"caps5_total_baseline": 44, "site": "A", "sex": "female"})
    parts: dict[str, Any] = {
        name: {"name": path.name, "mimeType": "application/octet-stream", "buffer": path.read_bytes()}
        for name, path in visit_files.items()
    }
    sent = page.request.post("/v1/scans", multipart={**parts, "covariates": covariates})
    assert answer == sent.json()["answer"]


def test_several_runs_of_a_task_find_their_own_places_with_their_tables(
    page: Any, visit_files: dict[str, Path], tmp_path: Path
) -> None:
    dropped = []
    for run in (2, 1):
        for name in ("rest_confounds", "rest"):
            source = visit_files[name]
            copy = tmp_path / source.name.replace("task-rest", f"task-rest_run-{run}")
            copy.write_bytes(source.read_bytes())
            dropped.append(str(copy))
    page.goto("/visit")
    page.set_input_files("#all-files", dropped)
    wait_for_status(page, "Ready to send.")
    assert page.inner_text("#drop-result").startswith("4 of 4 files")
    for name, run in (("rest", 1), ("rest_confounds", 1), ("rest_2", 2), ("rest_2_confounds", 2)):
        chosen = page.locator(f"#{name}").evaluate("input => [input.name, input.files[0].name]")
        assert chosen[0] == name
        assert f"run-{run}_" in chosen[1]
    assert page.locator('[data-run="rest"]').count() == 2
    page.click("#send")
    page.wait_for_url("**/results/*")
    assert "Rest run 2" in page.content()


def test_what_would_be_refused_is_red_before_anything_is_sent(
    page: Any, visit_files: dict[str, Path], tmp_path: Path
) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.method))
    native = tmp_path / "sub-02_task-rest_space-T1w_desc-preproc_bold.nii.gz"
    native.write_bytes(visit_files["rest"].read_bytes())
    short = tmp_path / "sub-01_task-rest_desc-confounds_timeseries.tsv"
    short.write_bytes(b"".join(visit_files["rest_confounds"].read_bytes().splitlines(keepends=True)[:-2]))
    page.goto("/visit")
    page.set_input_files("#rest", str(native))
    page.set_input_files("#rest_confounds", str(short))
    wait_for_status(page, "Mend what is marked")
    # The first file alone makes the status red; the second one is still being read then.
    page.locator('[data-run="rest"] .checks', has_text="148 rows").wait_for()
    words = page.inner_text('[data-run="rest"] .checks')
    assert "space T1w" in words
    assert "148 rows, the scan 150 volumes" in words
    assert "different participants" in words
    assert page.locator("#send").is_disabled()
    assert "POST" not in asked


def test_what_the_server_refuses_is_explained_on_the_page(
    page: Any, visit_files: dict[str, Path], tmp_path: Path
) -> None:
    cut = tmp_path / "cut.nii.gz"
    cut.write_bytes(visit_files["rest"].read_bytes()[:3_000_000])
    page.goto("/visit")
    page.set_input_files("#rest", str(cut))
    wait_for_status(page, "Ready to send.")
    page.click("#send")
    page.wait_for_selector("#problem .banner")
    words = page.inner_text("#problem")
    assert "scan-truncated" in words
    assert "part rest" in words
    assert not page.locator("#send").is_disabled()


def test_an_upload_can_be_cancelled(page: Any, visit_files: dict[str, Path]) -> None:
    page.goto("/visit")
    page.set_input_files("#rest", str(visit_files["rest"]))
    wait_for_status(page, "Ready to send.")
    slow = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 500_000}
    page.context.new_cdp_session(page).send("Network.emulateNetworkConditions", slow)
    page.click("#send")
    page.wait_for_selector("#cancel:not([hidden])")
    assert page.locator("#progress").is_visible()
    page.click("#cancel")
    wait_for_status(page, "Cancelled")
    assert not page.locator("#send").is_disabled()


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_every_page_fits_and_is_legible(page: Any, scheme: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.emulate_media(color_scheme=scheme)
    page.goto("/")
    page.click("text=Score the sample visit")
    page.wait_for_url("**/results/*")
    result = page.url
    for address in ("/", "/visit", "/table", "/docs", "/nothing", result):
        page.goto(address)
        sizes = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
        assert sizes[0] <= sizes[1], f"{address} is wider than the window"
        assert contrast(page, "main p") >= 4.5, address
        assert page.locator("h1").count() == 1
        assert page.locator("main").count() == 1


def contrast(page: Any, selector: str) -> float:
    """Return the contrast ratio (WCAG 2) of an element's text on the page's background."""
    script = "element => [getComputedStyle(element).color, getComputedStyle(document.body).backgroundColor]"
    pair = page.locator(selector).first.evaluate(script)
    luminances = []
    for colour in pair:
        channels = [int(number) / 255 for number in re.findall(r"\d+", colour)[:3]]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        luminances.append(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2])
    return (max(luminances) + 0.05) / (min(luminances) + 0.05)
