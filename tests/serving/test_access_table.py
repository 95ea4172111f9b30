"""Every method of every address, for every kind of caller: what each may stands here, apart from the service's table.

Whoever changes the service's table has to change this one too, and to say why.
"""

from __future__ import annotations

import hmac
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.routing import iter_route_contexts

from predictor.errors import CredentialsInvalidError
from serving.access.api_keys import ApiKeys
from serving.access.principal import SCOPES
from serving.app import create_app
from serving.model_store import ModelStore
from serving.settings import Settings
from serving.store.database import Database

Serve = Callable[[Settings, ModelStore], AbstractContextManager[Any]]
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
# Who may: anybody; whoever proved who they are; or who holds a scope.
ANYBODY, KNOWN, SCORE, READ, ADMIN = "anybody", "known", "score", "read", "admin"
ACCESS: dict[str, dict[str, str]] = {
    "/health/live": {"GET": ANYBODY},
    "/health/ready": {"GET": ANYBODY},
    "/v2/health/live": {"GET": ANYBODY},
    "/v2/health/ready": {"GET": ANYBODY},
    "/static/page.css": {"GET": ANYBODY},
    "/static/plotly.min.js": {"GET": ANYBODY},
    "/static/brain-surface.bin": {"GET": ANYBODY},
    "/sign-in": {"GET": ANYBODY, "POST": ANYBODY},
    "/sign-out": {"POST": ANYBODY},
    "/metrics": {"GET": READ},
    "/openapi.json": {"GET": KNOWN},
    "/v1/predictions": {"POST": SCORE},
    "/v1/scans": {"POST": SCORE},
    "/v1/models": {"GET": KNOWN},
    "/v1/models/current": {"GET": KNOWN},
    "/v1/results": {"GET": READ, "DELETE": SCORE},
    "/v1/results/ID": {"GET": READ, "DELETE": SCORE},
    "/v1/explanations/ID": {"GET": READ},
    "/v1/explanations/ID/waterfall.svg": {"GET": READ},
    "/v1/explanations/ID/glass_brain.svg": {"GET": READ},
    "/v1/explanations/ID/attributions.nii.gz": {"GET": READ},
    "/v1/explanations/ID/edges.tsv": {"GET": READ},
    "/v1/audit": {"GET": ADMIN},
    "/v2": {"GET": KNOWN},
    "/v2/models/NAME": {"GET": KNOWN},
    "/v2/models/NAME/ready": {"GET": KNOWN},
    "/v2/models/NAME/infer": {"POST": SCORE},
    "/v2/models/NAME/versions/1": {"GET": KNOWN},
    "/v2/models/NAME/versions/1/ready": {"GET": KNOWN},
    "/v2/models/NAME/versions/1/infer": {"POST": SCORE},
    "/": {"GET": KNOWN},
    "/docs": {"GET": KNOWN},
    "/models": {"GET": KNOWN},
    "/models/current/card": {"GET": KNOWN},
    "/models/current/tripod-ai": {"GET": KNOWN},
    "/models/1/card": {"GET": KNOWN},
    "/visit": {"GET": SCORE, "POST": SCORE},
    "/sample": {"POST": SCORE},
    "/table": {"GET": SCORE, "POST": SCORE},
    "/table/template.tsv": {"GET": SCORE},
    "/history": {"GET": READ},
    "/history/delete": {"POST": SCORE},
    "/results/ID": {"GET": READ},
    "/results/ID/answer.json": {"GET": READ},
    "/results/ID/circuit.json": {"GET": READ},
    "/results/ID/report.html": {"GET": READ},
    "/results/ID/delete": {"POST": SCORE},
}
UNLISTED = ("/nowhere", "/v1", "/v1/audit/", "/redoc", "/docs/oauth2-redirect", "/v1/results/ID/x", "/.git/config")
ROLES: dict[str, tuple[str, ...]] = {
    "no scope": (),
    "score": ("score",),
    "read": ("read",),
    "admin": ("admin",),
    "score and read": ("score", "read"),
    "everything": tuple(SCOPES),
}
# Who keep results; the roles above are strangers to them.
OWNERS = {"owner who scores": ("score",), "owner": ("score", "read"), "owner who deletes": ("score", "read")}
# Who is nobody, however they try to be somebody.
OUTSIDE = ("no key", "revoked", "expired", "wrong secret", "key as cookie", "key in the address", "basic")


@dataclass(frozen=True)
class Guarded:
    """A service with a key of each role, and a result of one owner."""

    client: httpx.Client
    keys: dict[str, str]
    results: dict[str, str]  # id by role of the owner
    database: str

    def ask(self, method: str, path: str, headers: dict[str, str]) -> httpx.Response:
        self.client.cookies.clear()
        return self.client.request(method, path, headers=headers)

    def kept(self) -> set[str]:
        """Return the ids of everything that is kept, whoever owns it."""
        with sqlite3.connect(self.database) as connection:
            return {found[0] for found in connection.execute("SELECT id FROM results")}


@pytest.fixture(scope="module")
def guarded(
    serve: Serve,
    store: ModelStore,
    tmp_path_factory: pytest.TempPathFactory,
    make_features: Callable[[float], dict[str, float | None]],
) -> Iterator[Guarded]:
    file = tmp_path_factory.mktemp("access") / "service.db"
    settings = Settings(refresh_s=0, database_url=f"sqlite:///{file}", scans_per_minute=10_000)
    settings = settings.model_copy(update={"requests_per_minute": 100_000})
    with serve(settings, store) as service, service.client() as client:
        keys = make_keys(f"sqlite:///{file}")
        results = {}
        body = {"rows": [{"features": make_features(0.2), "covariates": {}}]}
        for role in OWNERS:
            reply = client.post("/v1/predictions?keep=true", json=body, headers=bearer(keys[role]))
            results[role] = reply.json()["predictions"][0]["id"]
        yield Guarded(client, keys, results, str(file))


def make_keys(url: str) -> dict[str, str]:
    """Make a key of each role, and some that let nobody in."""
    opened = Database.open(url)
    keys = ApiKeys(opened)
    everybody: dict[str, tuple[Any, ...]] = {**ROLES, **OWNERS}
    made = {role: keys.create(role, scopes=scopes, valid_for=None)[1] for role, scopes in everybody.items()}
    revoked, made["revoked"] = keys.create("revoked", scopes=SCOPES, valid_for=None)
    keys.revoke(revoked.id)
    a_year_ago = ApiKeys(opened, now=lambda: datetime.now(UTC) - timedelta(days=365))
    made["expired"] = a_year_ago.create("expired", scopes=SCOPES, valid_for=timedelta(days=1))[1]
    made["wrong secret"] = made["everything"][:-4] + ("AAAA" if made["everything"][-4:] != "AAAA" else "BBBB")
    opened.close()
    return made


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def credentials_of(role: str, keys: dict[str, str]) -> dict[str, str]:
    """Return the headers by which somebody of a role tries to come in."""
    if role in ("no key", "key in the address"):
        return {}
    if role == "key as cookie":
        return {"Cookie": f"krp_sign_in={keys['everything']}; krp_browser={keys['everything']}"}
    if role == "basic":
        return {"Authorization": f"Basic {keys['everything']}"}
    return bearer(keys[role])


def may(role: str, needs: str) -> bool:
    """Whether a role gets through: no scope implies another."""
    return needs == ANYBODY or (role in ROLES and (needs == KNOWN or needs in ROLES[role]))


def test_the_table_holds_every_address_of_the_application(tmp_path: Path) -> None:
    app = create_app(Settings(database_url=f"sqlite:///{tmp_path}/service.db"))
    found = {str(context.path) for context in iter_route_contexts(app.routes) if context.methods}
    fields = (("{result_id}", "ID"), ("{name}", "NAME"), ("{version}", "1"))
    for name, example in fields:
        found = {path.replace(name, example) for path in found}
    assert found - ACCESS.keys() == set()
    assert ACCESS.keys() - found == {"/static/page.css"}  # a folder, not a route


def expected(role: str, method: str, rules: dict[str, str]) -> set[int]:
    """Return the statuses that a role may get; 0 stands for whatever the route itself says."""
    needs = rules.get("GET" if method == "HEAD" else method)
    if needs is None:
        return {405}
    if may(role, needs):
        return {0}
    return {403} if role in ROLES else {401}


@pytest.mark.parametrize("role", [*ROLES, "no key"])
def test_each_method_of_each_address_is_open_to_whom_the_table_says(guarded: Guarded, role: str) -> None:
    n_asked = 0
    headers = credentials_of(role, guarded.keys)
    for path, rules in ACCESS.items():
        for method in METHODS:
            if (method, path) == ("POST", "/sign-in"):
                continue  # looks at a key of its own
            asked = path.replace("ID", "0" * 32)
            status = guarded.ask(method, asked, headers).status_code
            allowed = expected(role, method, rules)
            assert status in allowed or (allowed == {0} and status not in (401, 403, 405, 500)), (method, path, status)
            n_asked += 1
    assert n_asked == len(ACCESS) * len(METHODS) - 1


@pytest.mark.parametrize("role", OUTSIDE)
def test_whoever_only_looks_like_somebody_is_nobody(guarded: Guarded, role: str) -> None:
    headers = credentials_of(role, guarded.keys)
    query = f"?key={guarded.keys['everything']}&access_token={guarded.keys['everything']}"
    for path, rules in ACCESS.items():
        for method, needs in rules.items():
            if needs != ANYBODY:
                reply = guarded.ask(method, path + (query if role == "key in the address" else ""), headers)
                # 429: too many wrong keys from this address; not let in either.
                assert reply.status_code in (401, 429), (method, path, reply.status_code)


@pytest.mark.parametrize("role", [*ROLES, "no key"])
def test_what_stands_in_no_table_is_unknown_to_everybody(guarded: Guarded, role: str) -> None:
    headers = credentials_of(role, guarded.keys)
    statuses = {guarded.ask(method, path, headers).status_code for path in UNLISTED for method in METHODS}
    assert statuses == {404}


@pytest.mark.parametrize("owner", OWNERS)
def test_anothers_result_is_unknown_and_stays_by_every_method_of_every_address(guarded: Guarded, owner: str) -> None:
    mine, before = guarded.results[owner], guarded.kept()
    stranger = bearer(guarded.keys["everything"])
    n_asked = 0
    for path in (path for path in ACCESS if "ID" in path):
        for method in METHODS:
            reply = guarded.ask(method, path.replace("ID", mine), stranger)
            never = guarded.ask(method, path.replace("ID", "0" * 32), stranger)
            assert reply.status_code in (404, 405), (method, path)
            assert (reply.status_code, reply.content) == (never.status_code, never.content), (method, path)
            n_asked += 1
    assert n_asked > 80
    assert guarded.kept() == before


@pytest.mark.parametrize("role", ["everything", "wrong secret", "revoked", "never made"])
def test_a_key_is_compared_once_and_in_constant_time_whether_or_not_it_exists(
    role: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path}/service.db"
    keys = {**make_keys(url), "never made": f"krp_{'0' * 12}_{'A' * 43}"}
    compared: list[tuple[int, int]] = []

    def compare(one: str, other: str) -> bool:
        compared.append((len(one), len(other)))
        return one == other

    monkeypatch.setattr(hmac, "compare_digest", compare)
    opened = Database.open(url)
    with suppress(CredentialsInvalidError):
        ApiKeys(opened).verify(keys[role])
    opened.close()
    assert compared == [(64, 64)]  # of hashes, so that the length tells nothing either


def test_no_list_or_page_names_anothers_result(guarded: Guarded) -> None:
    stranger = bearer(guarded.keys["everything"])
    others = set(guarded.results.values())
    for path, rules in ACCESS.items():
        if "ID" not in path and "GET" in rules:
            for accept in ("application/json", "text/html"):
                reply = guarded.ask("GET", path, stranger | {"Accept": accept})
                assert not [one for one in others if one in reply.text], path


def test_an_owner_reads_what_strangers_cannot(guarded: Guarded) -> None:
    path = f"/v1/results/{guarded.results['owner']}"
    assert guarded.ask("GET", path, bearer(guarded.keys["owner"])).status_code == 200


def test_deleting_everything_ends_at_ones_own(guarded: Guarded) -> None:
    before = guarded.kept()
    for method, path in (("DELETE", "/v1/results"), ("POST", "/history/delete")):
        guarded.ask(method, path, bearer(guarded.keys["owner who deletes"]))
    assert before - guarded.kept() == {guarded.results["owner who deletes"]}
