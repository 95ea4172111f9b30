"""Who may ask for which address: one table, and what does not stand in it does not exist."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from predictor.errors import AddressUnknownError, MethodNotAllowedError
from serving.access.principal import Scope

# "nothing": anybody, not even looked at; "sign-in": any valid key or token, whatever its scopes.
Needs = Scope | Literal["nothing", "sign-in"]
_FIELD = re.compile(r"\{(\w+)(:path)?\}")


@dataclass(frozen=True, slots=True)
class Rule:
    """What one method of one address needs."""

    method: str
    path: str  # as the framework writes it: {field} is one segment, {field:path} the rest
    needs: Needs
    is_page: bool = False  # for people: a browser without a key is led to the sign-in page
    is_scan: bool = False  # reads a visit, which costs seconds, so that it is counted separately


def _page(method: str, path: str, needs: Needs, *, is_scan: bool = False) -> Rule:
    return Rule(method, path, needs, is_page=True, is_scan=is_scan)


RULES: tuple[Rule, ...] = (
    Rule("GET", "/health/live", "nothing"),
    Rule("GET", "/health/ready", "nothing"),
    Rule("GET", "/metrics", "read"),
    Rule("GET", "/openapi.json", "sign-in"),
    # API v1
    Rule("POST", "/v1/predictions", "score"),
    Rule("POST", "/v1/scans", "score", is_scan=True),
    Rule("GET", "/v1/models", "sign-in"),
    Rule("GET", "/v1/models/current", "sign-in"),
    Rule("GET", "/v1/results", "read"),
    Rule("GET", "/v1/results/{result_id}", "read"),
    Rule("DELETE", "/v1/results", "score"),  # who may make results may take them back
    Rule("DELETE", "/v1/results/{result_id}", "score"),
    Rule("GET", "/v1/explanations/{result_id}", "read"),
    Rule("GET", "/v1/explanations/{result_id}/waterfall.svg", "read"),
    Rule("GET", "/v1/explanations/{result_id}/glass_brain.svg", "read"),
    Rule("GET", "/v1/explanations/{result_id}/attributions.nii.gz", "read"),
    Rule("GET", "/v1/explanations/{result_id}/edges.tsv", "read"),
    Rule("GET", "/v1/audit", "admin"),
    # Open Inference Protocol v2
    Rule("GET", "/v2", "sign-in"),
    Rule("GET", "/v2/health/live", "nothing"),
    Rule("GET", "/v2/health/ready", "nothing"),
    Rule("GET", "/v2/models/{name}", "sign-in"),
    Rule("GET", "/v2/models/{name}/ready", "sign-in"),
    Rule("POST", "/v2/models/{name}/infer", "score"),
    Rule("GET", "/v2/models/{name}/versions/{version}", "sign-in"),
    Rule("GET", "/v2/models/{name}/versions/{version}/ready", "sign-in"),
    Rule("POST", "/v2/models/{name}/versions/{version}/infer", "score"),
    # Pages
    Rule("GET", "/static/{path:path}", "nothing"),
    _page("GET", "/sign-in", "nothing"),
    _page("POST", "/sign-in", "nothing"),
    _page("POST", "/sign-out", "nothing"),
    _page("GET", "/", "sign-in"),
    _page("GET", "/docs", "sign-in"),
    _page("GET", "/models", "sign-in"),
    _page("GET", "/models/current/card", "sign-in"),
    _page("GET", "/models/current/tripod-ai", "sign-in"),
    _page("GET", "/models/{version}/card", "sign-in"),
    _page("GET", "/visit", "score"),
    _page("POST", "/visit", "score", is_scan=True),
    _page("POST", "/sample", "score", is_scan=True),
    _page("GET", "/table", "score"),
    _page("GET", "/table/template.tsv", "score"),
    _page("POST", "/table", "score"),
    _page("GET", "/history", "read"),
    _page("POST", "/history/delete", "score"),
    _page("GET", "/results/{result_id}", "read"),
    _page("GET", "/results/{result_id}/answer.json", "read"),
    _page("GET", "/results/{result_id}/circuit.json", "read"),
    _page("GET", "/results/{result_id}/report.html", "read"),
    _page("POST", "/results/{result_id}/delete", "score"),
)


class RouteTable:
    """Finds the rule of a request; HEAD needs what GET needs."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._exact: dict[str, dict[str, Rule]] = {}
        self._patterns: dict[str, list[tuple[re.Pattern[str], dict[str, Rule]]]] = {}
        by_path: dict[str, dict[str, Rule]] = {}
        for rule in rules:
            by_path.setdefault(rule.path, {})[rule.method] = rule
        for path, methods in by_path.items():
            if "GET" in methods:
                methods["HEAD"] = methods["GET"]
            if "{" in path:
                self._patterns.setdefault(_first_segment(path), []).append((_pattern_of(path), methods))
            else:
                self._exact[path] = methods

    def find(self, method: str, path: str) -> Rule:
        """Return what a request needs.

        Raises
        ------
        AddressUnknownError
            If the address does not stand in the table, whether or not the application would answer it.
        MethodNotAllowedError
            If it does, but not with this method.
        """
        methods = self._exact.get(path) or self._match(path)
        rule = methods.get(method)
        if rule is None:
            raise MethodNotAllowedError("the address is known, but not with this method.", allowed=sorted(methods))
        return rule

    def _match(self, path: str) -> Mapping[str, Rule]:
        for pattern, methods in self._patterns.get(_first_segment(path), ()):
            if pattern.fullmatch(path):
                return methods
        raise AddressUnknownError("nothing answers at this address.")


def _first_segment(path: str) -> str:
    return path.split("/", 2)[1] if path.startswith("/") else ""


def _pattern_of(path: str) -> re.Pattern[str]:
    """Return what the framework's own path patterns match."""
    pattern, end = "", 0
    for field in _FIELD.finditer(path):
        pattern += re.escape(path[end : field.start()]) + (".*" if field[2] else "[^/]+")
        end = field.end()
    return re.compile(pattern + re.escape(path[end:]))


ROUTE_TABLE = RouteTable(RULES)
