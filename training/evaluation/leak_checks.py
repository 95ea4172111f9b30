"""Leaks that stand in the table itself, which poisoning held-out rows cannot see.

Columns that carry the outcome, columns that were measured after baseline, and tables that were scaled, imputed or
adjusted over everyone before they reached us. What is learned elsewhere and leaves no trace in the numbers (features
chosen on this cohort, say) cannot be found by anyone; `NOT_SEEN` says so wherever a report is shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from training.cohort.participants import listed
from training.evaluation.leak_finding import LeakFinding, Severity

NOT_SEEN = (
    "Not visible to any audit: features, settings or hypotheses chosen elsewhere on these same people; "
    "outcomes that raters knew when they prepared the features."
)
BASELINE_TIMES = ("baseline", "screening", "before")

# No baseline measure knows a rated outcome this well: two ratings of one PTSD interview agree no better.
CARRIES, SUSPICIOUS = 0.9, 0.8
CHANCE = 0.01  # of any false alarm in one cohort
FEWEST_PEOPLE = 8
# Shares of columns that must show the same trace, and how many at least, before a table counts as treated.
TRACE_SHARE, FEWEST_TRACES = 0.5, 3
SCALING_TOLERANCE = 1e-3  # tables are rounded
ADJUSTED_CORRELATION = 1e-4


def carries_outcome(
    table: pd.DataFrame, outcome: NDArray[np.float64], columns: Sequence[str], *, step: str, where: str
) -> tuple[LeakFinding, ...]:
    """Columns from which the outcome can be read off.

    A column counts when its correlation with the outcome (Pearson or Spearman, for categories the adjusted correlation
    ratio) is at least .9 and chance, over all columns together, cannot explain .7 of it; from .8 it is worth a look.
    """
    found: dict[Severity, list[str]] = {"leak": [], "look": []}
    for column, (strength, n_people) in associations(table, outcome, columns).items():
        if n_people < FEWEST_PEOPLE:
            continue
        margin = stats.norm.isf(CHANCE / (2 * len(columns))) / np.sqrt(max(n_people - 3, 1))
        surely = np.tanh(np.arctanh(min(strength, 1 - 1e-12)) - margin)
        if strength >= SUSPICIOUS and surely > (0.7 if strength >= CARRIES else 0.5):
            found["leak" if strength >= CARRIES else "look"].append(f"{column} ({strength:.2f})")
    remedy = {
        "leak": "Take the column out; if it was measured before treatment, show how it can know the outcome.",
        "look": "Make sure that it was measured before treatment and by someone who did not know the outcome.",
    }
    return tuple(
        LeakFinding(step, severity, f"correlation with the outcome: {listed(names)}.", where, remedy[severity])
        for severity, names in found.items()
        if names
    )


def carries_outcome_jointly(
    table: pd.DataFrame, outcome: NDArray[np.float64], columns: Sequence[str], *, where: str
) -> tuple[LeakFinding, ...]:
    """Covariates that give the outcome away only together, as baseline and follow-up scores do."""
    design = _indicators(table, columns)
    n_people, n_terms = design.shape
    if len(columns) < 2 or n_people < FEWEST_PEOPLE + 3 * n_terms or np.ptp(outcome) == 0:
        return ()
    explained = _adjusted_r2(design, outcome)
    if explained < CARRIES**2:
        return ()
    without = {name: _adjusted_r2(_indicators(table, [c for c in columns if c != name]), outcome) for name in columns}
    culprit = min(without, key=lambda name: without[name])
    return (
        LeakFinding(
            "covariates",
            "leak",
            f"together, {listed(list(columns))} explain {explained:.0%} of the outcome; "
            f"without {culprit} it is {max(without[culprit], 0):.0%}.",
            where,
            f"Take {culprit} out, unless it can be shown to be from before the treatment.",
        ),
    )


def measured_late(
    columns: Sequence[str], *, measured: Mapping[str, str], suspicious: Iterable[str], where: str
) -> tuple[LeakFinding, ...]:
    """Find inputs that are declared, or named like, measures from after baseline.

    Parameters
    ----------
    columns
        Inputs of the models.
    measured
        Declared times, column (or family, the part before the first double underscore) -> time.
    suspicious
        Columns whose names speak of a later time; a declared time overrules the name.
    """
    times = {name: measured.get(name, measured.get(name.split("__")[0], "")) for name in columns}
    late = [f"{name} ({time})" for name, time in times.items() if time and time not in BASELINE_TIMES]
    undeclared = [name for name in suspicious if not times.get(name)]
    findings = []
    if late:
        findings.append(
            LeakFinding(
                "time",
                "leak",
                f"declared as measured after baseline: {listed(late)}.",
                where,
                "What needs them is an analysis of change, not a predictor; for a predictor take them out.",
            )
        )
    if undeclared:
        findings.append(
            LeakFinding(
                "time",
                "look",
                f"named like measures from after baseline: {listed(undeclared)}.",
                where,
                'Say when they were measured: [cohort] measured = { column = "baseline" }, or "week2".',
            )
        )
    return tuple(findings)


def scaled_before(features: pd.DataFrame) -> tuple[LeakFinding, ...]:
    """Tables whose columns were standardised over these very people."""
    varying = _continuous(features)
    mean, spread = varying.mean(), varying.std(ddof=0)
    n = varying.notna().sum()
    is_unit = ((spread - 1).abs() < SCALING_TOLERANCE) | ((spread * np.sqrt(n / (n - 1)) - 1).abs() < SCALING_TOLERANCE)
    scaled = [str(name) for name in varying.columns[(mean.abs() < SCALING_TOLERANCE) & is_unit]]
    if not _is_trace(scaled, varying.shape[1]):
        return ()
    return (
        LeakFinding(
            "scaling",
            "leak",
            f"{len(scaled)} of {varying.shape[1]} features have mean 0 and standard deviation 1 over all people: "
            f"{listed(scaled)}.",
            "features.tsv",
            "Hand in the features as measured; every fold scales them by its own training people.",
        ),
    )


def imputed_before(features: pd.DataFrame) -> tuple[LeakFinding, ...]:
    """Tables whose gaps were filled with the mean or median over these very people."""
    filled = [str(name) for name in features.columns if _is_filled(features[name].to_numpy(dtype=np.float64))]
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
    complete = varying.loc[:, varying.notna().all()]
    for column in known.columns:
        design = _indicators(known, [str(column)])
        if not design.shape[1] or complete.empty or not np.isfinite(design).all():
            continue
        explained = np.array([_r2(design, complete[name].to_numpy(dtype=np.float64)) for name in complete.columns])
        adjusted = [str(name) for name in complete.columns[explained < ADJUSTED_CORRELATION**2]]
        if _is_trace(adjusted, complete.shape[1]):
            findings.append(
                LeakFinding(
                    "confound removal",
                    "leak",
                    f"{len(adjusted)} of {complete.shape[1]} features do not depend on {column} at all over all "
                    f"people: {listed(adjusted)}.",
                    "features.tsv",
                    "Hand in the features as measured; adjustment and harmonisation are learned inside the folds.",
                )
            )
    return tuple(findings)


def associations(
    table: pd.DataFrame, outcome: NDArray[np.float64], columns: Sequence[str]
) -> dict[str, tuple[float, int]]:
    """Return `association` of every column; numbers without gaps at once, for there may be thousands."""
    is_whole = np.isfinite(outcome).all() and len(outcome) >= 3 and np.ptp(outcome) > 0
    plain = [
        name
        for name in columns
        if is_whole and pd.api.types.is_numeric_dtype(table[name]) and np.isfinite(table[name].to_numpy()).all()
    ]
    numbers = table[plain].to_numpy(dtype=np.float64)
    both = [_correlations(numbers, outcome)]
    both.append(_correlations(stats.rankdata(numbers, axis=0), stats.rankdata(outcome)))
    strengths = dict(zip(plain, np.max(both, axis=0), strict=True))
    return {
        name: (float(strengths[name]), len(outcome)) if name in strengths else association(table[name], outcome)
        for name in columns
    }


def association(column: pd.Series, outcome: NDArray[np.float64]) -> tuple[float, int]:
    """Strength of the association of a column with the outcome, 0 to 1, and the number of people who tell."""
    is_known = column.notna().to_numpy() & np.isfinite(outcome)
    known, target = column[is_known], outcome[is_known]
    if len(target) < 3 or np.ptp(target) == 0 or known.nunique() < 2:
        return 0.0, int(is_known.sum())
    if not pd.api.types.is_numeric_dtype(known):
        explained = _adjusted_r2(_indicators(known.to_frame(), [str(column.name)]), target)
        return float(np.sqrt(max(explained, 0.0))), len(target)
    numbers = known.to_numpy(dtype=np.float64)
    pearson = _correlations(numbers[:, np.newaxis], target)
    spearman = _correlations(stats.rankdata(numbers)[:, np.newaxis], stats.rankdata(target))
    return float(max(pearson[0], spearman[0])), len(target)


def _correlations(numbers: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """|r| of every column with the target, 0 for constant columns."""
    centred, wanted = numbers - numbers.mean(axis=0), target - target.mean()
    size = np.sqrt((centred**2).sum(axis=0)) * np.sqrt(wanted @ wanted)
    varies = np.ptp(numbers, axis=0) > 0
    return np.where(varies, np.minimum(np.abs(wanted @ centred) / np.where(varies, size, 1.0), 1.0), 0.0)


def _indicators(table: pd.DataFrame, columns: Sequence[str]) -> NDArray[np.float64]:
    """Columns as centred numbers, categories as indicators, without those that do not vary; gaps take the mean."""
    blocks = []
    for column in columns:
        values = table[column]
        if pd.api.types.is_numeric_dtype(values):
            blocks.append(values.to_numpy(dtype=np.float64)[:, np.newaxis])
        else:
            blocks.append(pd.get_dummies(values.astype(str), drop_first=True).to_numpy(dtype=np.float64))
    design = np.concatenate(blocks, axis=1) if blocks else np.zeros((len(table), 0))
    centred = design - (np.nanmean(design, axis=0) if design.size else 0.0)
    centred = np.where(np.isnan(centred), 0.0, centred)
    return np.asarray(centred[:, np.ptp(centred, axis=0) > 0]) if centred.size else centred


def _r2(design: NDArray[np.float64], target: NDArray[np.float64]) -> float:
    centred = target - target.mean()
    residual = centred - design @ np.linalg.lstsq(design, centred, rcond=None)[0]
    return float(1 - residual @ residual / (centred @ centred))


def _adjusted_r2(design: NDArray[np.float64], target: NDArray[np.float64]) -> float:
    n_people, n_terms = design.shape
    if n_terms == 0 or n_people <= n_terms + 1:
        return 0.0
    return float(1 - (1 - _r2(design, target)) * (n_people - 1) / (n_people - n_terms - 1))


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
