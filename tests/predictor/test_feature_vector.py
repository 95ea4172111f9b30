"""Feature vectors keep values and reasons together."""

from __future__ import annotations

import numpy as np
import pytest

from predictor.errors import FeatureError
from predictor.features.feature_vector import FeatureDefinition, FeatureVector

DEFINITIONS = tuple(
    FeatureDefinition(name, "fisher_z", "rest_fisher_z", "rest", "a-b", "resting connectivity") for name in ("x", "y")
)


UNKNOWN = [np.nan, np.nan]


def vector(
    values: list[float],
    reasons: tuple[str | None, ...],
    *,
    errors: list[float] = UNKNOWN,
    halves: tuple[list[float], list[float]] = (UNKNOWN, UNKNOWN),
) -> FeatureVector:
    first, second = halves
    return FeatureVector(
        DEFINITIONS,
        np.array(values),
        reasons,
        "sha256:recipe",
        "sha256:input",
        np.array(errors),
        np.array(first),
        np.array(second),
    )


def test_missing_values_are_none_by_name() -> None:
    made = vector([0.5, np.nan], (None, "no rest run"), errors=[0.1, np.nan], halves=([0.4, np.nan], UNKNOWN))
    assert made.names == ("x", "y")
    assert made.by_name() == {"x": 0.5, "y": None}
    assert made.standard_errors_by_name() == {"x": 0.1, "y": None}
    assert made.halves_by_name() == ({"x": 0.4, "y": None}, {"x": None, "y": None})


@pytest.mark.parametrize(
    ("values", "reasons"),
    [
        ([0.5, np.nan], (None, None)),
        ([0.5, 1.0], (None, "no rest run")),
        ([0.5, np.inf], (None, None)),
        ([0.5], (None,)),
        ([0.5, 1.0], (None,)),
    ],
)
def test_a_value_and_a_reason_exclude_each_other(values: list[float], reasons: tuple[str | None, ...]) -> None:
    with pytest.raises(FeatureError):
        vector(values, reasons)


@pytest.mark.parametrize("errors", [[-0.1, np.nan], [np.inf, np.nan], [0.1, 0.1], [0.1]])
def test_a_standard_error_belongs_to_a_value_and_is_no_less_than_zero(errors: list[float]) -> None:
    with pytest.raises(FeatureError, match=r"standard[ _]error"):
        vector([0.5, np.nan], (None, "no rest run"), errors=errors)
