"""Simple Markdown as HTML."""

from __future__ import annotations

from predictor.report.markdown_page import markdown_as_html
from training.report.markdown import bullets, plain, table


def test_what_was_escaped_for_markdown_comes_back_as_it_was() -> None:
    odd = "a | b * c ` d <e> & [x](y)"
    assert markdown_as_html(plain(odd)) == "<p>a | b * c ` d &lt;e&gt; &amp; [x](y)</p>"


def test_tables_keep_their_cells() -> None:
    html = markdown_as_html("\n".join(table(("A", "B"), [("1 | 2", "**3**"), ("", "4")])))
    assert '<th scope="col">A</th>' in html
    assert "<td>1 | 2</td><td>**3**</td>" in html
    assert "<td></td><td>4</td>" in html
    assert "---" not in html


def test_lists_headings_and_bold_are_marked_up() -> None:
    html = markdown_as_html(
        "\n".join(["# Left to the page", "", "## Use", "", *bullets(["one", "two"]), "", "**GAP**: x"])
    )
    assert html.splitlines() == ["<h3>Use</h3>", "<ul><li>one</li><li>two</li></ul>", "<p><strong>GAP</strong>: x</p>"]


def test_nothing_in_it_becomes_a_tag() -> None:
    assert "<img" not in markdown_as_html("## <img src=x>\n\n- **<img>** *<img>*\n\n| <img> |\n| --- |\n| <img> |")
