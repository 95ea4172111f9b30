"""Sections of a cohort's quality page on its features: what is missing, what follows motion, what is reliable."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from predictor.report.wording import KIND_IN_WORDS, in_percent, place_and_kind
from training.cohort_quality.cohort_quality import CohortQuality
from training.cohort_quality.motion_correlation import MotionCorrelation
from training.report.figure_frame import DrawnFigure
from training.report.record_reading import number
from training.report.report_section import ReportSection, ReportTable
from training.report.short_numbers import p_in_words
from training.report.strip_figure import StripRow, strip_svg


def feature_quality_sections(quality: CohortQuality) -> list[ReportSection]:
    """Return the sections that have something to show, in the order of the page."""
    found = (_gaps(quality), _motion(quality), _reliability(quality))
    return [section for section in found if section is not None]


def _gaps(quality: CohortQuality) -> ReportSection | None:
    if not quality.gaps:
        return None
    rows = tuple(
        (
            KIND_IN_WORDS.get(one.family, one.family.replace("_", " ").capitalize()),
            str(one.n_features), str(one.n_whole), str(one.n_in_part), str(one.n_without), one.common_reason or "–",
        )
        for one in quality.gaps
    )  # fmt: skip
    header = ("Family", "Features", "People with all", "With some", "With none", "Most frequent reason")
    table = ReportTable("Missing features by family", header, rows, frozenset({1, 2, 3, 4}))
    said = (
        "Missing features are filled in by training, inside every fold, or the person is left out, as the experiment "
        "says. A feature is rarely missing by chance: compare who lacks it."
    )
    return ReportSection("gaps", "Missing features", (said,), tables=(table,))


def _motion(quality: CohortQuality) -> ReportSection | None:
    title = "Head motion in the features"
    if not quality.motion:
        gap = "it needs ten people with known motion and complete features."
        return ReportSection("motion", title, gaps=(gap,))
    said = (
        "Correlation of each feature over people with mean framewise displacement of its runs (QC-FC). "
        "Chance: motion permuted over people 1,000 times with the features kept together. Nothing is adjusted for, so "
        "age, diagnosis or site may stand behind a correlation; and none does not mean that motion left no trace.",
        "Where the p value is small, try another confound strategy or a stricter limit for censoring, and look at the "
        "model that has motion alone as its input (a baseline of every experiment).",
    )
    figure = _motion_figure(quality.motion)
    header = (
        "Family", "People", "Features", "Median |r|", "By chance", "95 % of chance", "p", "Features with p < .05",
        "With distance: r", "p",
    )  # fmt: skip
    rows = tuple(_motion_row(one) for one in quality.motion)
    table = ReportTable("Head motion in the features, by family", header, rows, frozenset(range(1, 10)))
    points = (
        "Features with p < .05: 5 % are expected by chance. With distance: whether correlations with motion depend on "
        "how far the regions lie apart, the trace that motion usually leaves (Ciric 2017, Parkes 2018).",
    )
    return ReportSection("motion", title, said, figures=(figure,), points=points, tables=(table,))


def _motion_figure(found: Sequence[MotionCorrelation]) -> DrawnFigure:
    rows = []
    for one in found:
        marks = ["flagged" if abs(r) > one.critical_r else "ok" for r in one.r.tolist()]
        named = [_connection(name) for name in one.features]
        rows.append(StripRow(_family(one.family), one.r, named, marks))
    title = "Correlation of every feature with head motion"
    svg = strip_svg(rows, title=title, label="Pearson r over people", limits=(("", 0.0),))
    caption = (
        "One mark per feature; diamonds lie beyond the r that a lone feature reaches by chance in one of twenty "
        "(p < .05, not corrected). A cloud around 0 is as it should be; a cloud beside it follows motion as a whole."
    )
    return DrawnFigure("motion-correlation", title, caption, svg)


def _motion_row(one: MotionCorrelation) -> tuple[str, ...]:
    distance = (
        ("–", "–") if one.distance_r is None else (number(one.distance_r, signed=True), p_in_words(one.distance_p))
    )
    return (
        _family(one.family),
        str(one.n_people),
        str(len(one.features)),
        number(one.median_abs_r, digits=3),
        number(one.null_median_abs_r, digits=3),
        number(one.null_95, digits=3),
        p_in_words(one.p_value),
        in_percent(one.share_beyond),
        *distance,
    )


def _reliability(quality: CohortQuality) -> ReportSection | None:
    known = quality.reliability
    if known.empty or not np.isfinite(known["spearman_brown"].to_numpy(dtype=np.float64)).any():
        return None
    rows, table = [], []
    for family, part in known.groupby("family", sort=False):
        values = part["spearman_brown"].to_numpy(dtype=np.float64)
        from_errors = part["reliability"].to_numpy(dtype=np.float64)
        if not np.isfinite(values).any():
            continue
        named = [_connection(str(name)) for name in part["feature"]]
        rows.append(StripRow(_family(str(family)), values, named, ["ok"] * len(values)))
        table.append((_family(str(family)), str(len(values)), _median(values), _median(from_errors)))
    title = "Split-half reliability of every feature"
    svg = strip_svg(rows, title=title, label="Spearman-Brown corrected correlation of the halves of a run")
    caption = (
        "One dot per feature. Around 0 the halves of a run disagree about who is high and who is low, so little can be "
        "predicted from such a feature alone; features below 0 are chance. It is agreement within one visit, not "
        "between visits."
    )
    header = ("Family", "Features", "Median of the halves", "Median from standard errors")
    return ReportSection(
        "reliability",
        "Reliability",
        ("Training chooses reliable features anew inside every fold; this table is for looking only.",),
        figures=(DrawnFigure("reliability", title, caption, svg),),
        tables=(ReportTable("Reliability by family", header, tuple(table), frozenset({1, 2, 3})),),
    )


def _family(name: str) -> str:
    return KIND_IN_WORDS.get(name, name.replace("_", " ").capitalize())


def _connection(feature: str) -> str:
    return place_and_kind(feature)[0]


def _median(values: NDArray[np.float64]) -> str:
    known = values[np.isfinite(values)]
    return number(float(np.median(known)) if len(known) else None)
