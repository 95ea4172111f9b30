"""Feature vectors keep values and reasons together."""

from __future__ import annotations

import numpy as np
import pytest

from predictor.errors import FeatureError
from predictor.features.feature_vector import FeatureDefinition, FeatureVector

DEFINITIONS = tuple(
    FeatureDefinition(name, "fisher_z", "rest_fisher_z", "rest", "a-b", "resting connectivity") for name in ("x", "y")
)


def vector(values: list[float], reasons: tuple[str | None, ...]) -> FeatureVector:
    return FeatureVector(DEFINITIONS, np.array(values), reasons, "sha256:recipe", "sha256:input")


def test_missing_values_are_none_by_name() -> None:
    made = vector([0.5, np.nan], (None, "no rest run"))
    assert made.names == ("x", "y")
    assert made.by_name() == {"x": 0.5, "y": None}


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
