"""A cohort's quality on one page: who is usable, who needs a look and why, before anything is learned from them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from predictor.report.page_template import page_resource, page_style, page_template, policy_hash
from predictor.report.wording import in_percent
from training.cohort_quality.cohort_quality import CohortQuality
from training.cohort_quality.person_quality import STATUSES, PersonQuality
from training.cohort_quality.quality_measures import QualityMeasure, StandsOut
from training.extraction.visit_reports import report_path
from training.output_files import write_atomically
from training.report.cohort_quality_sections import cohort_quality_sections
from training.report.record_reading import listed, number

PAGE_FILE: Final = "index.html"
# More rows make the file too large to mail; those with something to look at come first.
MOST_ROWS: Final = 2000
_MEASURES_IN_TABLE: Final = 5
_PACKAGE: Final = "training.report"


def write_cohort_page(quality: CohortQuality, out: Path) -> Path:
    """Write `cohort_quality_page` to index.html of a folder, whole or not at all, and return where.

    Raises
    ------
    UsageError
        If the file cannot be written.
    """
    path = out / PAGE_FILE
    write_atomically(path, cohort_quality_page(quality))
    return path


def cohort_quality_page(quality: CohortQuality) -> str:
    """Draw and write up the quality of a cohort.

    Parameters
    ----------
    quality
        Its numbers.

    Returns
    -------
    str
        A whole HTML document, the same for the same input: no clock, no path, no address of another host. It can be
        read without its script, which sorts and searches the table. All text is escaped.
    """
    looks = looks_at(quality)
    ordered = sorted(quality.people, key=lambda one: (STATUSES.index(one.status), not looks[one.participant_id]))
    script = page_resource(_PACKAGE, "cohort_quality.js")
    return page_template(_PACKAGE, "cohort_quality.html").render(
        is_synthetic=quality.is_synthetic,
        headline=headline(quality),
        lead=_lead(quality),
        tiles=tiles(quality, looks),
        participants_said=_participants_said(quality),
        statuses=[status for status in STATUSES if quality.count(status)],
        columns=list(_columns(quality)),
        rows=[_row(person, quality, looks[person.participant_id]) for person in ordered[:MOST_ROWS]],
        n_unlisted=max(0, len(ordered) - MOST_ROWS),
        sections=cohort_quality_sections(quality),
        recipe_hash=quality.recipe_hash,
        style=page_style(_PACKAGE, "experiment_report.css") + page_resource(_PACKAGE, "cohort_quality.css"),
        script=script,
        script_hash=policy_hash(script),
    )


def looks_at(quality: CohortQuality) -> dict[str, list[str]]:
    """Return by participant what somebody should look at: reasons of the status, and what stands out besides."""
    found: dict[str, list[str]] = {
        person.participant_id: [f"{reason.code}: {reason.detail}" for reason in person.reasons]
        for person in quality.people
    }
    for one in quality.stand_out:
        found[one.participant_id].append(_stands_out(one))
    for name, share in quality.far_features.items():
        found[name].append(f"{in_percent(share)} of the features lie far from the cohort's median")
    for names in quality.twins:
        for name in names:
            others = listed([other for other in names if other != name])
            found[name].append(f"same input as {others}, byte for byte")
    return found


def _stands_out(one: StandsOut) -> str:
    measure = one.measure
    # One digit more than elsewhere: the number and what it is beyond must not look the same.
    value, fence = (number(value, digits=measure.digits + 1) for value in (one.value, one.fence))
    unit = f" {measure.unit}" if measure.unit else ""
    side = "above" if measure.is_low_good else "below"
    return f"{one.run}: {_lower(measure.title)} {value}{unit}, {side} {fence}, far from the cohort's"


def headline(quality: CohortQuality) -> str:
    """Return how many people can be used, in one sentence."""
    n_ok, n_people = quality.count("ok"), len(quality.people)
    parts = [f"{quality.count(status)} {status}" for status in reversed(STATUSES[:-1]) if quality.count(status)]
    rest = f"; {listed(parts)}" if parts else ""
    return f"{n_ok} of {n_people} participants are within every limit{rest}."


def _lead(quality: CohortQuality) -> str:
    runs = listed(quality.runs) if quality.runs else "none"
    return (
        f"Runs: {runs}. Made by krp extract before any outcome was looked at; whom to leave out should be decided from "
        "here, and written down, before a model is trained."
    )


def tiles(quality: CohortQuality, looks: Mapping[str, Sequence[str]]) -> list[dict[str, str]]:
    """Return the key numbers with their labels; `looks` as `looks_at` gives it."""
    n_marked = sum(bool(looks[person.participant_id]) for person in quality.people if person.status == "ok")
    n_values = quality.n_features * len(quality.missing_counts)
    n_missing = sum(quality.missing_counts.values())
    found = [(status.capitalize(), str(quality.count(status))) for status in reversed(STATUSES)]
    found[0] = ("Within every limit", found[0][1])
    found += [
        ("Of these, stand out", str(n_marked)),
        ("Features", str(quality.n_features)),
        ("Values missing", f"{n_missing} ({100 * n_missing / n_values:.1f} %)" if n_values else "–"),
    ]
    return [{"label": label, "value": value} for label, value in found]


def _participants_said(quality: CohortQuality) -> str:
    n_reports = sum(person.has_report for person in quality.people)
    said = (
        "Whoever needs a look stands first. Of several runs the worst number is shown; coloured numbers are beyond the "
        "limit of a flag. Limits are those of the service, and none of them is a verdict on a person."
    )
    if n_reports:
        return f"{said} A participant's name opens the report of the visit ({n_reports} are there)."
    return f"{said} For a report of every visit behind its name: krp extract DIR OUT group --reports."


def _columns(quality: CohortQuality) -> Iterator[dict[str, Any]]:
    yield {"title": "Participant", "unit": "", "is_number": False}
    yield {"title": "Status", "unit": "", "is_number": False}
    yield {"title": "Why, or what stands out", "unit": "", "is_number": False}
    for measure in _shown_measures(quality):
        yield {"title": measure.short, "unit": measure.unit, "is_number": True}
    yield {"title": "Missing", "unit": "features", "is_number": True}
    for name in quality.columns:
        yield {"title": str(name).capitalize(), "unit": "", "is_number": False}


def _row(person: PersonQuality, quality: CohortQuality, looks: Sequence[str]) -> dict[str, Any]:
    name = person.participant_id
    cells = [_number(person, measure) for measure in _shown_measures(quality)]
    n_missing = quality.missing_counts.get(name)
    missing = "–" if n_missing is None else str(n_missing)
    cells.append({"text": missing, "value": n_missing, "is_number": True, "is_bad": False})
    cells += [_word(quality.columns.at[name, column]) for column in quality.columns]
    href = quote(report_path(Path(), name).name) if person.has_report else ""
    return {"name": name, "href": href, "status": person.status, "cells": cells, "looks": looks}


def _word(value: object) -> dict[str, Any]:
    return {"text": value if isinstance(value, str) else "–", "value": None, "is_number": False}


def _number(person: PersonQuality, measure: QualityMeasure) -> dict[str, Any]:
    known = {run: value for run, found in person.runs.items() if (value := found.get(measure.key)) is not None}
    value = measure.worst(list(known.values()))
    return {
        "text": number(value, digits=measure.digits),
        "value": None if value is None else f"{value:.6g}",
        "is_number": True,
        "is_bad": any(measure.is_beyond(value, run) for run, value in known.items()),
    }


def _shown_measures(quality: CohortQuality) -> tuple[QualityMeasure, ...]:
    return quality.measures[:_MEASURES_IN_TABLE]


def _lower(words: str) -> str:
    return words if words[1:2].isupper() else words[:1].lower() + words[1:]
