"""Sections of a cohort's page for others: what holds of five people or more, and no row, name or mark of a person.

Medians and quartiles are not shown: of an odd number of people they are the value of one of them. Nor are the groups of
a column, as soon as one of them is so small that its numbers could be worked out from the others and the total.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from predictor.report.wording import region_in_words
from training.cohort_quality.cohort_quality import CohortQuality, FamilyGaps
from training.cohort_quality.quality_measures import LIMITS, QualityMeasure, values_by_person
from training.evaluation.small_cells import FEWEST_SHOWN
from training.report.cohort_feature_sections import feature_quality_sections
from training.report.record_reading import number
from training.report.report_section import ReportSection, ReportTable
from training.report.short_numbers import p_in_words

Array = NDArray[np.float64]

SEVERITY_IN_WORDS: Final = {"fail": "failed", "refuse": "refused", "flag": "flagged"}
_TOO_FEW: Final = f"there are fewer than {FEWEST_SHOWN} people."


def cohort_aggregate_sections(quality: CohortQuality) -> list[ReportSection]:
    """Return the sections that have something to show, in the order of the page."""
    is_few = sum(person.status != "failed" for person in quality.people) < FEWEST_SHOWN
    of_features = [] if is_few else feature_quality_sections(replace(quality, gaps=tuple(_gaps(quality))))
    found = (_reasons(quality), _measures(quality), *_groups(quality), _coverage(quality), *of_features, _reading())
    return [section for section in found if section is not None]


def _reasons(quality: CohortQuality) -> ReportSection:
    counts = Counter(
        reason for person in quality.people for reason in {(one.code, one.severity) for one in person.reasons}
    )
    order = {name: place for place, name in enumerate(SEVERITY_IN_WORDS)}
    ranked = sorted(counts.items(), key=lambda item: (order.get(item[0][1], len(order)), -item[1], item[0]))
    rows = [(code, SEVERITY_IN_WORDS.get(kind, kind), str(n_people)) for (code, kind), n_people in ranked]
    n_far = len({one.participant_id for one in quality.stand_out})
    n_twins = sum(map(len, quality.twins))
    besides = (
        ("far from the cohort", n_far), ("unusual features", len(quality.far_features)), ("same input twice", n_twins),
    )  # fmt: skip
    rows += [(title, "stands out", str(n_people)) for title, n_people in besides if n_people]
    if not rows:
        return ReportSection("reasons", "Reasons", ("Nobody is flagged, refused or failed, and nobody stands out.",))
    table = ReportTable("Reasons", ("Reason", "Means", "People"), tuple(rows), frozenset({2}))
    return ReportSection("reasons", "Reasons", ("A person may have several.",), tables=(table,))


def _measures(quality: CohortQuality) -> ReportSection | None:
    rows = []
    for measure in quality.measures:
        for run in quality.runs:
            values = _known(values_by_person(quality.people, measure.key, run))
            if len(values) >= FEWEST_SHOWN:
                rows.append((f"{measure.axis_label}, {run}", str(len(values)), *_mean_and_sd(values, measure)))
    if not rows:
        return ReportSection("measures", "Every run", gaps=(_TOO_FEW,)) if quality.measures else None
    header = ("Measure and run", "People", "Mean", "Standard deviation")
    table = ReportTable("Measures of every run", header, tuple(rows), frozenset({1, 2, 3}))
    return ReportSection("measures", "Every run", (f"Runs that at least {FEWEST_SHOWN} people have.",), tables=(table,))


def _groups(quality: CohortQuality) -> Iterator[ReportSection]:
    """Yield one section per column of participants.tsv, with numbers where its groups are large enough."""
    shown: dict[tuple[str, str], list[NDArray[np.bool_]]] = {}  # measure and run -> who is in each group above
    for column in map(str, quality.columns):
        levels = quality.columns[column].to_numpy(dtype=object)
        names = sorted({str(one) for one in levels if isinstance(one, str)})
        rows = [
            row
            for measure in quality.measures
            for run in quality.runs
            if (
                row := _group_row(
                    quality, column, measure, run, levels, names, shown.setdefault((measure.key, run), [])
                )
            )
        ]
        gap = f"a group has fewer than {FEWEST_SHOWN} people, or so few more than another column's, and could be told."
        table = ReportTable(
            f"Mean (standard deviation) by {column}", ("Measure and run", *names, "p"), tuple(rows),
            frozenset(range(1, len(names) + 2)),
        )  # fmt: skip
        said = "p: Kruskal-Wallis, not corrected. A difference in quality can pass for a difference between brains."
        yield ReportSection(
            f"by-{column}", f"By {column}", (said,) if rows else (), () if rows else (gap,),
            tables=(table,) if rows else (),
        )  # fmt: skip


def _group_row(
    quality: CohortQuality,
    column: str,
    measure: QualityMeasure,
    run: str,
    levels: NDArray[np.object_],
    names: list[str],
    shown: list[NDArray[np.bool_]],
) -> tuple[str, ...] | None:
    """Return a measure by group, and add its groups to those shown.

    None if a group, the people without one, or those by whom a group differs from a shown one, are too few to be told.
    """
    values = values_by_person(quality.people, measure.key, run)
    is_known = np.isfinite(values)
    members = [is_known & (levels == name) for name in names]
    parts = {name: values[one] for name, one in zip(names, members, strict=True)}
    n_without = int(is_known.sum()) - sum(map(len, parts.values()))
    if len(parts) < 2 or any(0 < n_people < FEWEST_SHOWN for n_people in (n_without, *map(len, parts.values()))):
        return None
    if any(0 < np.count_nonzero(one != other) < FEWEST_SHOWN for one in members for other in shown):
        return None
    shown += members
    cells = ["{} ({})".format(*_mean_and_sd(part, measure)) if len(part) else "–" for part in parts.values()]
    tested = [
        one.p_value for one in quality.differences if (one.column, one.measure, one.run) == (column, measure, run)
    ]
    p_value = next((one for one in tested if one is not None), None)
    return f"{measure.axis_label}, {run}", *cells, "–" if p_value is None else p_in_words(p_value)


def _gaps(quality: CohortQuality) -> Iterator[FamilyGaps]:
    """Yield what is missing, without a reason of a few people: it may say how much of a region their scan covers."""
    for one in quality.gaps:
        yield one if one.n_with_reason >= FEWEST_SHOWN else replace(one, common_reason="")


def _coverage(quality: CohortQuality) -> ReportSection | None:
    """Return how many people's scans do not cover a region whole; none where coverage is not known."""
    rows = []
    for run in quality.runs:
        for region in dict.fromkeys(name for person in quality.people for name in person.coverage.get(run, {})):
            found = [person.coverage.get(run, {}).get(region) for person in quality.people]
            shares = [share for share in found if share is not None]
            n_partial, n_low = sum(one < 1 for one in shares), sum(one < LIMITS.flag_coverage for one in shares)
            if n_partial:
                rows.append((f"{region_in_words(region)}, {run}", len(shares), n_partial, n_low))
    if not any(person.coverage for person in quality.people):
        return None
    rows.sort(key=lambda row: (-row[3], -row[2], row[0]))
    header = ("Region and run", "People", "Covered in part", f"Below {LIMITS.flag_coverage:g}")
    shown = tuple((str(name), *map(str, counts)) for name, *counts in rows)
    tables = (ReportTable("Regions that are not covered completely", header, shown, frozenset({1, 2, 3})),)
    said = "In these regions and runs some scans lack a part." if rows else "Every scan covers every region completely."
    return ReportSection("coverage", "Coverage of the regions", (said,), tables=tables if rows else ())


def _reading() -> ReportSection:
    points = (
        "No name, row or mark of a person is on this page, and no number about fewer than "
        f"{FEWEST_SHOWN} people but how many they are.",
        "Nobody is left out by it: flagged people stay in the table, refused ones are for the experiment to decide on.",
    )
    return ReportSection("reading", "How to read this page", points=points)


def _mean_and_sd(values: Array, measure: QualityMeasure) -> tuple[str, str]:
    return number(float(values.mean()), digits=measure.digits), number(float(values.std(ddof=1)), digits=measure.digits)


def _known(values: Sequence[float] | Array) -> Array:
    found = np.asarray(values, dtype=np.float64)
    return found[np.isfinite(found)]
