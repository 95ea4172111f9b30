from __future__ import annotations

from plain_docstrings import without_substitutions


def test_absolute_values_are_no_substitutions_and_code_stays() -> None:
    assert without_substitutions("|y - X mu|^2, `a|b` and |c|") == r"\|y - X mu\|^2, `a|b` and \|c\|"
