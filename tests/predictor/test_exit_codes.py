from __future__ import annotations

import pytest

from predictor.errors import PredictorError, PromotionRefusedError, TableError, UsageError
from predictor.exit_codes import MEANING, exit_code_lines, exit_code_of


@pytest.mark.parametrize(
    ("error", "code"),
    [(UsageError("no such reader."), 2), (TableError("a cell is empty."), 3), (PromotionRefusedError("2 failed."), 4)],
)
def test_an_error_ends_a_command_with_the_code_of_its_kind(error: PredictorError, code: int) -> None:
    assert exit_code_of(error) == code


def test_a_command_says_what_a_code_means_for_it_and_keeps_the_others() -> None:
    lines = exit_code_lines({4: "a leak was found"}).splitlines()
    assert lines[0] == "exit codes:"
    assert "  4    a leak was found" in lines
    assert f"  70   {MEANING[70]}" in lines
    codes = [int(line.split()[0]) for line in lines[1:]]
    assert codes == sorted(codes)
    assert 1 not in codes
