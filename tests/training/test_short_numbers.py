from __future__ import annotations

import pytest

from training.report.short_numbers import p_in_words, short, with_interval


@pytest.mark.parametrize(
    ("value", "words"), [(0.456, ".46"), (-0.012, "-.01"), (1.0, "1.00"), (-0.004, ".00"), (-1.5, "-1.50")]
)
def test_numbers_lose_the_zero_that_says_nothing(value: float, words: str) -> None:
    assert short(value) == words


def test_what_is_not_known_is_a_gap() -> None:
    assert with_interval(None, 0.1, 0.2) == "–"
    assert with_interval(0.3, None, 0.2) == ".30"
    assert with_interval(0.3, 0.1, 0.5) == ".30 [.10, .50]"


@pytest.mark.parametrize(("p_value", "words"), [(0.0004, "< .001"), (0.05, ".050"), (1.0, "1.00"), (None, "–")])
def test_a_p_value_is_never_zero(p_value: float | None, words: str) -> None:
    assert p_in_words(p_value) == words
