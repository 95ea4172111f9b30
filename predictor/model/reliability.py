"""How much of a feature's spread over people is more than scan noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def standard_error_column(feature: str) -> str:
    """Name of the column in which a training table carries a feature's standard errors."""
    return f"standard error of {feature}"


def reliability(values: Array, standard_errors: Array) -> Array:
    """Share of the variance between people that noise of the scan does not account for.

    Parameters
    ----------
    values, standard_errors
        Shape (n_people, n_features), NaN where missing or unknown.

    Returns
    -------
    ndarray of shape (n_features,)
        1 - mean squared standard error / variance over people (n - 1); at most 1, below 0 where the standard errors
        promise more noise than people differ. NaN where no standard error is known or people do not differ.

    References
    ----------
    Cronbach, Gleser, Nanda and Rajaratnam 1972, The Dependability of Behavioral Measurements.
    """
    is_both = np.isfinite(values) & np.isfinite(standard_errors)
    n_both = is_both.sum(axis=0)
    noise = np.where(is_both, standard_errors, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(is_both, values, 0.0).sum(axis=0) / n_both
        variance = (np.where(is_both, values - mean, 0.0) ** 2).sum(axis=0) / (n_both - 1)
        found = 1 - (noise**2).sum(axis=0) / n_both / variance
    return np.asarray(np.where((n_both > 1) & (variance > 0), found, np.nan))
