"""Every page in light and dark, wide and narrow: nothing that axe objects to, nothing that does not fit."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import pytest

pytestmark = pytest.mark.browser
LOOKS = [(scheme, width) for scheme in ("light", "dark") for width in (1280, 400)]
PAGES = ("/", "/visit", "/table", "/history", "/models", "/models/current/card", "/docs", "/sign-in", "/nothing")
AXE = files("axe_core_python").joinpath("axe.min.js").read_text(encoding="utf-8")
# What other colours can break; everything else depends on the width alone.
OF_COLOURS = ["color-contrast", "link-in-text-block"]
ONE_LOOK = """async (rules) => {
  const only = rules ? { runOnly: { type: "rule", values: rules } } : {};
  const found = await axe.run(document, { resultTypes: ["violations"], ...only });
  return found.violations.map((one) => `${one.id}: ${one.nodes.map((node) => node.target).join(", ")}`);
}"""


def violations(page: Any, *, only_colours: bool = False) -> list[str]:
    """Return what axe objects to; it is put in by the browser's own tools, which the page's policy does not bind."""
    page.evaluate(AXE)
    found: list[str] = page.evaluate(ONE_LOOK, OF_COLOURS if only_colours else None)
    return found


def check(page: Any, what: str, *, only_colours: bool = False) -> None:
    """Fail if the page that is open is hard to use or does not fit."""
    assert violations(page, only_colours=only_colours) == [], what
    width, room = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert width <= room, f"{what} is wider than the window"
    assert page.locator("h1").count() == 1, what
    assert page.locator("main").count() == 1, what


def check_in_every_look(page: Any, what: str) -> None:
    """Fail if the page that is open is hard to use or does not fit, in any colours and width."""
    for look in LOOKS:
        dress(page, look)
        check(page, f"{what}, {look}", only_colours=look[0] == "dark")


def dress(page: Any, look: tuple[str, int]) -> None:
    """Give the window its colours and its width."""
    scheme, width = look
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 900})


def score_table(page: Any, *rows: str) -> None:
    """Send a table with rows of a label, the value of every feature, and a recipe."""
    names = page.request.get("/table/template.tsv").text().rstrip("\n").split("\t")
    lines = ["\t".join(names)]
    for label, value, recipe in (row.split("\t") for row in rows):
        cells = {"participant_id": label, "recipe_hash": recipe}
        lines.append("\t".join(cells.get(name, value if "__" in name else "n/a") for name in names))
    content = "\n".join(lines).encode()
    page.goto("/table")
    page.set_input_files("#table", {"name": "f.tsv", "mimeType": "text/tab-separated-values", "buffer": content})
    page.click("text=Score this table")
    page.wait_for_load_state()


def test_axe_finds_what_is_wrong(page: Any) -> None:
    page.goto("/")
    page.evaluate("document.body.append(document.createElement('input'))")
    assert any(one.startswith("label: ") for one in violations(page)), "else the other tests show nothing"
    page.evaluate(
        "document.body.append(Object.assign(document.createElement('p'), { textContent: 'faint', id: 'faint' }))"
    )
    page.evaluate("Object.assign(document.querySelector('#faint').style, { color: '#777', background: '#888' })")
    (only,) = violations(page, only_colours=True)
    assert only.startswith("color-contrast: ")


def test_every_page_is_accessible_and_fits(page: Any) -> None:
    for address in PAGES:
        page.goto(address)
        check_in_every_look(page, address)


def test_every_state_of_a_result_is_accessible_and_fits(page: Any) -> None:
    page.goto("/")
    page.click("text=Score the sample visit")
    page.wait_for_url("**/results/*")
    check_in_every_look(page, "a result")
    for tab in ("Methods and citations", "Technical"):
        page.click(f"role=tab[name='{tab}']")
        check_in_every_look(page, tab)
    score_table(page, "mine-01\tmany\tn/a")
    check_in_every_look(page, "a table with faults")
    score_table(page, "mine-01\t0.2\tn/a", f"mine-02\t0.1\tsha256:{'0' * 64}")
    check_in_every_look(page, "results of a table")
    flagged, refused = (str(link.get_attribute("href")) for link in page.locator("td a").all())
    for address, banner in ((flagged, ".banner-flag"), (refused, ".banner-refuse")):
        page.goto(address)
        assert page.locator(banner).is_visible()
        check_in_every_look(page, banner)
    page.goto("/history")
    assert page.locator("tbody tr").count() == 3
    check_in_every_look(page, "a history")
