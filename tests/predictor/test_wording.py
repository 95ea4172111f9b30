from __future__ import annotations

import doctest

import pytest

from predictor.features.extraction import feature_definitions
from predictor.features.recipe import default_recipe
from predictor.report import wording
from predictor.report.wording import feature_in_words, quantity


def test_the_examples_in_the_documentation_hold() -> None:
    results = doctest.testmod(wording)
    assert results.attempted > 5
    assert results.failed == 0


def test_every_feature_has_words_of_its_own_without_underscores() -> None:
    names = [definition.name for definition in feature_definitions(default_recipe())]
    words = [feature_in_words(name) for name in names]
    assert len(set(words)) == len(names)
    assert not [word for word in words if "_" in word]


@pytest.mark.parametrize(("value", "words"), [(-0.001, "0.00"), (0.0, "+0.00"), (-12.4, "−12"), (3.14159, "+3.1")])
def test_numbers_are_signed_and_rounded_without_a_negative_zero(value: float, words: str) -> None:
    assert quantity(value, "", signed=True).lstrip("+") == words.lstrip("+")
