"""Sections of a cohort's quality page: reasons, how every run spreads, groups of people, coverage, how to read it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from predictor.report.wording import in_percent, region_in_words
from training.cohort_quality.cohort_quality import CohortQuality, GroupDifference
from training.cohort_quality.person_quality import PersonQuality
from training.cohort_quality.quality_measures import FAR_OUT, LIMITS, MEASURES, QualityMeasure, values_by_person
from training.evaluation.small_cells import FEWEST_SHOWN
from training.report.cohort_feature_sections import feature_quality_sections
from training.report.figure_frame import DrawnFigure
from training.report.record_reading import listed, number
from training.report.report_section import ReportSection, ReportTable
from training.report.short_numbers import p_in_words
from training.report.strip_figure import MOST_MARKS, StripRow, strip_svg

MOST_NAMED: Final = 12
# More levels times runs than this make a drawing that nobody reads.
MOST_GROUP_ROWS: Final = 24
# Of the measures, those that are drawn by site, group and arm; the table has all.
_DRAWN_BY_GROUP: Final = ("mean_framewise_displacement_mm", "median_temporal_snr")
_MARK_OF_STATUS: Final = {"ok": "ok", "flagged": "flagged"}
_KEY: Final = (
    "Dots are participants within every limit, diamonds flagged and triangles refused ones (for any reason); the box "
    "holds the middle half, its line is the median, whiskers reach 1.5 interquartile ranges."
)


def cohort_quality_sections(quality: CohortQuality) -> list[ReportSection]:
    """Return the sections that have something to show, in the order of the page."""
    found = (
        _reasons(quality),
        _distributions(quality),
        *_groups(quality),
        _coverage(quality),
        *feature_quality_sections(quality),
        _reading(),
    )
    return [section for section in found if section is not None]


def _reasons(quality: CohortQuality) -> ReportSection:
    by_code: dict[tuple[str, str], list[str]] = {}
    for person in quality.people:
        for code, severity in sorted({(reason.code, reason.severity) for reason in person.reasons}):
            by_code.setdefault((code, severity), []).append(person.participant_id)
    words = {"fail": "failed", "refuse": "refused", "flag": "flagged"}
    order = {name: place for place, name in enumerate(words)}
    ranked = sorted(by_code.items(), key=lambda item: (order.get(item[0][1], 9), -len(item[1]), item[0]))
    rows = [(code, words.get(kind, kind), str(len(names)), _named(names)) for (code, kind), names in ranked]
    far = sorted({one.participant_id for one in quality.stand_out})
    for title, names in (("far from the cohort", far), ("unusual features", sorted(quality.far_features))):
        if names:
            rows.append((title, "stands out", str(len(names)), _named(names)))
    rows += [("same input twice", "stands out", str(len(twins)), _named(twins)) for twins in quality.twins]
    if not rows:
        return ReportSection("reasons", "Reasons", ("Nobody is flagged, refused or failed, and nobody stands out.",))
    table = ReportTable("Reasons", ("Reason", "Means", "People", "Who"), tuple(rows), frozenset({2}))
    said = (
        f"Far from the cohort: a number worse than the quartile by {FAR_OUT:g} interquartile ranges. Unusual features: "
        "more than 5 % of a person's features lie four robust standard deviations from the median, as after a failed "
        "registration. Both compare people with each other, so a cohort that is bad throughout has none."
    )
    return ReportSection("reasons", "Reasons", (said,), tables=(table,))


def _distributions(quality: CohortQuality) -> ReportSection | None:
    figures = tuple(_measure_figure(quality, measure) for measure in quality.measures)
    if not figures:
        return None
    said = [f"{_KEY} Point at a mark to see whose it is; a click opens the report, or finds the row above."]
    if len(figures) < len(MEASURES) - 1:
        said.append("Tables of region signals know neither coverage nor signal-to-noise.")
    return ReportSection("distributions", "Every run", tuple(said), figures=figures)


def _measure_figure(quality: CohortQuality, measure: QualityMeasure) -> DrawnFigure:
    names = [person.participant_id for person in quality.people]
    marks = [_MARK_OF_STATUS.get(person.status, "refused") for person in quality.people]
    rows = [StripRow(run, values_by_person(quality.people, measure.key, run), names, marks) for run in quality.runs]
    limits = tuple(dict.fromkeys(limit for run in quality.runs for limit in measure.limits_for(run)))
    svg = strip_svg(
        rows, title=measure.title, label=measure.axis_label, unit=measure.unit, digits=measure.digits, limits=limits
    )
    said = [f"{'Lower' if measure.is_low_good else 'Higher'} is better.", _limits_in_words(measure, limits)]
    if len(names) > MOST_MARKS:
        said.append("With so many people only those flagged or refused have a mark.")
    return DrawnFigure(measure.key, measure.title, " ".join(filter(None, said)), svg)


def _limits_in_words(measure: QualityMeasure, limits: Sequence[tuple[str, float]]) -> str:
    if not limits:
        return "There is no limit."
    side = "above" if measure.is_low_good else "below"
    named = listed([f"{'flagged' if name == 'flag' else 'refused'} {side} {at:g}" for name, at in limits])
    about = f" ({measure.only_kind} only)" if measure.only_kind else ""
    return f"Limits{about}: {named}."


def _groups(quality: CohortQuality) -> Iterator[ReportSection]:
    """Yield one section per column of participants.tsv that tells people apart."""
    for column in quality.columns:
        found = [one for one in quality.differences if one.column == column]
        drawn = [
            figure
            for key in _DRAWN_BY_GROUP
            if (figure := _group_figure(quality, str(column), [one for one in found if one.measure.key == key]))
        ]
        said = (
            f"By {column}, from participants.tsv. A difference in quality between groups can pass for a difference "
            "between brains: a model may learn the scanner or the motion instead. The p values (Kruskal-Wallis, not "
            f"corrected; from {FEWEST_SHOWN} people per level) are for finding such differences; a large one does not "
            "show that there is none."
        )
        tables = (_status_table(quality, str(column)), *_group_tables(found))
        yield ReportSection(f"by-{column}", f"By {column}", (said,), figures=tuple(drawn), tables=tables)


def _group_figure(quality: CohortQuality, column: str, found: Sequence[GroupDifference]) -> DrawnFigure | None:
    n_rows = sum(len(one.levels) for one in found)
    if not 0 < n_rows <= MOST_GROUP_ROWS:
        return None
    measure, levels = found[0].measure, quality.columns[column].to_numpy(dtype=object)
    names = [person.participant_id for person in quality.people]
    marks = [_MARK_OF_STATUS.get(person.status, "refused") for person in quality.people]
    rows = []
    for one in found:
        values = values_by_person(quality.people, measure.key, one.run)
        for level in one.levels:
            of_level = np.where(levels == level.level, values, np.nan)
            label = f"{one.run}, {level.level} ({level.n_people})"
            rows.append(StripRow(label, of_level, names, marks, has_dots=False))
    title = f"{measure.title} by {column}"
    svg = strip_svg(rows, title=title, label=measure.axis_label, unit=measure.unit, digits=measure.digits)
    caption = f"Run, {column} and number of people. Only flagged and refused people have a mark of their own."
    return DrawnFigure(f"{measure.key}-{column}", title, caption, svg)


def _status_table(quality: CohortQuality, column: str) -> ReportTable:
    levels = quality.columns[column]
    statuses = ("ok", "flagged", "refused", "failed")
    rows = []
    for level in sorted(set(levels.dropna())):
        members = [one for one in quality.people if levels.get(one.participant_id) == level]
        counts = [sum(person.status == status for person in members) for status in statuses]
        rows.append((str(level), str(len(members)), *map(str, counts)))
    n_unknown = int(levels.isna().sum())
    if n_unknown:
        members = [one for one in quality.people if not isinstance(levels.get(one.participant_id), str)]
        counts = [sum(person.status == status for person in members) for status in statuses]
        rows.append(("not told", str(n_unknown), *map(str, counts)))
    header = (column.capitalize(), "People", "Within every limit", "Flagged", "Refused", "Failed")
    return ReportTable(f"Status by {column}", header, tuple(rows), frozenset(range(1, 6)))


def _group_tables(found: Sequence[GroupDifference]) -> Iterator[ReportTable]:
    if not found:
        return
    names = list(dict.fromkeys(level.level for one in found for level in one.levels))
    rows = []
    for one in found:
        shown = {level.level: level for level in one.levels}
        cells = [_spread(shown.get(name), one.measure.digits) for name in names]
        p_value = "–" if one.p_value is None else p_in_words(one.p_value)
        rows.append((f"{one.measure.axis_label}, {one.run}", *cells, p_value))
    title = f"Median and quartiles by {found[0].column}"
    numbers = frozenset(range(1, len(names) + 2))
    yield ReportTable(title, ("Measure and run", *names, "p"), tuple(rows), numbers)


def _spread(level: object, digits: int) -> str:
    if level is None:
        return "–"
    middle, lower, upper = (number(getattr(level, name), digits=digits) for name in ("median", "lower", "upper"))
    return f"{middle} [{lower}, {upper}]"


def _coverage(quality: CohortQuality) -> ReportSection | None:
    """Return the regions that some scan does not cover whole; none where coverage is not known."""
    whole, rows = 0, []
    for run in quality.runs:
        regions = dict.fromkeys(name for person in quality.people for name in person.coverage.get(run, {}))
        for region in regions:
            shares = _known_shares(quality.people, run, region)
            if not shares:
                continue
            if min(shares) == 1:
                whole += 1
                continue
            low = sum(share < LIMITS.flag_coverage for share in shares)
            partial = sum(share < 1 for share in shares)
            rows.append((f"{region_in_words(region)}, {run}", len(shares), partial, low, in_percent(min(shares))))
    if not rows and not whole:
        return None
    rows.sort(key=lambda row: (-row[3], -row[2], row[0]))
    said = (
        f"{whole} of {whole + len(rows)} regions and runs are covered completely in everyone. Signal loss near the "
        "air-filled cavities often takes part of the amygdala and of vmPFC; whoever lacks them differs from the others "
        "in more than the scan."
    )
    header = ("Region and run", "People", "Covered in part", f"Below {LIMITS.flag_coverage:g}", "Lowest")
    shown = tuple((str(name), *map(str, counts)) for name, *counts in rows[:40])
    tables = (ReportTable("Regions that are not covered completely", header, shown, frozenset({1, 2, 3, 4})),)
    return ReportSection("coverage", "Coverage of the regions", (said,), tables=tables if rows else ())


def _known_shares(people: Sequence[PersonQuality], run: str, region: str) -> list[float]:
    found = [person.coverage.get(run, {}).get(region) for person in people]
    return [share for share in found if share is not None]


def _reading() -> ReportSection:
    points = (
        "Nobody is left out by this page: flagged people stay in the table, refused ones are for the experiment to "
        "decide on. Deciding after a look at outcomes or at a model's errors makes results too good.",
        "Limits come from studies of healthy adults; where patients move more than controls, one limit for both takes "
        "more patients away.",
        "Numbers over people are not corrected for how many are shown.",
    )
    return ReportSection("reading", "How to read this page", points=points)


def _named(names: Sequence[str]) -> str:
    shown = ", ".join(names[:MOST_NAMED])
    return f"{shown} and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else shown
