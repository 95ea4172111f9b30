"""Secrets are compared in constant time or not at all: read off the source of everything that decides who may enter.

Looking a row up by the digest of a secret tells nothing: the secret has 256 random bits, and whoever wanted to learn
from the time that a search takes would have to choose digests, so to invert SHA-256.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

SECRET = re.compile(r"(^|_)(secret|hash|token|password|signature|credentials?|digest)(_|$)|_hash$|^_?NO_HASH$")
COLUMN = re.compile(r"\.c\.\w+$")
PLACES = ("serving/access", "serving/api", "serving/commands")


def names_in(node: ast.expr) -> set[str]:
    """Names of a value and of what it is computed by, without the columns of the database."""
    if COLUMN.search(ast.unparse(node)):
        return set()
    found = {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}
    return found | {one.attr for one in ast.walk(node) if isinstance(one, ast.Attribute)}


def open_comparisons(source: str) -> list[str]:
    """Return every `==`, `!=` or `in` with a secret on a side, unless the other side is a column or None."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Compare):
            continue
        sides = [node.left, *node.comparators]
        is_open = any(isinstance(sign, ast.Eq | ast.NotEq | ast.In | ast.NotIn) for sign in node.ops)
        is_query = any(COLUMN.search(ast.unparse(side)) for side in sides)
        is_secret = any(SECRET.search(name) for side in sides for name in names_in(side))
        if is_open and is_secret and not is_query:
            found.append(ast.unparse(node))
    return found


@pytest.mark.parametrize("place", PLACES)
def test_no_secret_is_compared_letter_by_letter(project: Path, place: str) -> None:
    files = sorted((project / place).glob("*.py"))
    assert files
    assert {file.name: found for file in files if (found := open_comparisons(file.read_text()))} == {}


def test_a_key_s_hash_is_compared_by_hmac(project: Path) -> None:
    source = (project / "serving/access/api_keys.py").read_text()
    assert len(re.findall(r"hmac\.compare_digest\(", source)) == 1


@pytest.mark.parametrize(
    "source", ["secret == given", "row.hash != hash_of_secret(given)", "token in known", "a(key_hash) == b"]
)
def test_the_search_sees_an_open_comparison(source: str) -> None:
    assert open_comparisons(source) == [source]


@pytest.mark.parametrize("source", ["table.c.hash == hash_of_secret(given)", "secret is None", "name == 'x'"])
def test_the_search_leaves_queries_and_other_names_alone(source: str) -> None:
    assert open_comparisons(source) == []
