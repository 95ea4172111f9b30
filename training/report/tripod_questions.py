"""What TRIPOD+AI asks a report of a prediction model to say: 27 items, 52 with their parts, in words of our own.

References
----------
Collins GS et al. (2024). TRIPOD+AI statement: updated guidance for reporting clinical prediction models that use
regression or machine learning methods. BMJ 385:e078378.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Applies = Literal["development", "evaluation", "both"]


@dataclass(frozen=True, slots=True)
class Question:
    """One item, or a part of one."""

    item: str  # "1" to "27c"
    section: str
    applies: Applies
    asks: str


_SECTIONS: dict[str, tuple[tuple[str, Applies, str], ...]] = {
    "Title": (("1", "both", "That a multivariable prediction model is developed or evaluated, for whom, of what."),),
    "Abstract": (("2", "both", "An abstract by TRIPOD+AI's own list for abstracts."),),
    "Background": (
        ("3a", "both", "Health context, reasons for the model, and models that exist already."),
        ("3b", "both", "Target population, purpose in the path of care, intended users."),
        ("3c", "both", "Known health inequalities between groups of people."),
    ),
    "Objectives": (("4", "both", "Aims, and whether this is development, validation or both."),),
    "Data": (
        ("5a", "both", "Sources of the data for development and evaluation, why these, how representative."),
        ("5b", "both", "Dates of enrolment, first and last, and end of follow-up."),
    ),
    "Participants": (
        ("6a", "both", "Setting, with number and place of the centres."),
        ("6b", "both", "Who was eligible."),
        ("6c", "both", "Treatments that people received, and how the model deals with them."),
    ),
    "Data preparation": (("7", "both", "Preprocessing and quality checks, and whether alike across groups."),),
    "Outcome": (
        ("8a", "both", "Outcome and time horizon, how and when assessed, why this one, alike across groups or not."),
        ("8b", "both", "Qualification and background of the assessors, where judgement is needed."),
        ("8c", "both", "Blinding of the outcome's assessment."),
    ),
    "Predictors": (
        ("9a", "development", "How the first set of predictors was chosen, and any selection before modelling."),
        ("9b", "both", "Definition of every predictor, how and when it was measured, and any blinding."),
        ("9c", "both", "Qualification and background of those who assessed predictors, where judgement is needed."),
    ),
    "Sample size": (("10", "both", "How the number of people was arrived at, and why it suffices."),),
    "Missing data": (("11", "both", "How missing data were handled, and why any were left out."),),
    "Analysis": (
        ("12a", "development", "How the data were used for development and evaluation, and how they were divided."),
        ("12b", "development", "How predictors entered the analysis: form, scaling, transformation."),
        ("12c", "development", "Kind of model, why, all steps of building and tuning it, internal validation."),
        ("12d", "both", "How differences between clusters, such as sites, were handled and measured."),
        ("12e", "both", "Measures and figures of performance, and how models were compared."),
        ("12f", "evaluation", "Updating of the model after evaluation."),
        ("12g", "evaluation", "How predictions were calculated for the evaluation."),
    ),
    "Class imbalance": (("13", "both", "Methods against class imbalance, and how predictions were recalibrated."),),
    "Fairness": (("14", "both", "What was done for fairness, and why."),),
    "Model output": (("15", "development", "What the model puts out, and where thresholds come from."),),
    "Training against evaluation": (
        ("16", "both", "Differences between development and evaluation in setting, eligibility, outcome, predictors."),
    ),
    "Ethical approval": (("17", "both", "Committee that approved the study, and consent or its waiver."),),
    "Open science": (
        ("18a", "both", "Funding, and the funders' part in the study."),
        ("18b", "both", "Conflicts of interest of all authors."),
        ("18c", "both", "Where the protocol is, or that there is none."),
        ("18d", "both", "Register and number, or that the study was not registered."),
        ("18e", "both", "Availability of the data."),
        ("18f", "both", "Availability of the code."),
    ),
    "Patient and public involvement": (("19", "both", "Involvement of patients and the public, or none."),),
    "Results: participants": (
        ("20a", "both", "Flow of people through the study, with and without the outcome, and follow-up time."),
        ("20b", "both", "Characteristics of the people, by source where it applies, with missing data."),
        ("20c", "evaluation", "Comparison of the evaluation data with the development data."),
    ),
    "Results: development": (("21", "both", "Number of people, and of events, in each analysis."),),
    "Results: specification": (
        ("22", "development", "The full model, so that others can predict with it, and restrictions of its use."),
    ),
    "Results: performance": (
        ("23a", "both", "Performance with confidence intervals, in subgroups too."),
        ("23b", "both", "Differences of performance between clusters, if examined."),
    ),
    "Results: updating": (("24", "evaluation", "Results of updating the model."),),
    "Interpretation": (("25", "both", "What the results mean, fairness included, beside aims and earlier studies."),),
    "Limitations": (("26", "both", "Limits, and what they do to bias, uncertainty and generalisation."),),
    "Usability": (
        ("27a", "development", "How poor or missing input is recognised and handled in use."),
        ("27b", "development", "What users have to do, and what they need to know."),
        ("27c", "both", "Next steps, with applicability and generalisation in view."),
    ),
}  # fmt: skip

QUESTIONS = tuple(
    Question(item, section, applies, asks) for section, items in _SECTIONS.items() for item, applies, asks in items
)
