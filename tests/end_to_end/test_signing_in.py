"""Signing in with a key, what a key allows, and signing out."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import pytest

from serving.access.api_keys import ApiKeys
from serving.store.database import Database

pytestmark = pytest.mark.browser
AXE = files("axe_core_python").joinpath("axe.min.js").read_text(encoding="utf-8")


@pytest.fixture
def make_key(locked_service: Any) -> Iterator[Any]:
    """Return a function that makes a key with these scopes."""
    database = Database.open(locked_service[1])
    yield lambda *scopes: ApiKeys(database).create("page", scopes=scopes, valid_for=None)[1]
    database.close()


@pytest.fixture
def page(browser: Any, locked_service: Any) -> Iterator[Any]:
    """Return a new page of the service that asks for keys."""
    context = browser.new_context(base_url=locked_service[0].url, viewport={"width": 400, "height": 800})
    yield context.new_page()
    context.close()


def sign_in(page: Any, key: str) -> None:
    """Paste a key and press Enter."""
    page.goto("/sign-in")
    page.fill("#key", key)
    page.press("#key", "Enter")
    page.wait_for_load_state()


def violations(page: Any) -> list[str]:
    """Return the names of the rules that axe finds broken."""
    page.evaluate(AXE)
    found: list[str] = page.evaluate("axe.run(document).then((found) => found.violations.map((one) => one.id))")
    return found


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_sign_in_page_is_accessible_also_with_its_error(page: Any, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)
    page.goto("/history")
    assert page.url.split("?")[0].endswith("/sign-in"), "who has no key is led here"
    assert violations(page) == []
    sign_in(page, "krp_0123456789ab_wrong")
    assert page.locator("[role=alert]").is_visible()
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 400


def test_a_key_leads_in_shows_its_own_history_and_can_be_put_away(page: Any, make_key: Any) -> None:
    sign_in(page, make_key("score", "read"))
    page.click("text=Score the sample visit")
    page.wait_for_url("**/results/*")
    result = page.url
    sign_in(page, make_key("score", "read"))
    assert page.goto(result).status == 404, "another key's result is not there"
    page.click("text=Sign out")
    page.wait_for_load_state()
    assert page.locator("#key").is_visible()
    page.goto("/history")
    assert page.locator("#key").is_visible()


def test_who_may_only_read_is_offered_nothing_else(page: Any, make_key: Any) -> None:
    sign_in(page, make_key("read"))
    links = page.locator("nav a").all_inner_texts()
    assert links == ["History", "Models", "API"]
    page.goto("/")
    assert page.locator("text=Score a visit").count() == 0
    assert page.locator("text=Score the sample visit").count() == 0
