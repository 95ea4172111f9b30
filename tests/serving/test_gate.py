from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import httpx
import pytest

from serving.access.api_keys import ApiKeys
from serving.access.gate import AccessGate
from serving.access.principal import SCOPES, Scope
from serving.access.route_table import RULES, Rule
from serving.model_store import ModelStore
from serving.settings import Settings
from serving.store.database import Database

Serve = Callable[[Settings, ModelStore], AbstractContextManager[Any]]
ROLES: dict[str, tuple[Scope, ...]] = {"nothing": (), **{scope: (scope,) for scope in SCOPES}, "everything": SCOPES}
# Of the public addresses one answers 401 by itself: the form, to an empty key.
GATED = [rule for rule in RULES if (rule.method, rule.path) != ("POST", "/sign-in")]
PAGE = {"Accept": "text/html"}
WRONG = "krp_" + "0" * 12 + "_" + "A" * 43


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    opened = Database.open(f"sqlite:///{tmp_path_factory.mktemp('kept')}/service.db")
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def keys(database: Database) -> dict[str, str]:
    """Return a key of each role."""
    made = ApiKeys(database)
    return {role: made.create(role, scopes=scopes, valid_for=None)[1] for role, scopes in ROLES.items()}


@contextmanager
def _running(serve: Serve, store: ModelStore, **settings: Any) -> Iterator[httpx.Client]:
    with serve(Settings(refresh_s=0, **settings), store) as service, service.client() as client:
        yield client


@pytest.fixture(scope="module")
def guarded(serve: Serve, store: ModelStore, database: Database, keys: dict[str, str]) -> Iterator[httpx.Client]:
    """Return a client of a service that has keys."""
    url = url_of(database)
    with _running(serve, store, database_url=url, scans_per_minute=1_000) as client:
        yield client


@pytest.fixture(scope="module")
def neighbour(serve: Serve, store: ModelStore) -> Iterator[httpx.Client]:
    """Return a client of a service without keys."""
    with _running(serve, store) as client:
        yield client


def url_of(database: Database) -> str:
    """Return the address of the file that is open there."""
    file = str(database.engine.url.database).removeprefix("file:").partition("?")[0]
    return f"sqlite:///{file}"


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def ask(client: httpx.Client, rule: Rule, headers: dict[str, str]) -> httpx.Response:
    client.cookies.clear()
    path = rule.path.replace("{path:path}", "page.css")
    for name in ("result_id", "name", "version"):
        path = path.replace(f"{{{name}}}", "unknown")
    return client.request(rule.method, path, headers=headers)


@pytest.mark.parametrize("role", ROLES)
def test_each_role_gets_what_the_table_says_and_nothing_else(
    guarded: httpx.Client, keys: dict[str, str], role: str
) -> None:
    for rule in GATED:
        may = rule.needs in ("nothing", "sign-in", *ROLES[role])
        response = ask(guarded, rule, bearer(keys[role]))
        assert (response.status_code not in (401, 403)) == may, (rule, response.status_code)
        if not may:
            assert response.status_code == 403
            assert response.json()["code"] == "scope-missing"
            assert "insufficient_scope" in response.headers["WWW-Authenticate"]


def test_who_has_no_key_gets_the_public_addresses_only(guarded: httpx.Client) -> None:
    for rule in GATED:
        response = ask(guarded, rule, {})
        assert (response.status_code != 401) == (rule.needs == "nothing"), (rule, response.status_code)
        if response.status_code == 401:
            assert response.json()["code"] == "credentials-missing"
            assert response.headers["WWW-Authenticate"].startswith("Bearer ")


def test_without_keys_everybody_on_this_machine_may_do_everything(neighbour: httpx.Client) -> None:
    for rule in RULES:
        response = ask(neighbour, rule, {})
        assert response.status_code not in (401, 403), rule


@pytest.mark.parametrize(
    "authorization",
    [f"Bearer {WRONG}", "Bearer", "Basic dXNlcjpwdw==", WRONG, "", "Bearer a.b.c", "Bearer \xff\xfe"],
    ids=["unknown", "empty", "basic", "no scheme", "nothing", "token", "no ascii"],
)
def test_what_is_no_valid_key_is_turned_away_as_a_problem_document(guarded: httpx.Client, authorization: str) -> None:
    response = guarded.get("/v1/models/current", headers=[(b"Authorization", authorization.encode("latin-1"))])
    assert response.status_code == 401
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.json()["code"] == "credentials-invalid"
    assert 'error="invalid_token"' in response.headers["WWW-Authenticate"]


def test_two_authorization_headers_are_turned_away(guarded: httpx.Client, keys: dict[str, str]) -> None:
    both = [("Authorization", f"Bearer {keys['everything']}"), ("Authorization", f"Bearer {keys['read']}")]
    assert guarded.get("/v1/models/current", headers=both).status_code == 401


def test_a_key_in_the_address_or_as_the_wrong_cookie_is_not_taken(guarded: httpx.Client, keys: dict[str, str]) -> None:
    guarded.cookies.clear()
    assert guarded.get("/v1/models/current", params={"key": keys["read"]}).status_code == 401
    for name in ("krp_sign_in", "krp_browser", "key"):
        headers = {"Cookie": f"{name}={keys['everything']}"}
        assert guarded.get("/v1/models/current", headers=headers).status_code == 401


@pytest.mark.parametrize("path", ["/nowhere", "/v1", "/v1/audit/", "//v1/audit", "/V1/audit", "/docs/", "/.env"])
def test_an_unlisted_address_is_unknown_to_everybody(guarded: httpx.Client, keys: dict[str, str], path: str) -> None:
    answers = [guarded.get(path), guarded.get(path, headers=bearer(keys["everything"]))]
    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(404, "not-found")] * 2


def test_another_method_is_refused_with_those_that_work(neighbour: httpx.Client) -> None:
    response = neighbour.put("/v1/results")
    assert (response.status_code, response.headers["Allow"]) == (405, "DELETE, GET, HEAD")


@pytest.fixture(scope="module")
def kept(guarded: httpx.Client, keys: dict[str, str], bundle: Any) -> str:
    """Return the id of a result that one key keeps."""
    body = {"rows": [{"features": dict.fromkeys(bundle.feature_names, 0.2), "covariates": {}}]}
    response = guarded.post("/v1/predictions?keep=true", json=body, headers=bearer(keys["everything"]))
    assert response.status_code == 200, response.text
    found: str = response.json()["predictions"][0]["id"]
    return found


@pytest.fixture(scope="module")
def strangers_key(database: Database) -> str:
    return ApiKeys(database).create("stranger", scopes=SCOPES, valid_for=None)[1]


def test_anothers_result_is_unknown_exactly_like_one_that_never_was(
    guarded: httpx.Client, keys: dict[str, str], kept: str, strangers_key: str
) -> None:
    guarded.cookies.clear()
    of_results = [rule for rule in RULES if "{result_id}" in rule.path]
    assert len(of_results) > 8
    for rule in of_results:
        answers = [
            guarded.request(rule.method, rule.path.replace("{result_id}", result_id), headers=bearer(strangers_key))
            for result_id in (kept, "0" * len(kept))
        ]
        assert {answer.status_code for answer in answers} == {404}, rule
        assert answers[0].json() == answers[1].json(), rule
    assert guarded.get(f"/v1/results/{kept}", headers=bearer(keys["everything"])).status_code == 200


def test_a_list_and_deleting_everything_end_at_ones_own_results(
    guarded: httpx.Client, keys: dict[str, str], kept: str, strangers_key: str
) -> None:
    assert kept not in guarded.get("/v1/results", headers=bearer(strangers_key)).text
    assert guarded.delete("/v1/results", headers=bearer(strangers_key)).is_success
    assert kept in guarded.get("/v1/results", headers=bearer(keys["everything"])).text


def test_too_many_requests_of_a_key_are_told_when_to_come_again(
    serve: Serve, store: ModelStore, database: Database, keys: dict[str, str]
) -> None:
    url = url_of(database)
    with _running(serve, store, database_url=url, requests_per_minute=3) as client:
        answers = [client.get("/v1/models/current", headers=bearer(keys["read"])) for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        assert answers[-1].json()["code"] == "rate-limited"
        assert 0 < int(answers[-1].headers["Retry-After"]) <= 20
        assert client.get("/v1/models/current", headers=bearer(keys["score"])).status_code == 200
        assert client.get("/health/live", headers=bearer(keys["read"])).status_code == 200


def test_guessing_keys_from_one_address_ends_after_some_tries(
    serve: Serve, store: ModelStore, database: Database, keys: dict[str, str]
) -> None:
    url = url_of(database)
    with _running(serve, store, database_url=url) as client:
        answers = [client.get("/v1/models/current", headers=bearer(WRONG)) for _ in range(21)]
        assert [answer.status_code for answer in answers] == [401] * 20 + [429]
        assert answers[-1].json()["code"] == "sign-ins-limited"
        assert int(answers[-1].headers["Retry-After"]) > 0


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": ""},
        {"Origin": "https://elsewhere.example.org"},
        {"Origin": "null"},
        {"Origin": "http://[::1"},
        {"Origin": "nonsense"},
        {"Sec-Fetch-Site": "cross-site", "Authorization": "Basic dXNlcjpwdw=="},
        {"Sec-Fetch-Site": "cross-site", "Authorization": ""},
    ],
    ids=str,
)
def test_what_another_sites_page_sends_is_refused_everywhere(neighbour: httpx.Client, headers: dict[str, str]) -> None:
    for rule in RULES:
        if rule.method != "GET":
            response = ask(neighbour, rule, headers)
            assert (response.status_code, response.json()["code"]) == (403, "foreign-page"), rule


def test_ones_own_page_and_programs_are_not_taken_for_another_sites_page(neighbour: httpx.Client) -> None:
    own = str(neighbour.base_url).rstrip("/")
    for headers in ({}, {"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}, {"Origin": own}):
        assert neighbour.delete("/v1/results", headers=headers).is_success


def test_a_link_from_another_site_may_be_followed(neighbour: httpx.Client) -> None:
    assert neighbour.get("/", headers={**PAGE, "Sec-Fetch-Site": "cross-site"}).status_code == 200


def test_while_no_keys_are_asked_for_each_browser_has_a_history_of_its_own(
    neighbour: httpx.Client, make_features: Callable[[float], dict[str, float | None]]
) -> None:
    neighbour.cookies.clear()
    neighbour.get("/", headers=PAGE)
    first = neighbour.cookies["krp_browser"]
    body = {"rows": [{"features": make_features(0.2), "covariates": {}}]}
    kept = neighbour.post("/v1/predictions?keep=true", json=body).json()["predictions"][0]["id"]
    assert kept in neighbour.get("/v1/results").text
    neighbour.cookies.clear()
    assert kept not in neighbour.get("/v1/results").text  # a program on this machine
    neighbour.get("/", headers=PAGE)
    assert neighbour.cookies["krp_browser"] != first
    assert neighbour.get(f"/v1/results/{kept}").status_code == 404


def test_a_browser_keeps_its_cookie_and_programs_and_static_files_get_none(neighbour: httpx.Client) -> None:
    neighbour.cookies.clear()
    for path in ("/static/page.css", "/v1/models/current", "/health/live"):
        assert "Set-Cookie" not in neighbour.get(path).headers
    assert "HttpOnly" in neighbour.get("/", headers=PAGE).headers["Set-Cookie"]
    assert "Set-Cookie" not in neighbour.get("/", headers=PAGE).headers


def test_a_person_without_a_key_is_led_to_the_sign_in_page_and_a_form_is_not(guarded: httpx.Client) -> None:
    guarded.cookies.clear()
    response = guarded.get("/history", headers=PAGE)
    assert (response.status_code, response.headers["Location"]) == (303, "/sign-in?next=/history")
    assert guarded.post("/visit", headers=PAGE).status_code == 401


def test_a_websocket_is_not_let_through() -> None:
    sent: list[Any] = []

    async def routes(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("it was let through")

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(AccessGate(routes)({"type": "websocket", "path": "/"}, send, send))  # type: ignore[arg-type]
    assert sent == [{"type": "websocket.close", "code": 1008}]
