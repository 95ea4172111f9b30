"""Leaks that stand in the table itself, which poisoning held-out rows cannot see.

Columns that carry the outcome, by their values or by their gaps, and columns that were measured after baseline; traces
of what was done to the whole table are in `preparation_traces`. What is learned elsewhere and leaves no trace in the
numbers (features chosen on this cohort, say) cannot be found by anyone; `NOT_SEEN` says so wherever a report is shown.
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
NEVER_CHAMPION = "analysis, not a predictor: can never be champion"

# No baseline measure knows a rated outcome this well: two ratings of one PTSD interview agree no better.
CARRIES, SUSPICIOUS = 0.9, 0.8
CHANCE = 0.01  # of any false alarm in one cohort
FEWEST_PEOPLE = 8
FEWEST_GAPS = 4  # people with, and people without a value
ENCODING_TOLERANCE = 1e-3  # of the outcome's standard deviation: tables are rounded


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
    design = indicators(table, columns)
    n_people, n_terms = design.shape
    if len(columns) < 2 or n_people < FEWEST_PEOPLE + 3 * n_terms or np.ptp(outcome) == 0:
        return ()
    explained = _adjusted_r2(design, outcome)
    if explained < CARRIES**2:
        return ()
    without = {name: _adjusted_r2(indicators(table, [c for c in columns if c != name]), outcome) for name in columns}
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


def gaps_carry_outcome(features: pd.DataFrame, outcome: NDArray[np.float64], *, where: str) -> tuple[LeakFinding, ...]:
    """Find features that are missing for those with one outcome, and there for the others: imputation passes it on.

    The strength is the rank correlation of gap and outcome (2 AUC - 1), held against chance as `carries_outcome` does.
    """
    is_gap = features.isna()
    with_gaps = [name for name in features if min(is_gap[name].sum(), (~is_gap[name]).sum()) >= FEWEST_GAPS]
    ranks, found = stats.rankdata(outcome), []
    for name in with_gaps:
        gap = is_gap[name].to_numpy()
        n_gaps, n_values = int(gap.sum()), int((~gap).sum())
        strength = abs(2 * (ranks[gap].mean() - ranks[~gap].mean()) / len(ranks))
        margin = stats.norm.isf(CHANCE / (2 * len(with_gaps))) / np.sqrt(4 * n_gaps * n_values / len(ranks))
        if strength >= CARRIES and np.tanh(np.arctanh(min(strength, 1 - 1e-12)) - margin) > 0.5:
            found.append(f"{name} ({strength:.2f})")
    if not found:
        return ()
    return (
        LeakFinding(
            "missing values",
            "leak",
            f"who has a value and who has none tells the outcome: {listed(found)}.",
            where,
            "Find out why the values are missing; leave these features out if it depends on how treatment went.",
        ),
    )


def encodes_outcome(table: pd.DataFrame, outcome: NDArray[np.float64], *, where: str) -> tuple[LeakFinding, ...]:
    """Find columns of numbers that are the mean outcome of everyone who has that number (target encoding)."""
    tolerance = ENCODING_TOLERANCE * float(np.std(outcome))
    found = []
    for name in table.columns[[pd.api.types.is_numeric_dtype(one) for one in table.dtypes]]:
        values = table[name].to_numpy(dtype=np.float64)
        levels, level_of, counts = np.unique(values, return_inverse=True, return_counts=True)
        if not np.isfinite(values).all() or (counts >= 2).sum() < 2:
            continue
        means = np.bincount(level_of, outcome) / counts
        if np.abs(means - levels).max() <= tolerance:
            found.append(str(name))
    if not found:
        return ()
    return (
        LeakFinding(
            "target encoding",
            "leak",
            f"mean outcomes of people who are alike stand in {listed(found)}, held-out people among them.",
            where,
            "Hand in the category itself; models make indicators of it inside the folds.",
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
    late = [f"{name} ({time})" for name, time in declared_late(columns, measured).items()]
    undeclared = [name for name in suspicious if not declared_time(name, measured)]
    findings = []
    if late:
        findings.append(
            LeakFinding(
                "time",
                "analysis",
                f"declared as measured after baseline: {listed(late)}.",
                where,
                f"{NEVER_CHAMPION}. For a predictor, take them out.",
            )
        )
    if undeclared:
        findings.append(
            LeakFinding(
                "time",
                "undeclared",
                f"named like measures from after baseline: {listed(undeclared)}.",
                where,
                'Say when they were measured: [cohort] measured = { column = "baseline" }, or "week2".',
            )
        )
    return tuple(findings)


def declared_late(columns: Iterable[str], measured: Mapping[str, str]) -> dict[str, str]:
    """Return inputs that are declared as measured after baseline, with the time; parameters as in `measured_late`."""
    times = {name: declared_time(name, measured) for name in columns}
    return {name: time for name, time in times.items() if time and time not in BASELINE_TIMES}


def declared_time(name: str, measured: Mapping[str, object]) -> str:
    """Return when a column, or else its family, is declared as measured; empty text where nothing is declared.

    Examples
    --------
    >>> declared_time("smoker=yes", {"smoker": "week1"}), declared_time("change_rest__a__b", {"change_rest": "week2"})
    ('week1', 'week2')
    """
    column = name.partition("=")[0]  # an indicator of a category is column=level
    return str(measured.get(column, measured.get(column.split("__")[0], "")))


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
        explained = _adjusted_r2(indicators(known.to_frame(), [str(column.name)]), target)
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


def indicators(table: pd.DataFrame, columns: Sequence[str]) -> NDArray[np.float64]:
    """Return columns that vary as centred numbers, categories as indicators; gaps take the mean."""
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


def explained_share(design: NDArray[np.float64], target: NDArray[np.float64]) -> float:
    """Return the R2 of least squares on centred columns."""
    centred = target - target.mean()
    residual = centred - design @ np.linalg.lstsq(design, centred, rcond=None)[0]
    return float(1 - residual @ residual / (centred @ centred))


def _adjusted_r2(design: NDArray[np.float64], target: NDArray[np.float64]) -> float:
    n_people, n_terms = design.shape
    if n_terms == 0 or n_people <= n_terms + 1:
        return 0.0
    return float(1 - (1 - explained_share(design, target)) * (n_people - 1) / (n_people - n_terms - 1))
