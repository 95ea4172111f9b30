"""Sections of an experiment's report on how far its numbers carry: benefit, intervals, subgroups, power, audit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from training.report.figure_frame import in_words
from training.report.record_reading import digits_for, listed, model_in_words, number, with_interval
from training.report.report_section import Figures, ReportSection, ReportTable, figures_named

Document = Mapping[str, Any]

TOO_FEW = "too few"
MOST_INTERACTIONS = 10


def trust_sections(document: Document, figures: Figures) -> list[ReportSection]:
    """Return these sections in the order of the page."""
    return [
        _benefit(document, figures),
        _coverage(document, figures),
        _subgroups(document, figures),
        _power(document, figures),
        _audit(document),
        ReportSection("limits", "Limits", points=tuple(document["limits"])),
    ]


def _benefit(document: Document, figures: Figures) -> ReportSection:
    benefit = document["benefit"]
    said = f"{benefit['status'][:1].upper() + benefit['status'][1:]}: {benefit['reason']}."
    if "interaction" not in benefit:
        return ReportSection("benefit", "Prognosis or benefit", paragraphs=(said,))
    tables = (_learner_table(benefit), _interaction_table(benefit))
    failed = tuple(f"{name}: {reason}" for name, reason in benefit["failed_learners"].items())
    about = f"Benefit is about {benefit['about']}."
    drawn = figures_named(figures, "benefit")
    return ReportSection("benefit", "Prognosis or benefit", (said, about), failed, drawn, tables=tables)


def _learner_table(benefit: Document) -> ReportTable:
    rows = []
    for name, one in benefit["learners"].items():
        slope, concordance = one["slope"], one["concordance_for_benefit"]
        average = one["average_benefit"]
        rows.append(
            (
                name,
                with_interval(average["estimate"], average["interval"], digits=1),
                with_interval(slope["estimate"], slope["interval"]) if slope else one["slope_missing"],
                with_interval(concordance["value"], concordance) if concordance else "–",
                "; ".join(f"{arm} {number(r2)}" for arm, r2 in one["r2_within_arm"].items()),
            )
        )
    header = ("Learner", f"Mean benefit ({benefit['learner_unit']})", "Slope", "C-for-benefit", "R2 within arm")
    return ReportTable("Learners of benefit", header, tuple(rows), frozenset({1, 2, 3}))


def _interaction_table(benefit: Document) -> ReportTable:
    rows = tuple(
        (in_words(one["feature"]), number(one["slope_difference"], signed=True), number(one["standard_error"]),
         number(one["p_value"], digits=3), number(one["p_family"], digits=3))
        for one in benefit["interaction"]["features"][:MOST_INTERACTIONS]
    )  # fmt: skip
    header = (f"Arm x feature, {MOST_INTERACTIONS} strongest", f"{benefit['unit']} per SD", "SE", "p", "p, family-wise")
    return ReportTable("Arm x feature", header, rows, frozenset({1, 2, 3, 4}))


def _coverage(document: Document, figures: Figures) -> ReportSection:
    found, coverage = figures_named(figures, "coverage"), document["coverage"]
    if coverage is None:
        return ReportSection("coverage", "Intervals", gaps=("too few people to try prediction intervals out.",))
    kept = "is kept" if coverage["is_kept"] else "is not kept"
    said = (
        f"{100 * coverage['promised']:.0f} % intervals held {100 * coverage['realised']:.0f} % of "
        f"{coverage['n_people']} people; their mean width is {coverage['mean_width']:.3g} "
        f"{document['outcome']['unit']}. The promise {kept} within the uncertainty."
    )
    return ReportSection("coverage", "Intervals", paragraphs=(said,), figures=found)


def _subgroups(document: Document, figures: Figures) -> ReportSection:
    rows = tuple(
        (f"{one['column']}: {one['level']}", str(one["n"]), *_subgroup_cells(one)) for one in document["subgroups"]
    )
    if not rows:
        return ReportSection("subgroups", "Subgroups", gaps=("no column tells people apart.",))
    header = ("Subgroup", "n", "R2", "MAE", "Found minus predicted")
    table = ReportTable("Subgroups", header, rows, frozenset({1, 2, 3, 4}))
    return ReportSection("subgroups", "Subgroups", figures=figures_named(figures, "subgroups"), tables=(table,))


def _subgroup_cells(row: Document) -> tuple[str, ...]:
    if row["too_few"] or row["mae"] is None:
        return (TOO_FEW if row["too_few"] else "withheld",) * 3
    digits = digits_for([row["mae"]])
    return number(row["r2"]), number(row["mae"], digits=digits), number(row["bias"], digits=digits, signed=True)


def _power(document: Document, figures: Figures) -> ReportSection:
    power = document["power"]
    wanted = f"{100 * power['wanted_power']:.0f} %"
    found = (power["detectable_r2"], power["detectable_gain"])
    alone, beyond = ("no value below 1" if one is None else f"{one:.2f}" for one in found)
    said = (
        f"With {power['n_participants']} people, an R2 of {alone} is found with a power of {wanted}; beyond the best "
        f"baseline (R2 {power['baseline_r2']:.2f}), a gain of {beyond}. This holds {power['holds']}."
    )
    return ReportSection("power", "Power", paragraphs=(said,), figures=figures_named(figures, "power"))


def _audit(document: Document) -> ReportSection:
    audit = document["audit"]
    steps = f" Steps that leak: {listed(audit['leaking_steps'])}." if audit["leaking_steps"] else ""
    verdict = "No leak was found." if audit["passed"] else f"A leak was found, or isolation is not proven.{steps}"
    points = [
        f"{model_in_words(name)} {'passed' if one['passed'] else 'failed'}: held-out people poisoned, "
        f"{one['fold_isolation']['n_values_compared']:,} fitted values compared in "
        f"{one['fold_isolation']['n_folds']} folds"
        for name, one in audit["models"].items()
    ]
    points += [f"{one['severity']}: {one['message']} ({one['where']}) {one['remedy']}" for one in audit["findings"]]
    return ReportSection("audit", "Audit for leaks", (verdict, audit["not_seen"]), points=tuple(points))
