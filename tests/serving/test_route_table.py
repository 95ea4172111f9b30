from __future__ import annotations

import re
from pathlib import Path

import pytest
from fastapi.routing import iter_route_contexts
from starlette.routing import Mount

from predictor.errors import AddressUnknownError, MethodNotAllowedError
from serving.access.route_table import ROUTE_TABLE, RULES, RouteTable, Rule
from serving.app import create_app
from serving.settings import Settings

TABLE = RouteTable(
    [
        Rule("GET", "/a", "read"),
        Rule("POST", "/a", "score"),
        Rule("GET", "/a/{id}", "admin"),
        Rule("GET", "/a/{id}/b.svg", "score"),
        Rule("GET", "/files/{path:path}", "nothing"),
    ]
)


@pytest.fixture(scope="module")
def routes(tmp_path_factory: pytest.TempPathFactory) -> set[tuple[str, str]]:
    """Return method and path of everything that the application answers."""
    folder: Path = tmp_path_factory.mktemp("routes")
    app = create_app(Settings(database_url=f"sqlite:///{folder}/service.db"))
    found: set[tuple[str, str]] = set()
    for context in iter_route_contexts(app.routes):
        if isinstance(context.original_route, Mount):
            found.add(("GET", f"{context.original_route.path}/{{path:path}}"))
        else:
            found.update((method, str(context.path)) for method in context.methods or () if method != "HEAD")
    return found


def test_every_route_of_the_application_stands_in_the_table(routes: set[tuple[str, str]]) -> None:
    assert len(routes) > 30
    unlisted = []
    for method, path in sorted(routes):
        try:
            ROUTE_TABLE.find(method, re.sub(r"\{\w+(:path)?\}", "x", path))
        except (AddressUnknownError, MethodNotAllowedError):
            unlisted.append((method, path))
    assert unlisted == []


def test_the_table_holds_nothing_that_the_application_does_not_answer(routes: set[tuple[str, str]]) -> None:
    assert {(rule.method, rule.path) for rule in RULES} - routes == set()


def test_no_address_stands_in_the_table_twice() -> None:
    assert len({(rule.method, rule.path) for rule in RULES}) == len(RULES)


def test_only_what_must_be_reached_without_a_key_is_public() -> None:
    assert {rule.path for rule in RULES if rule.needs == "nothing"} == {
        "/health/live",
        "/health/ready",
        "/v2/health/live",
        "/v2/health/ready",
        "/static/{path:path}",
        "/sign-in",
        "/sign-out",
    }


def test_whatever_changes_or_computes_something_needs_the_scope_to_score() -> None:
    writing = [rule for rule in RULES if rule.method != "GET" and not rule.path.startswith("/sign-")]
    assert {rule.needs for rule in writing} == {"score"}


def test_only_the_admin_scope_reads_what_others_did() -> None:
    assert [rule.path for rule in RULES if rule.needs == "admin"] == ["/v1/audit"]


@pytest.mark.parametrize(
    ("method", "path", "needs"),
    [
        ("GET", "/a", "read"),
        ("HEAD", "/a", "read"),
        ("POST", "/a", "score"),
        ("GET", "/a/7", "admin"),
        ("GET", "/a/7/b.svg", "score"),
        ("GET", "/files/x/y", "nothing"),
        ("GET", "/files/", "nothing"),
    ],
)
def test_a_request_needs_what_its_row_says(method: str, path: str, needs: str) -> None:
    assert TABLE.find(method, path).needs == needs


@pytest.mark.parametrize("path", ["/", "", "/b", "/a/", "/a/7/", "/a//b.svg", "/a/7/bXsvg", "/A", "//a", "a", "/a/7/8"])
def test_what_does_not_stand_in_the_table_does_not_exist(path: str) -> None:
    with pytest.raises(AddressUnknownError):
        TABLE.find("GET", path)


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "TRACE", "get", ""])
def test_another_method_is_refused_with_those_that_work(method: str) -> None:
    with pytest.raises(MethodNotAllowedError) as caught:
        TABLE.find(method, "/a")
    assert caught.value.allowed == ("GET", "HEAD", "POST")


def test_head_does_not_work_where_get_does_not() -> None:
    with pytest.raises(MethodNotAllowedError):
        ROUTE_TABLE.find("HEAD", "/v1/predictions")
