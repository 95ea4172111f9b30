from __future__ import annotations

import pytest
from jinja2 import UndefinedError

from predictor.report.page_template import page_template


def test_text_is_escaped_and_an_unknown_name_is_an_error() -> None:
    environment = page_template("predictor.report", "visit_report.html").environment
    assert environment.from_string("{{ name }}").render(name="<script>") == "&lt;script&gt;"
    with pytest.raises(UndefinedError):
        environment.from_string("{{ name }}").render()


def test_a_template_is_read_once() -> None:
    assert page_template("training.report", "locked_test.html") is page_template("training.report", "locked_test.html")
