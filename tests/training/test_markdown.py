from __future__ import annotations

import pytest

from training.report.markdown import bullets, plain, table


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("two\nlines\tand  spaces", "two lines and spaces"),
        ("a | b", r"a \| b"),
        ("<b>&", "&lt;b>&amp;"),
        ("**bold** `code`", r"\*\*bold\*\* \`code\`"),
        ("[x](y)", r"[x]\(y)"),
        ("0.31 [0.10, 0.50]", "0.31 [0.10, 0.50]"),
        ("caps5_total_baseline", "caps5_total_baseline"),
        ("\x1b[31mred\x00", "[31mred"),
        (3, "3"),
    ],
)
def test_text_is_never_taken_for_markup(text: object, shown: str) -> None:
    assert plain(text) == shown


def test_a_table_has_as_many_cells_in_every_line() -> None:
    assert table(("a", "b"), [(1, "x|y")]) == ["| a | b |", "| --- | --- |", r"| 1 | x\|y |"]


def test_a_list_has_one_line_per_item() -> None:
    assert bullets(["one", "two\nlines"]) == ["- one", "- two lines"]
