"""Documents as people read them."""

from __future__ import annotations

import json

import pytest

from serving.web.readable_json import as_text_of_a_page, readable_json

NESTED = {"a": [{"b": 1.5, "c": 'ü\n"<'}, {}], "d": {}, "e": [], "f": {"g": None, "h": [1, 2]}, "i": True}


@pytest.mark.parametrize("document", [NESTED, [], [[1], [2]], "text", 1e-300])
def test_nothing_of_a_document_is_lost(document: object) -> None:
    assert json.loads(readable_json(document)) == document


def test_an_innermost_part_stands_on_one_line() -> None:
    lines = readable_json({"contributions": [{"feature": "x", "value": 1.0}] * 3}).splitlines()
    assert [line.strip(" ,") for line in lines[2:5]] == ['{"feature": "x", "value": 1.0}'] * 3


def test_markup_in_a_document_stays_text() -> None:
    assert as_text_of_a_page('{"a": "<b> & c"}') == '{"a": "&lt;b&gt; &amp; c"}'
