"""Putting runs together, feature by feature."""

from __future__ import annotations

import numpy as np
import pytest

from predictor.errors import FeatureError
from predictor.features.estimates import Estimates, all_missing, combine_runs, finite_only, merged, region_reason


def test_a_feature_has_a_value_or_a_reason_and_no_error_without_a_value() -> None:
    with pytest.raises(FeatureError, match="a value and a reason"):
        Estimates({"x": 1.0}, {}, {"x": "no rest run"})
    with pytest.raises(FeatureError, match="a standard error but no value"):
        Estimates({}, {"x": 0.1}, {"x": "no rest run"})


def test_runs_are_weighted_by_their_kept_volumes() -> None:
    runs = [Estimates({"x": 1.0}, {"x": 0.3}), Estimates({"x": 4.0}, {"x": 0.6})]
    both = combine_runs(runs, [200, 100])
    assert both.values["x"] == pytest.approx(2.0)
    assert both.standard_errors["x"] == pytest.approx(np.sqrt(200**2 * 0.3**2 + 100**2 * 0.6**2) / 300)


def test_the_standard_error_of_combined_runs_is_the_spread_of_their_mean(rng: np.random.Generator) -> None:
    draws = rng.standard_normal((20_000, 2)) * [0.3, 0.6]
    means = [
        combine_runs([Estimates({"x": a}, {"x": 0.3}), Estimates({"x": b}, {"x": 0.6})], [200, 100])
        for a, b in draws.tolist()
    ]
    said = means[0].standard_errors["x"]
    assert np.std([mean.values["x"] for mean in means]) == pytest.approx(said, rel=0.03)


def test_a_feature_missing_in_one_run_comes_from_the_others_untouched() -> None:
    odd = 0.1 + 0.2  # a weighted mean of one would change its last digit
    runs = [all_missing(["x"], "only 30 volumes"), Estimates({"x": odd}, {"x": 0.7})]
    both = combine_runs(runs, [30, 170])
    assert both.values == {"x": odd}
    assert both.standard_errors == {"x": 0.7}
    assert both.missing == {}


def test_a_feature_missing_everywhere_says_the_first_reason() -> None:
    both = combine_runs([all_missing(["x"], "first"), all_missing(["x"], "second")], [1, 1])
    assert both.missing == {"x": "first"}
    assert both.values == {}


def test_an_error_that_one_run_does_not_know_is_not_known() -> None:
    both = combine_runs([Estimates({"x": 1.0}, {"x": 0.3}), Estimates({"x": 2.0})], [1, 1])
    assert both.values == {"x": 1.5}
    assert both.standard_errors == {}


def test_numbers_that_overflowed_are_missing_and_say_so() -> None:
    estimates = finite_only(Estimates({"x": np.inf, "y": 1.0, "z": 2.0}, {"x": 1.0, "y": np.nan, "z": 0.5}))
    assert estimates.values == {"y": 1.0, "z": 2.0}
    assert estimates.standard_errors == {"z": 0.5}
    assert estimates.missing == {"x": "the result is not a finite number"}


def test_families_of_one_run_stand_together() -> None:
    both = merged([Estimates({"x": 1.0}, {"x": 0.1}), all_missing(["y"], "no events")])
    assert both.names == ("x", "y")
    assert both.missing == {"y": "no events"}


def test_the_first_unusable_region_gives_the_reason() -> None:
    reasons = {"b": "region not covered: b", "c": "region not recorded: c"}
    assert region_reason(("a", "c", "b"), reasons) == "region not recorded: c"
    assert region_reason(("a",), reasons) is None
