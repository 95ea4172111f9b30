"""How far features can be trusted: agreement of the halves of a run, and the share of scan noise in their spread."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from predictor.model.reliability import reliability

Array = NDArray[np.float64]

# Fewer people say nothing about the spread between people.
MINIMUM_PEOPLE = 3

# Columns of reliability.tsv, for its side-car.
RELIABILITY_COLUMNS = {
    "feature": ("name of the feature, as in features.tsv", ""),
    "n_people": ("people who have the feature", "count"),
    "n_halves": ("people who have it from both halves of their runs", "count"),
    "split_half_r": ("Pearson correlation over people of first and second half", "r"),
    "spearman_brown": (
        "the same for the whole run: 2 r / (1 + |r|); a negative correlation stays negative",
        "r",
    ),
    "n_standard_errors": ("people whose feature has a standard error", "count"),
    "mean_standard_error": ("mean standard error", "unit of the feature"),
    "share_scan_noise": (
        "mean squared standard error over the variance between people of the same values; above 1 when people differ "
        "less than the standard errors alone would make them",
        "share",
    ),
    "reliability": ("1 - share_scan_noise; what experiments compare with [features] minimum_reliability", "share"),
}


def reliability_table(
    names: Sequence[str],
    values: Array,
    standard_errors: Array,
    first_half: Array,
    second_half: Array,
) -> pd.DataFrame:
    """Return one row per feature, with the columns of `RELIABILITY_COLUMNS`.

    The table describes the cohort that was extracted. Training never reads it: there, reliability is computed inside
    every fold.

    Parameters
    ----------
    names
        Features.
    values, standard_errors, first_half, second_half
        Shape (n_people, n_features), NaN where missing.

    Returns
    -------
    DataFrame
        NaN where fewer than three people tell, or they do not differ.
    """
    from_errors = reliability(values, standard_errors)
    rows = []
    for column, name in enumerate(names):
        halves: Array = np.column_stack([first_half[:, column], second_half[:, column]])
        halves = halves[np.isfinite(halves).all(axis=1)]
        errors = standard_errors[np.isfinite(standard_errors[:, column]), column]
        r = split_half_correlation(halves)
        trusted = from_errors[column] if len(errors) >= MINIMUM_PEOPLE else np.nan
        rows.append(
            {
                "feature": name,
                "n_people": int(np.isfinite(values[:, column]).sum()),
                "n_halves": len(halves),
                "split_half_r": r,
                "spearman_brown": 2 * r / (1 + abs(r)),
                "n_standard_errors": len(errors),
                "mean_standard_error": float(errors.mean()) if len(errors) else np.nan,
                "share_scan_noise": float(1 - trusted),
                "reliability": float(trusted),
            }
        )
    return pd.DataFrame(rows, columns=list(RELIABILITY_COLUMNS))


def split_half_correlation(halves: Array) -> float:
    """Pearson correlation of the columns of an array of shape (n_people, 2); NaN where it has no meaning."""
    if len(halves) < MINIMUM_PEOPLE or (halves == halves[0]).all(axis=0).any():
        return float("nan")
    return float(np.asarray(np.corrcoef(halves, rowvar=False))[0, 1])
