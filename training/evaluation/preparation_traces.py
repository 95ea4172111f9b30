"""Traces of steps that were done on everyone before the table reached us: scaling, ranking, imputation, adjustment.

Each check asks for the same exact trace in many columns, which chance does not leave; so honest tables raise no alarm,
and a treated table that was changed once more may pass.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from training.cohort.participants import listed
from training.evaluation.leak_checks import FEWEST_PEOPLE, explained_share, indicators
from training.evaluation.leak_finding import LeakFinding

# Shares of columns that must show the same trace, and how many at least, before a table counts as treated.
TRACE_SHARE, FEWEST_TRACES = 0.5, 3
SCALING_TOLERANCE = 1e-3  # tables are rounded
ADJUSTED_CORRELATION = 1e-4
UNCORRELATED = 1e-3


def scaled_before(features: pd.DataFrame) -> tuple[LeakFinding, ...]:
    """Tables whose columns were standardised, or stretched to one range, over these very people."""
    varying = _continuous(features)
    lowest, highest = varying.min(), varying.max()
    is_range = (highest == 1) & ((lowest == 0) | (lowest == -1))
    ranged = [str(name) for name in varying.columns[is_range]]
    if _is_trace(ranged, varying.shape[1]):
        return (_scaled(ranged, varying, "run exactly from one round number to another over all people"),)
    mean, spread = varying.mean(), varying.std(ddof=0)
    n = varying.notna().sum()
    is_unit = ((spread - 1).abs() < SCALING_TOLERANCE) | ((spread * np.sqrt(n / (n - 1)) - 1).abs() < SCALING_TOLERANCE)
    scaled = [str(name) for name in varying.columns[(mean.abs() < SCALING_TOLERANCE) & is_unit]]
    if not _is_trace(scaled, varying.shape[1]):
        return ()
    return (_scaled(scaled, varying, "have mean 0 and standard deviation 1 over all people"),)


def ranked_before(features: pd.DataFrame) -> tuple[LeakFinding, ...]:
    """Tables whose columns were replaced by ranks, or by what ranks were made into: all hold the same numbers."""
    varying = _continuous(features)
    complete = varying.loc[:, varying.notna().all()]
    numbers = complete.to_numpy(dtype=np.float64)
    ordered = np.sort(numbers, axis=0)
    # Copies of one column hold the same numbers too, in the same order: they are one column here.
    is_first = ~pd.DataFrame(numbers.T).duplicated().to_numpy()
    if not is_first.any():
        return ()
    middle = np.median(ordered[:, is_first], axis=1)
    is_same = np.abs(ordered - middle[:, np.newaxis]).max(axis=0) <= SCALING_TOLERANCE * np.std(middle)
    ranked = [str(name) for name in complete.columns[is_same & is_first]]
    if not _is_trace(ranked, varying.shape[1]):
        return ()
    return (_scaled(ranked, varying, "hold the same numbers in another order, as ranks over all people do"),)


def decorrelated_before(features: pd.DataFrame) -> tuple[LeakFinding, ...]:
    """Tables of components (PCA, whitening) that were computed over these very people: they do not correlate."""
    varying = _continuous(features)
    complete = varying.loc[:, varying.notna().all()]
    n_people, n_features = complete.shape
    if not FEWEST_TRACES <= n_features <= 2 * n_people:  # more columns cannot be uncorrelated
        return ()
    correlation = np.corrcoef(complete.to_numpy(dtype=np.float64), rowvar=False)
    is_zero = np.abs(correlation[np.triu_indices(n_features, k=1)]) < UNCORRELATED
    if is_zero.mean() < TRACE_SHARE:
        return ()
    return (
        LeakFinding(
            "components",
            "leak",
            f"{is_zero.sum()} of {len(is_zero)} pairs of features do not correlate at all over all people, "
            "as components of these very people do.",
            "features.tsv",
            "Hand in the features as measured, or components that were learned from other people.",
        ),
    )


def imputed_before(features: pd.DataFrame, known: pd.DataFrame | None = None) -> tuple[LeakFinding, ...]:
    """Tables whose gaps were filled with the mean or median over these very people, or over those of an arm or site.

    Parameters
    ----------
    features
        As measured, people as rows.
    known
        Same rows; its columns of words are the categories within which gaps may have been filled.
    """
    groups = [np.ones(len(features), dtype=bool), *([] if known is None else _people_alike(known))]
    filled = [
        str(name)
        for name in features.columns
        if any(_is_filled(features[name].to_numpy(dtype=np.float64)[members]) for members in groups)
    ]
    if not filled:
        return ()
    return (
        LeakFinding(
            "imputation",
            "leak",
            f"gaps seem to be filled with the mean or median of everyone in {len(filled)} features: {listed(filled)}.",
            "features.tsv",
            "Hand in the gaps as n/a; every fold fills them from its own training people.",
        ),
    )


def adjusted_before(features: pd.DataFrame, known: pd.DataFrame) -> tuple[LeakFinding, ...]:
    """Tables from which a covariate or the site was regressed out over these very people."""
    varying, findings = _continuous(features), []
    for column in known.columns:
        design = indicators(known, [str(column)])
        if not design.shape[1] or varying.empty or not np.isfinite(design).all():
            continue
        explained = np.array([_explained(design, varying[name].to_numpy(dtype=np.float64)) for name in varying.columns])
        adjusted = [str(name) for name in varying.columns[explained < ADJUSTED_CORRELATION**2]]
        if _is_trace(adjusted, varying.shape[1]):
            findings.append(
                LeakFinding(
                    "confound removal",
                    "leak",
                    f"{len(adjusted)} of {varying.shape[1]} features do not depend on {column} at all over all "
                    f"people: {listed(adjusted)}.",
                    "features.tsv",
                    "Hand in the features as measured; adjustment and harmonisation are learned inside the folds.",
                )
            )
    return tuple(findings)


def _scaled(names: Sequence[str], varying: pd.DataFrame, trace: str) -> LeakFinding:
    return LeakFinding(
        "scaling",
        "leak",
        f"{len(names)} of {varying.shape[1]} features {trace}: {listed(names)}.",
        "features.tsv",
        "Hand in the features as measured; every fold scales them by its own training people.",
    )


def _explained(design: NDArray[np.float64], values: NDArray[np.float64]) -> float:
    """Share of a feature's variance that a column explains among the people who have a value."""
    is_known = np.isfinite(values)
    among = design[is_known]
    among = among[:, among.std(axis=0) > 0]
    # A column that does not vary among these people cannot have been regressed out of their values.
    return explained_share(among - among.mean(axis=0), values[is_known]) if among.shape[1] else 1.0


def _people_alike(known: pd.DataFrame) -> list[NDArray[np.bool_]]:
    """Return who shares a category, for every category of every column of words."""
    words = [name for name in known if not pd.api.types.is_numeric_dtype(known[name])]
    return [(known[name] == level).to_numpy() for name in words for level in known[name].dropna().unique()]


def _continuous(features: pd.DataFrame) -> pd.DataFrame:
    """Features with as good as no repeated values: what counts and labels do is no trace of anything."""
    n_known = features.notna().sum()
    return features.loc[:, (n_known >= FEWEST_PEOPLE) & (features.nunique() >= 0.9 * n_known)]


def _is_trace(columns: Sequence[str], n_columns: int) -> bool:
    return len(columns) >= FEWEST_TRACES and len(columns) >= TRACE_SHARE * n_columns


def _is_filled(column: NDArray[np.float64]) -> bool:
    """Whether one value repeats that is the mean or the median of all others, among values that hardly repeat."""
    known = column[np.isfinite(column)]
    values, counts = np.unique(known, return_counts=True)
    if len(known) < FEWEST_PEOPLE or counts.max() < 2:
        return False
    most = values[np.argmax(counts)]
    rest = known[known != most]
    if len(rest) < FEWEST_PEOPLE or len(np.unique(rest)) < 0.95 * len(rest):
        return False
    tolerance = 1e-6 * rest.std()
    return bool(min(abs(most - rest.mean()), abs(most - np.median(rest))) <= tolerance)
