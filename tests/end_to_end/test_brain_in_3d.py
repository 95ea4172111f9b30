"""The circuit in three dimensions, under the page's strict policy."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.browser
LARGEST_BYTES = 150_000


@pytest.fixture
def result(page: Any) -> Any:
    """Return a page that shows the sample visit's result."""
    page.goto("/")
    page.click("text=Score the sample visit")
    page.wait_for_url("**/results/*")
    return page


def eye(page: Any) -> dict[str, float]:
    """Return from where the brain is looked at."""
    found: dict[str, float] = page.evaluate("document.getElementById('brain')._fullLayout.scene.camera.eye")
    return found


def show(page: Any) -> None:
    """Ask for the drawing and wait until it can be turned."""
    page.click("#brain-show")
    page.locator("#brain-tools").wait_for(timeout=60_000)


def test_the_library_is_fetched_only_when_it_is_asked_for(result: Any) -> None:
    asked: list[str] = []
    result.on("request", lambda request: asked.append(request.url.rsplit("/", 1)[1]))
    result.reload()
    assert "plotly.min.js" not in asked
    show(result)
    assert {"plotly.min.js", "brain-surface.bin", "circuit.json"} <= set(asked)


def test_the_circuit_is_drawn_with_a_line_for_every_connection(result: Any) -> None:
    show(result)
    circuit = result.request.get(result.url + "/circuit.json").json()
    kinds = result.evaluate("document.getElementById('brain').data.map((trace) => trace.type + ' ' + trace.mode)")
    assert kinds.count("scatter3d lines") == len(circuit["edges"])
    assert kinds.count("mesh3d undefined") == 1
    assert result.locator("#brain canvas").is_visible()
    colours = result.evaluate(
        "document.getElementById('brain').data.filter((trace) => trace.mode === 'lines').map((one) => one.line.color)"
    )
    by_sign = {edge["contribution"] < 0: colour for edge, colour in zip(circuit["edges"], colours, strict=True)}
    assert len(set(by_sign.values())) == len(by_sign), "what raises and what lowers differ in colour"


def test_the_brain_is_turned_with_the_keyboard(result: Any) -> None:
    show(result)
    assert result.evaluate("document.activeElement.dataset.move") == "turn-left"
    before = eye(result)
    result.keyboard.press("Enter")
    assert eye(result) != before
    result.locator("[data-view=left]").press("Enter")
    assert eye(result)["x"] < 0 == eye(result)["y"]
    far = eye(result)["x"]
    result.locator("[data-move=closer]").press("Enter")
    assert far < eye(result)["x"] < 0


def test_it_follows_the_colours_of_the_page(result: Any) -> None:
    show(result)
    ink = "document.getElementById('brain')._fullLayout.font.color"
    light = result.evaluate(ink)
    result.emulate_media(color_scheme="dark")
    for _ in range(50):
        if result.evaluate(ink) != light:
            break
        result.wait_for_timeout(100)
    assert result.evaluate(ink) != light


def test_a_browser_that_cannot_draw_keeps_the_flat_drawing_and_says_so(result: Any) -> None:
    result.route("**/static/plotly.min.js", lambda route: route.abort())
    result.click("#brain-show")
    result.locator("#brain-status", has_text="could not draw in 3-D").wait_for()
    assert result.locator("#brain-flat svg").is_visible()
    assert not result.locator("#brain").is_visible()
    assert result.locator("#brain-show").is_enabled()


def weight(page: Any, address: str) -> dict[str, int]:
    """Return the bytes of everything that a page asks for, by the end of the address, in a tab of its own."""
    answered: list[Any] = []
    fresh = page.context.new_page()
    fresh.on("response", lambda response: answered.append(response))
    fresh.goto(address)
    fresh.wait_for_load_state("networkidle")
    sizes = {response.url.rsplit("/", 1)[1]: len(response.body()) for response in answered}
    fresh.close()
    assert {"page.css", "page.js"} < set(sizes)
    return sizes


@pytest.mark.parametrize("address", ["/", "/visit", "/table", "/models"])
def test_a_page_weighs_little(page: Any, address: str) -> None:
    sizes = weight(page, address)
    assert sum(sizes.values()) <= LARGEST_BYTES, sizes


def test_a_result_weighs_little_beside_the_answer_document_that_it_shows(result: Any) -> None:
    document = len(result.locator("#technical pre").text_content().encode())
    sizes = weight(result, result.url)
    assert sum(sizes.values()) - document <= LARGEST_BYTES, sizes
