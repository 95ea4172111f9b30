from __future__ import annotations

import pytest
from jinja2 import UndefinedError

from predictor.report.page_template import page_resource, page_style, page_template, policy_hash
from predictor.report.palette import style_variables


def test_text_is_escaped_and_an_unknown_name_is_an_error() -> None:
    environment = page_template("predictor.report", "visit_report.html").environment
    assert environment.from_string("{{ name }}").render(name="<script>") == "&lt;script&gt;"
    with pytest.raises(UndefinedError):
        environment.from_string("{{ name }}").render()


def test_a_template_is_read_once() -> None:
    assert page_template("training.report", "locked_test.html") is page_template("training.report", "locked_test.html")


def test_the_style_has_the_colours_first_and_the_pages_own_rules_last() -> None:
    style = page_style("training.report", "experiment_report.css")
    assert style.startswith(style_variables())
    assert style.rstrip().endswith(page_resource("training.report", "experiment_report.css").rstrip())
    assert page_style() in style


def test_the_policy_lets_run_what_a_browser_would_hash() -> None:
    # As the CSP specification has it for "alert('Hello, world.');".
    assert policy_hash("alert('Hello, world.');") == "sha256-qznLcsROx4GACP2dm0UCKCzCG+HiZ1guq6ZZDob/Tng="
