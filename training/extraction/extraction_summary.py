"""What became of a cohort, at the end of an extraction: how many are ok, flagged, refused or failed, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from predictor.console import duration, table
from predictor.record_card import counted
from training.extraction.feature_table import ExtractionSummary, FailedVisit
from training.extraction.visit_result import read_document, result_path

_STATES: Final = ("ok", "flagged", "refused")
_SHOWN_PEOPLE: Final = 6


def summary_lines(summary: ExtractionSummary, out: Path, *, seconds: float) -> Iterator[str]:
    """Yield the table that closes an extraction.

    Parameters
    ----------
    summary
        What was computed, was there before, or failed.
    out
        Where the results stand; each is read once more, one at a time.
    seconds
        What the extraction took.
    """
    states = _states([*summary.extracted, *summary.skipped], out)
    n_people = {state: len(states.get(state, ())) for state in _STATES}
    rows = [(state, str(n_people[state]), _counted(code for codes in states.get(state, ()) for code in codes))
            for state in _STATES]  # fmt: skip
    rows.append(("failed", str(len(summary.failed)), _of_failures(summary.failed)))
    yield f"{counted(sum(n_people.values()) + len(summary.failed), 'visit')} in {duration(seconds)}"
    yield from table([row for row in rows if row[1] != "0"]).splitlines()


def _states(participants: Iterable[str], out: Path) -> Mapping[str, list[tuple[str, ...]]]:
    """Return the codes of the reasons of everyone, by state."""
    found: dict[str, list[tuple[str, ...]]] = {}
    for participant in participants:
        document = read_document(result_path(out, participant))
        codes = tuple(sorted({str(reason["code"]) for reason in document["reasons"]}))
        found.setdefault(document["status"], []).append(codes)
    return found


def _counted(codes: Iterable[str]) -> str:
    """Return "motion-high 5, coverage-low 1", the most frequent first."""
    return ", ".join(f"{code} {n}" for code, n in Counter(codes).most_common())


def _of_failures(failed: Iterable[FailedVisit]) -> str:
    """Return "scan-truncated 2 (sub-01, sub-07)"."""
    by_code: dict[str, list[str]] = {}
    for failure in failed:
        by_code.setdefault(failure.code, []).append(failure.participant_id)
    return ", ".join(f"{code} {len(people)} ({_named(people)})" for code, people in by_code.items())


def _named(people: list[str]) -> str:
    rest = f" and {len(people) - _SHOWN_PEOPLE} more" if len(people) > _SHOWN_PEOPLE else ""
    return ", ".join(people[:_SHOWN_PEOPLE]) + rest
