from __future__ import annotations

from markdown_text import escaped, prose, table


def test_marks_mean_nothing_and_lines_become_one() -> None:
    assert escaped("a_b|<c>\n  *d*") == r"a\_b\|\<c\> \*d\*"


def test_code_in_a_sentence_stays_code() -> None:
    assert prose("see `krp --help`, <or>\n  not") == r"see `krp --help`, \<or\> not"


def test_a_table_has_one_line_per_row() -> None:
    assert table(["a", "b"], [["1", "2"], ["3", "4"]]) == "| a | b |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |"
