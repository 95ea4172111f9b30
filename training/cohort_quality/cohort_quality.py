"""Everything that a cohort's quality page shows, as numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from training.cohort_quality.motion_correlation import MotionCorrelation, motion_correlations
from training.cohort_quality.people_columns import grouping_columns
from training.cohort_quality.person_quality import PersonQuality, read_people, run_names
from training.cohort_quality.quality_measures import (
    QualityMeasure,
    StandsOut,
    far_from_cohort,
    known_measures,
    values_by_person,
)
from training.evaluation.small_cells import FEWEST_SHOWN
from training.extraction.feature_table import RELIABILITY_FILE, FailedVisit, FeatureTable

Array = NDArray[np.float64]

# A person's features are unusual when so many of them lie so far from the cohort's median, in robust standard
# deviations; of normal values one in 16,000 does. [assumed]
FAR_Z: Final = 4.0
FAR_SHARE: Final = 0.05
FEWEST_FOR_SPREAD: Final = 10
# Median absolute deviation of a normal distribution to its standard deviation.
_MAD_TO_SD: Final = 1.4826
_BLOCK: Final = 500  # columns at once


@dataclass(frozen=True, slots=True)
class FamilyGaps:
    """How much of a family of features is missing."""

    family: str
    n_features: int
    n_whole: int  # people who have every feature
    n_in_part: int
    n_without: int
    common_reason: str  # the most frequent one, empty where nothing is missing
    n_with_reason: int  # people who have that reason


@dataclass(frozen=True, slots=True)
class LevelSpread:
    """How a measure spreads in one level of a column."""

    level: str
    n_people: int
    median: float
    lower: float  # quartiles
    upper: float


@dataclass(frozen=True, slots=True)
class GroupDifference:
    """A measure of a run in the levels of one column."""

    column: str
    measure: QualityMeasure
    run: str
    levels: tuple[LevelSpread, ...]
    p_value: float | None  # Kruskal-Wallis, not corrected; None: a level has fewer than five people


@dataclass(frozen=True, slots=True, eq=False)
class CohortQuality:
    """Quality of a cohort."""

    people: tuple[PersonQuality, ...]  # the worst first
    runs: tuple[str, ...]
    measures: tuple[QualityMeasure, ...]
    columns: pd.DataFrame  # site, scanner, group, arm by participant, as far as known
    stand_out: tuple[StandsOut, ...]
    far_features: dict[str, float]  # participant -> share of features far from the cohort's, where above FAR_SHARE
    twins: tuple[tuple[str, ...], ...]  # participants whose input is the same, byte for byte
    gaps: tuple[FamilyGaps, ...]
    motion: tuple[MotionCorrelation, ...]
    differences: tuple[GroupDifference, ...]
    reliability: pd.DataFrame  # as in reliability.tsv, with the column `family`
    n_features: int
    missing_counts: dict[str, int]  # participant -> features that are missing
    recipe_hash: str
    is_synthetic: bool

    def count(self, status: str) -> int:
        """Return how many people have a status."""
        return sum(person.status == status for person in self.people)


def cohort_quality(
    table: FeatureTable,
    out: Path,
    *,
    failed: Sequence[FailedVisit] = (),
    folders: Sequence[Path | None] = (),
    is_synthetic: bool = False,
) -> CohortQuality:
    """Return the quality of the cohort whose results stand in a folder.

    Parameters
    ----------
    table
        What `gather_table` returned for the folder.
    out
        The folder.
    failed
        Whose visits could not be read.
    folders
        Where the dataset's participants.tsv may stand; only site, scanner, group and arm are read from it.
    is_synthetic
        Whether the dataset says that it was simulated.

    Raises
    ------
    TableError
        If a result is damaged.
    """
    people = read_people([str(name) for name in table.values.index], out, failed=failed)
    columns = grouping_columns(folders, [person.participant_id for person in people])
    hashes = table.recipe_hashes.dropna()
    return CohortQuality(
        people=people,
        runs=run_names(people),
        measures=known_measures(people),
        columns=columns,
        stand_out=tuple(far_from_cohort(people)),
        far_features=_far_features(table),
        twins=_twins(people),
        gaps=tuple(_gaps(table, people)),
        motion=motion_correlations(table, people),
        differences=tuple(_differences(people, columns)),
        reliability=_reliability(table, out),
        n_features=len(table.definitions),
        missing_counts={str(name): int(count) for name, count in table.values.isna().sum(axis=1).items()},
        recipe_hash="" if hashes.empty else str(hashes.iloc[0]),
        is_synthetic=is_synthetic,
    )


def _far_features(table: FeatureTable) -> dict[str, float]:
    """Return people with many features far from the cohort's median; none in a small cohort."""
    if len(table.values) < FEWEST_FOR_SPREAD:
        return {}
    n_far, n_known = np.zeros(len(table.values)), np.zeros(len(table.values))
    for first in range(0, table.values.shape[1], _BLOCK):  # a large cohort's table is not copied whole
        values = table.values.iloc[:, first : first + _BLOCK].to_numpy(dtype=np.float64)
        values = values[:, np.isfinite(values).any(axis=0)]
        middle = np.nanmedian(values, axis=0)
        spread = np.nanmedian(np.abs(values - middle), axis=0) * _MAD_TO_SD
        tells = spread > 0
        n_far += (np.abs(values - middle)[:, tells] > FAR_Z * spread[tells]).sum(axis=1)
        n_known += np.isfinite(values[:, tells]).sum(axis=1)
    shares = n_far / np.maximum(n_known, 1)
    return {
        str(name): float(share)
        for name, share in zip(table.values.index, shares.tolist(), strict=True)
        if share > FAR_SHARE
    }


def _twins(people: Sequence[PersonQuality]) -> tuple[tuple[str, ...], ...]:
    """Return groups of participants with the same input: a copied folder, or one person under two names."""
    by_input: dict[str, list[str]] = {}
    for person in people:
        if person.input_digest:
            by_input.setdefault(person.input_digest, []).append(person.participant_id)
    return tuple(tuple(names) for names in by_input.values() if len(names) > 1)


def _gaps(table: FeatureTable, people: Sequence[PersonQuality]) -> list[FamilyGaps]:
    families: dict[str, list[str]] = {}
    for definition in table.definitions:
        families.setdefault(definition.family, []).append(definition.name)
    is_missing = table.values.isna()
    reasons: dict[str, Counter[str]] = {family: Counter() for family in families}
    family_of = {name.partition("__")[0]: family for family, names in families.items() for name in names}
    for person in people:
        for family, reason in sorted({(family_of.get(kind, ""), reason) for kind, reason in person.gaps.items()}):
            if family in reasons:
                reasons[family][reason] += 1  # once per person, however many features it is about
    found = []
    for family, names in families.items():
        n_missing = is_missing[names].sum(axis=1).to_numpy()
        n_without = int((n_missing == len(names)).sum())
        n_whole = int((n_missing == 0).sum())
        reason, n_with_reason = next(iter(reasons[family].most_common(1)), ("", 0))
        in_part = len(n_missing) - n_whole - n_without
        found.append(FamilyGaps(family, len(names), n_whole, in_part, n_without, reason, n_with_reason))
    return found


def _differences(people: Sequence[PersonQuality], columns: pd.DataFrame) -> list[GroupDifference]:
    """Return every measure and run by the levels of every column."""
    found = []
    for column in columns:
        levels = columns[column].to_numpy(dtype=object)
        names = sorted({str(one) for one in levels if isinstance(one, str)})
        for measure in known_measures(people):
            for run in run_names(people):
                values = values_by_person(people, measure.key, run)
                parts = {name: values[(levels == name) & np.isfinite(values)] for name in names}
                parts = {name: part for name, part in parts.items() if len(part)}
                if len(parts) > 1:
                    shown = tuple(LevelSpread(name, len(part), *_quartiles(part)) for name, part in parts.items())
                    p_value = _kruskal_wallis(list(parts.values()))
                    found.append(GroupDifference(str(column), measure, run, shown, p_value))
    return found


def _quartiles(values: Array) -> tuple[float, float, float]:
    lower, middle, upper = np.quantile(values, [0.25, 0.5, 0.75])
    return float(middle), float(lower), float(upper)


def _kruskal_wallis(parts: Sequence[Array]) -> float | None:
    if min(map(len, parts)) < FEWEST_SHOWN or len(np.unique(np.concatenate(parts))) < 2:
        return None
    return float(stats.kruskal(*parts).pvalue)


def _reliability(table: FeatureTable, out: Path) -> pd.DataFrame:
    """Return reliability.tsv with the family of each feature; empty if it is not there."""
    path = out / RELIABILITY_FILE
    if not path.is_file():
        return pd.DataFrame(columns=["feature", "family", "spearman_brown", "reliability"])
    known: Any = pd.read_csv(path, sep="\t", na_values="n/a")
    family_of = {one.name: one.family for one in table.definitions}
    return pd.DataFrame(known.assign(family=known["feature"].map(family_of)))
