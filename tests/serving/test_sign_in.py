from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from html import unescape
from pathlib import Path
from typing import Any

import httpx
import pytest

from serving.access.access_control import BELIEVED_S
from serving.access.api_keys import ApiKey, ApiKeys
from serving.access.principal import Scope
from serving.model_store import ModelStore
from serving.settings import Settings
from serving.store.audit_chain import AuditChain
from serving.store.database import Database

Serve = Callable[[Settings, ModelStore], AbstractContextManager[Any]]
PAGE = {"Accept": "text/html", "Sec-Fetch-Site": "same-origin"}
WRONG = "krp_" + "0" * 12 + "_" + "A" * 43


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/service.db"


@pytest.fixture
def key(database: Database) -> tuple[ApiKey, str]:
    return ApiKeys(database).create("ward", scopes=["score", "read"], valid_for=None)


@pytest.fixture
def browser(
    serve: Serve, store: ModelStore, key: tuple[ApiKey, str], database: Database, tmp_path: Path
) -> Iterator[httpx.Client]:
    """Return a client of a service that has a key, as a browser would be."""
    settings = Settings(refresh_s=0, database_url=f"sqlite:///{tmp_path}/service.db")
    with serve(settings, store) as service, service.client() as client:
        client.headers.update(PAGE)
        yield client


def sign_in(browser: httpx.Client, key: str, leads_to: str = "/") -> httpx.Response:
    return browser.post("/sign-in", data={"key": key, "next": leads_to})


def test_a_person_pastes_a_key_and_comes_to_where_they_wanted_to_go(
    browser: httpx.Client, key: tuple[ApiKey, str]
) -> None:
    led = browser.get("/table", follow_redirects=True)
    assert led.url.path == "/sign-in"
    assert 'name="next" value="/table"' in led.text
    response = sign_in(browser, f"  {key[1]}\n", "/table")
    assert (response.status_code, response.headers["Location"]) == (303, "/table")
    cookie = response.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert browser.get("/table").status_code == 200


def test_the_key_stands_neither_in_the_cookie_nor_in_any_page(browser: httpx.Client, key: tuple[ApiKey, str]) -> None:
    response = sign_in(browser, key[1])
    assert key[1] not in str(response.headers)
    assert key[1] not in browser.get("/").text
    refused = sign_in(browser, key[1] + "x")
    assert key[1] not in refused.text


def test_the_page_and_the_api_know_the_same_results_of_one_key(
    browser: httpx.Client, key: tuple[ApiKey, str], make_features: Callable[[float], dict[str, float | None]]
) -> None:
    body = {"rows": [{"features": make_features(0.2), "covariates": {}}]}
    program = {"Authorization": f"Bearer {key[1]}", "Accept": "application/json"}
    kept = browser.post("/v1/predictions?keep=true", json=body, headers=program).json()["predictions"][0]["id"]
    sign_in(browser, key[1])
    assert kept in browser.get("/history").text


@pytest.mark.parametrize("given", [WRONG, "", "%00", "\x00", "krp_", "ä" * 100])
def test_a_wrong_key_is_told_so_on_the_same_page(browser: httpx.Client, given: str) -> None:
    response = sign_in(browser, given, "/table")
    assert response.status_code == 401
    assert 'role="alert"' in response.text
    assert 'name="next" value="/table"' in response.text
    assert "Set-Cookie" not in response.headers


def test_trying_keys_on_the_page_ends_after_some_tries(browser: httpx.Client, key: tuple[ApiKey, str]) -> None:
    answers = [sign_in(browser, WRONG) for _ in range(21)]
    assert [answer.status_code for answer in answers] == [401] * 20 + [429]
    assert f"Try again in {answers[-1].headers['Retry-After']} seconds" in answers[-1].text
    assert sign_in(browser, key[1]).status_code == 429


@pytest.mark.parametrize(
    "leads_to",
    [
        "https://elsewhere.example.org/",
        "//elsewhere.example.org/",
        "/\\elsewhere.example.org",
        "javascript:alert(1)",
        "/v1/audit",
        "/static/page.css",
        "/sign-out",
        "/sign-in",
        "/table?x=1",
        '"><script>',
        "http://[",
        "",
    ],
)
def test_signing_in_leads_to_our_own_pages_only(browser: httpx.Client, key: tuple[ApiKey, str], leads_to: str) -> None:
    assert '<script>"' not in browser.get("/sign-in", params={"next": leads_to}).text
    assert sign_in(browser, key[1], leads_to).headers["Location"] == "/"


def test_another_sites_page_cannot_sign_a_visitor_in_or_out(browser: httpx.Client, key: tuple[ApiKey, str]) -> None:
    sign_in(browser, key[1])
    for path in ("/sign-in", "/sign-out"):
        response = browser.post(path, data={"key": key[1]}, headers={"Sec-Fetch-Site": "cross-site"})
        assert response.status_code == 403
    assert browser.get("/").status_code == 200


def test_a_signed_in_browser_may_not_do_what_the_key_may_not(browser: httpx.Client, key: tuple[ApiKey, str]) -> None:
    sign_in(browser, key[1])
    assert browser.get("/v1/audit").status_code == 403


def test_who_signed_out_has_to_sign_in_again_also_with_the_old_cookie(
    browser: httpx.Client, key: tuple[ApiKey, str]
) -> None:
    sign_in(browser, key[1])
    cookie = browser.cookies["krp_sign_in"]
    assert browser.get("/").status_code == 200
    response = browser.post("/sign-out")
    assert (response.status_code, response.headers["Location"]) == (303, "/sign-in")
    assert "krp_sign_in" not in browser.cookies
    browser.cookies.set("krp_sign_in", cookie)
    response = browser.get("/")
    assert (response.status_code, response.headers["Location"]) == (303, "/sign-in?next=/")
    assert "Max-Age=0" in response.headers["Set-Cookie"]


def test_a_visitor_by_a_link_from_elsewhere_is_not_signed_out(browser: httpx.Client, key: tuple[ApiKey, str]) -> None:
    sign_in(browser, key[1])
    cookie = browser.cookies["krp_sign_in"]
    browser.cookies.clear()  # a Strict cookie does not come along
    response = browser.get("/", headers={"Sec-Fetch-Site": "cross-site"})
    assert response.status_code == 303
    assert "Set-Cookie" not in response.headers
    browser.cookies.set("krp_sign_in", cookie)
    assert browser.get("/").status_code == 200


def test_signing_in_again_ends_the_sign_in_before(browser: httpx.Client, key: tuple[ApiKey, str]) -> None:
    sign_in(browser, key[1])
    before = browser.cookies["krp_sign_in"]
    sign_in(browser, key[1])
    assert browser.get("/v1/models/current").status_code == 200
    browser.cookies.clear()
    browser.cookies.set("krp_sign_in", before)
    assert browser.get("/v1/models/current").status_code == 401


def test_signing_in_stands_in_the_audit_log_and_a_wrong_key_does_not(
    browser: httpx.Client, key: tuple[ApiKey, str], database: Database
) -> None:
    sign_in(browser, WRONG)
    sign_in(browser, key[1])
    entries = AuditChain(database).entries()
    assert [(entry.owner, entry.action) for entry in entries] == [(f"key:{key[0].id}", "sign-in")]


def test_too_large_a_form_and_too_many_fields_are_refused(browser: httpx.Client) -> None:
    assert browser.post("/sign-in", data={"key": "k" * 10_000}).status_code == 413
    assert browser.post("/sign-in", content="&".join(f"f{n}=1" for n in range(100))).status_code == 400


def test_where_no_keys_are_asked_for_there_is_nothing_to_sign_in_to(serve: Serve, store: ModelStore) -> None:
    with serve(Settings(refresh_s=0), store) as service, service.client() as client:
        for response in (client.get("/sign-in?next=/table"), client.post("/sign-in", data={"next": "/table"})):
            assert (response.status_code, response.headers["Location"]) == (303, "/table")


def test_a_service_that_gets_its_first_key_while_it_runs_closes(
    serve: Serve, store: ModelStore, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert BELIEVED_S == 5
    monkeypatch.setattr("serving.access.access_control.BELIEVED_S", 0.0)
    settings = Settings(refresh_s=0, database_url=f"sqlite:///{tmp_path}/service.db")
    with serve(settings, store) as service, service.client() as client:
        assert client.get("/v1/models/current").status_code == 200
        made, secret = ApiKeys(database).create("first", scopes=["read"], valid_for=None)
        assert client.get("/v1/models/current").status_code == 401
        headers = {"Authorization": f"Bearer {secret}"}
        assert client.get("/v1/models/current", headers=headers).status_code == 200
        ApiKeys(database).revoke(made.id)
        assert client.get("/v1/models/current", headers=headers).status_code == 401


def test_the_commands_that_pages_show_hand_in_the_key(browser: httpx.Client, key: tuple[ApiKey, str]) -> None:
    sign_in(browser, key[1])
    for path in ("/docs", "/visit"):
        page = unescape(browser.get(path).text)
        assert '-H "Authorization: Bearer $KRP_KEY"' in page
        assert "read -rs KRP_KEY" in page


@pytest.mark.parametrize("scopes", [["score"], ["read"]])
def test_who_could_not_open_the_result_is_not_led_to_scoring(
    browser: httpx.Client, database: Database, scopes: list[Scope]
) -> None:
    _, secret = ApiKeys(database).create("half", scopes=scopes, valid_for=None)
    sign_in(browser, secret)
    page = browser.get("/").text
    assert 'href="/visit"' not in page
    assert "Score the sample visit" not in page
    assert "takes the scopes" in page
