from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from predictor.errors import ModelBundleError, TableError, ValueOutOfRangeError
from predictor.model.outcome_definition import Covariate, OutcomeDefinition, finite_number

SEX = Covariate("sex", "category", ("F", "M"), role="demographic")
SITE = Covariate("site", "category", ("A", "B", "C"), role="site")
AGE = Covariate("age", "number", role="demographic")


def test_a_response_reaches_the_threshold_in_the_good_direction() -> None:
    values = np.array([29.9, 30.0, 30.1])
    higher = OutcomeDefinition("improvement", "percent", "higher", 30.0, "at least 30 percent")
    lower = OutcomeDefinition("caps5_total_followup", "points", "lower", 30.0, "at most 30 points")
    assert higher.is_response(values).tolist() == [False, True, True]
    assert lower.is_response(values).tolist() == [True, True, False]


def test_a_threshold_without_its_rule_in_words_is_an_error() -> None:
    with pytest.raises(ModelBundleError, match="both a response threshold and its rule"):
        OutcomeDefinition("improvement", "percent", "higher", 30.0)


def test_of_two_levels_one_indicator_says_it_all() -> None:
    assert SEX.input_names == ("sex=F",)
    assert SEX.encode(["F", "M", None]).ravel().tolist()[:2] == [1.0, 0.0]
    assert np.isnan(SEX.encode([None])).all()


def test_an_unknown_site_is_missing_and_an_unknown_sex_is_an_error() -> None:
    assert np.isnan(SITE.encode(["Z"])).all()
    assert SITE.encode(["B"]).tolist() == [[0.0, 1.0, 0.0]]
    with pytest.raises(TableError, match="one of F, M for sex"):
        SEX.encode(["diverse"])


@pytest.mark.parametrize("value", [1, 1.0, "1", np.int64(1), np.float64(1.0)])
def test_levels_that_look_like_numbers_are_found_however_a_table_holds_them(value: object) -> None:
    site = Covariate("site", "category", ("1", "2", "3"), role="site")
    assert site.level_of(value) == "1"


@pytest.mark.parametrize("value", [None, math.nan, np.nan, pd.NA])
def test_every_kind_of_empty_cell_is_missing(value: object) -> None:
    assert np.isnan(AGE.encode([value])).all()
    assert SEX.level_of(value) is None


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan, 1e31, 10**400, "41", True, [1.0]])
def test_what_is_no_finite_number_is_refused_with_its_place(value: object) -> None:
    with pytest.raises(ValueOutOfRangeError) as caught:
        finite_number(value, where="feature a")
    assert caught.value.where == "feature a"


def test_the_arm_is_no_input() -> None:
    arm = Covariate("arm", "category", ("ketamine", "midazolam"), role="arm")
    assert arm.input_names == ()
    assert arm.encode(["ketamine", "midazolam"]).shape == (2, 0)
