from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from predictor.errors import ModelBundleError
from predictor.model.outcome_definition import Covariate
from predictor.model.site_correction import SiteCorrection


@pytest.fixture
def correction() -> SiteCorrection:
    """Site b measures 3 higher and twice as wide; one unit of age is one unit of the first feature."""
    return SiteCorrection(
        features=("x", "y"),
        site="site",
        sites=("a", "b"),
        preserved=(Covariate("age", "number"),),
        reference_site=None,
        centre=np.array([40.0]),
        coefficients=np.array([[1.0, 0.0]]),
        mean=np.array([10.0, 5.0]),
        scale=np.array([2.0, 1.0]),
        shift=np.array([[0.0, 0.0], [1.5, 3.0]]),
        spread=np.array([[1.0, 1.0], [4.0, 4.0]]),
    )


def test_shift_and_spread_are_taken_out_around_what_is_expected(correction: SiteCorrection) -> None:
    found = correction.apply(np.array([[57.0, 10.0]]), np.array([[40.0]]), ["b"])
    # expected 50 and 5; 57 is 4 above what site b shows there (53), which is twice as wide as it should be
    assert found.values == pytest.approx(np.array([[52.0, 6.0]]))
    assert found.gain == pytest.approx(0.5)


def test_other_sites_keep_their_values_and_a_missing_covariate_takes_the_training_mean(
    correction: SiteCorrection,
) -> None:
    values, ages = np.array([[57.0, np.nan], [57.0, 1.0], [57.0, 10.0]]), np.array([[40.0], [40.0], [np.nan]])
    found = correction.apply(values, ages, ["elsewhere", None, "b"])
    assert found.values[:2] == pytest.approx(values[:2], nan_ok=True)
    assert found.gain[:2] == pytest.approx(1.0)
    assert found.values[2] == pytest.approx([52.0, 6.0])


def test_parts_that_do_not_fit_are_refused(correction: SiteCorrection) -> None:
    for wrong in (
        {"scale": np.array([0.0, 1.0])},
        {"spread": np.zeros((2, 2))},
        {"sites": ("a", "a")},
        {"centre": np.array([40.0, 1.0])},
        {"shift": np.zeros((3, 2))},
        {"mean": np.array([np.nan, 0.0])},
    ):
        with pytest.raises(ModelBundleError):
            replace(correction, **wrong)
