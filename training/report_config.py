"""The section [report] of an experiment file: what no run can know about its study."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from predictor.errors import ConfigError

MAX_TEXT_LENGTH = 4000  # of one entry: the card goes with every model


@dataclass(frozen=True, slots=True)
class ReportConfig:
    """What only people know, for the model card and the TRIPOD+AI table; whatever is empty is shown there as a gap.

    Nothing here changes a number. Write "none" where there is none: an empty entry says that nobody was asked.
    """

    authors: tuple[str, ...] = ()
    rationale: str = ""  # why this is to be predicted, and which models exist already
    inequalities: str = ""  # known differences in health or care between groups of people
    data_source: str = ""  # where the data come from, why these, whom they represent
    setting: str = ""  # kind, number and place of the centres
    study_dates: str = ""  # first and last enrolment, last follow-up
    eligibility: str = ""  # who could take part
    treatments: str = ""  # what people were given besides the arms
    outcome_assessment: str = ""  # when and how the outcome was assessed, and the time horizon
    assessors: str = ""  # who assessed it, with what training
    blinding: str = ""  # what they did not know
    sample_size: str = ""  # how the number of people was arrived at
    protocol: str = ""
    registration: str = ""  # register and number
    ethics: str = ""  # committee and consent
    funding: str = ""
    conflicts: str = ""
    data_availability: str = ""
    code_availability: str = ""
    patient_involvement: str = ""
    interpretation: str = ""  # what the authors conclude
    notes: str = ""

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if sum(map(len, value)) > MAX_TEXT_LENGTH:
                place = f"[report] {name}"
                raise ConfigError(f"{place} is too long; expected at most {MAX_TEXT_LENGTH} characters.", where=place)
