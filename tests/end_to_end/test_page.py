from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.browser


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
    assert page.locator("#brain-flat svg").is_visible()
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
    page.click("role=tab[name='Technical']")
    answer = json.loads(page.inner_text("#technical pre"))
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


def test_a_result_is_found_again_in_the_history_and_deleted_by_keyboard(page: Any) -> None:
    page.goto("/")
    page.click("text=Score the sample visit")
    page.wait_for_url("**/results/*")
    result = page.url
    page.goto("/history")
    assert page.locator("tbody tr").count() == 1
    page.locator("tbody a").press("Enter")
    page.wait_for_url(result)
    page.goto("/history")
    page.locator("tbody button").press("Enter")
    page.locator("text=Nothing is kept at the moment.").wait_for()
    assert page.goto(result).status == 404


def test_tabs_are_worked_with_the_arrow_keys(page: Any) -> None:
    page.goto("/")
    page.click("text=Score the sample visit")
    page.wait_for_url("**/results/*")
    tabs = page.locator("[role=tab]")
    assert tabs.all_inner_texts() == ["Quality", "Methods and citations", "Technical"]
    assert [page.locator(f"#{panel}").is_visible() for panel in ("quality", "methods", "technical")] == [
        True,
        False,
        False,
    ]
    tabs.first.focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("#methods").is_visible()
    assert not page.locator("#quality").is_visible()
    assert page.evaluate("document.activeElement.textContent") == "Methods and citations"
    page.keyboard.press("End")
    assert page.locator("#technical").is_visible()
    page.keyboard.press("ArrowRight")
    assert page.locator("#quality").is_visible()


def test_without_a_script_every_part_of_the_result_is_on_the_page(browser: Any, service: Any) -> None:
    context = browser.new_context(base_url=service.url, java_script_enabled=False)
    page = context.new_page()
    page.goto("/")
    page.click("text=Score the sample visit")
    page.wait_for_url("**/results/*")
    for part in ("#quality", "#methods", "#technical", "#brain-flat svg"):
        assert page.locator(part).is_visible(), part
    assert not page.locator("#brain-show").is_visible(), "a button that does nothing is not offered"
    context.close()


def test_on_paper_all_tabs_are_printed_and_no_buttons(page: Any) -> None:
    page.goto("/")
    page.click("text=Score the sample visit")
    page.wait_for_url("**/results/*")
    page.emulate_media(media="print", color_scheme="dark")
    assert page.locator("#quality").is_visible()
    assert page.locator("#methods").is_visible()
    assert not page.locator("[role=tablist]").is_visible()
    assert not page.locator("text=Delete this result").is_visible()
    assert page.locator("#brain-flat svg").is_visible()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_wrong_cells_of_a_table_are_shown_by_their_place_and_the_good_rows_can_be_scored(page: Any) -> None:
    page.goto("/table")
    feature = "rest_fisher_z__amygdala_L__vmPFC"
    content = f"participant_id\t{feature}\nmine-01\t0.2\nmine-02\tmany\n".encode()
    file = {"name": "features.tsv", "mimeType": "text/tab-separated-values", "buffer": content}
    page.set_input_files("#table", file)
    page.click("text=Score this table")
    page.locator("#faults").wait_for()
    assert f"line 3, column {feature}" in page.inner_text("#faults")
    assert page.evaluate("document.activeElement.id") == "faults", "what has to be mended is read out first"
    page.set_input_files("#table", file)
    page.check("#leave_out")
    page.click("text=Score this table")
    page.locator("h1", has_text="1 visit scored, 1 left out").wait_for()
    page.click("text=Open")
    page.wait_for_url("**/results/*")
    assert page.locator(".banner-refuse").is_visible(), "one feature of so many is not enough"
