"""The figure of a multiverse."""

from __future__ import annotations

from training.report.specification_curve import LEFT, SHOWN_AXIS_LETTERS, SHOWN_LETTERS

BOLD_LETTER, LETTER = 7.9, 7.0  # widest usual letters at size 12, in pixels


def test_the_longest_names_of_axis_and_alternative_do_not_meet() -> None:
    axis_ends = 12 + SHOWN_AXIS_LETTERS * LETTER
    alternative_begins = LEFT - 8 - SHOWN_LETTERS * BOLD_LETTER
    assert axis_ends < alternative_begins
