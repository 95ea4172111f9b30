"""The TRIPOD+AI table of an experiment: every item with the answer that the run gives, or the gap that it leaves.

References
----------
Collins GS et al. (2024). TRIPOD+AI statement: updated guidance for reporting clinical prediction models that use
regression or machine learning methods. BMJ 385:e078378.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from training.report.markdown import plain, table
from training.report.record_parts import Document
from training.report.tripod_answers import Source
from training.report.tripod_of_analysis import OF_ANALYSIS
from training.report.tripod_of_methods import OF_METHODS
from training.report.tripod_of_results import OF_RESULTS
from training.report.tripod_questions import QUESTIONS, Applies, Question

Status = Literal["answered", "partly", "gap", "not applicable"]

ANSWERS = {**OF_METHODS, **OF_ANALYSIS, **OF_RESULTS}
REFERENCE = "Collins et al. (2024), BMJ 385:e078378"


@dataclass(frozen=True, slots=True)
class TripodItem:
    """One item, or a part of one, with its answer."""

    item: str  # "1" to "27c"
    section: str
    applies: Applies
    asks: str
    status: Status
    answer: str  # of a gap: empty; of what is not applicable: why
    missing: str  # what is missing, of a gap or a part of one
    source: Source  # who answers: the run by itself, or people in the section [report]

    def document(self) -> dict[str, Any]:
        """Fields by name, ready for JSON."""
        return asdict(self)


def tripod_table(document: Document) -> list[TripodItem]:
    """Return all 52 rows of the 27 items, in order.

    Parameters
    ----------
    document
        Of an experiment record; what it lacks is a gap.
    """
    return [_answered(question, document) for question in QUESTIONS]


def gaps_of_the_run(items: Iterable[TripodItem | Document]) -> tuple[str, ...]:
    """Return the items that a run must answer by itself and did not; what only people know is no fault of the run.

    Takes rows as `tripod_table` makes them or as a bundle holds them; items that are not there count as gaps.
    """
    found = [item.document() if isinstance(item, TripodItem) else item for item in items]
    answered = {str(row.get("item")) for row in found if row.get("status") != "gap" or row.get("source") == "people"}
    return tuple(question.item for question in QUESTIONS if question.item not in answered)


def tripod_markdown(items: Sequence[TripodItem]) -> str:
    """Return the table for people, gaps in bold."""
    n = Counter(item.status for item in items)
    lines = [
        "# TRIPOD+AI table",
        "",
        "**Research use only.** Filled from the record of the experiment; what nobody said is a gap, never invented.",
        f"Items after {REFERENCE}, in words of our own.",
        "",
        f"{n['answered']} answered, {n['partly']} in part, {n['gap']} gaps, {n['not applicable']} not applicable.",
    ]
    for section in dict.fromkeys(item.section for item in items):
        rows = ((row.item, row.asks, _cell(row)) for row in items if row.section == section)
        # Cells of answers are escaped here, because the mark of a gap must not be.
        lines += ["", f"## {section}", "", *table(("Item", "Asks for", "Answer"), ())]
        lines += [f"| {item} | {plain(asks)} | {cell} |" for item, asks, cell in rows]
    return "\n".join(lines) + "\n"


def _answered(question: Question, document: Document) -> TripodItem:
    found = ANSWERS[question.item](document)
    if found.not_applicable:
        status: Status = "not applicable"
    elif not found.text:
        status = "gap"
    else:
        status = "partly" if found.missing else "answered"
    return TripodItem(
        item=question.item,
        section=question.section,
        applies=question.applies,
        asks=question.asks,
        status=status,
        answer=found.not_applicable or found.text,
        missing=found.missing,
        source=found.source,
    )


def _cell(row: TripodItem) -> str:
    if row.status == "not applicable":
        return f"Not applicable: {plain(row.answer)}"
    gap = f"**GAP**: {plain(row.missing)}" if row.missing else ""
    return " ".join(text for text in (plain(row.answer), gap) if text)
