"""How an item of TRIPOD+AI is answered: by the run, by what people wrote, or by saying what is missing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from training.report.record_parts import Document, part, said

Source = Literal["run", "people"]

SIMULATED = "the people are simulated; nobody was measured or asked"
SAME_PEOPLE = (
    "development with internal validation: the same people train and judge, in turns; a locked test in other people "
    "has a report of its own"
)
NO_UPDATING = "nothing is updated after an evaluation: a bundle never changes, another model is another version"


@dataclass(frozen=True, slots=True)
class Answer:
    """What an item is answered with, what is missing from it, or why it does not apply.

    `source` says who has to answer: what people have to write down is no fault of the run.
    """

    text: str = ""
    missing: str = ""
    not_applicable: str = ""
    source: Source = "run"


AnswerMaker = Callable[[Document], Answer]


def by_people(entry: str, what: str, *, of_real_people: bool = False) -> AnswerMaker:
    """Answer with what people wrote; `of_real_people` does not apply to a simulated cohort."""

    def answer(document: Document) -> Answer:
        text = said(document, entry)
        if not text and of_real_people and document.get("is_synthetic"):
            return Answer(not_applicable=SIMULATED)
        return Answer(text, "" if text else f"{what} ([report] {entry})", source="people")

    return answer


def fixed(text: str) -> AnswerMaker:
    """Answer with what is true of every model of this software."""
    return lambda document: Answer(text)


def not_applicable(reason: str) -> AnswerMaker:
    """Say why an item does not apply to any run."""
    return lambda document: Answer(not_applicable=reason)


def completed(text: str, document: Document, entry: str, what: str) -> Answer:
    """Return what the run knows, completed by what people wrote, else with that named as missing."""
    addition = said(document, entry)
    return Answer(f"{text} {addition}".strip(), "" if addition else f"{what} ([report] {entry})", source="people")


def are_sites_left_out(document: Document) -> bool:
    """Whether models were judged at sites that they had not seen."""
    return part(document, "config", "validation").get("scheme") == "leave_one_site_out"
