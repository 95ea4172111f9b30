"""Answers to TRIPOD+AI's items on aims, data, ethics and open science (items 1 to 9 and 17 to 19).

They come from the document of an experiment record. An answer never guesses: what only people know comes from the
section [report] of the experiment file, and is named as missing otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping

from training.report.record_parts import (
    Document,
    counts,
    first_model,
    number,
    part,
    rows,
)
from training.report.tripod_answers import (
    SIMULATED,
    Answer,
    AnswerMaker,
    by_people,
    completed,
)


def _title(document: Document) -> Answer:
    model, outcome = first_model(document), part(document, "outcome")
    if not model or not outcome:
        return Answer(missing="model and outcome")
    return Answer(
        f"Development and internal validation of a multivariable model ({model.get('name')}) that predicts "
        f"{outcome.get('name')} from the baseline visit. {_people(document)}"
    )


def _people(document: Document) -> str:
    cohort = part(document, "cohort")
    kind = "Simulated people" if document.get("is_synthetic") else "Target population: people like those of the cohort"
    return f"{kind} {cohort.get('name')!r} (n = {cohort.get('n_participants')})."


def _objectives(document: Document) -> Answer:
    model = first_model(document)
    if not model:
        return Answer(missing="the models")
    is_primary = model.get("role") == "primary"
    how = "was named before fitting" if is_primary else "won a competition; none was named before"
    baselines = ", ".join(str(one.get("name")) for one in rows(document, "models") if one.get("role") == "baseline")
    return Answer(f"Development; {model.get('name')} {how}. Does it predict better than {baselines or 'no baseline'}?")


def _sources(document: Document) -> Answer:
    cohort = part(document, "cohort")
    if not cohort:
        return Answer(missing="the cohort")
    text = f"One cohort, {cohort.get('name')}, serves development and internal validation."
    if document.get("is_synthetic"):
        return Answer(f"{text} It is simulated, to try out the methods, and represents no patients.")
    return completed(text, document, "data_source", "why these data, and whom they represent")


def _setting(document: Document) -> Answer:
    sites = part(document, "cohort", "n_per_site")
    known = f"{len(sites)} sites: {counts(sites)}." if sites else ""
    if document.get("is_synthetic") and known:
        return Answer(f"Simulated. {known}")
    return completed(known, document, "setting", "kind and place of the centres")


def _eligibility(document: Document) -> Answer:
    include = part(document, "config", "cohort", "include")
    chosen = ", ".join(f"{column} is {value}" for column, value in include.items())
    text = f"Analysed: people of the cohort{' whose ' + chosen if chosen else ''}."
    if document.get("is_synthetic"):
        return Answer(f"Simulated. {text}")
    return completed(text, document, "eligibility", "criteria of the study")


def _treatments(document: Document) -> Answer:
    covariates, arms = part(document, "config", "covariates"), part(document, "cohort", "n_per_arm")
    if not covariates.get("arm"):
        return completed("No column of the treatment is named.", document, "treatments", "what people were given")
    how = "with interactions arm x feature" if covariates.get("interactions") else "without interactions"
    text = f"Arms: {counts(arms)}; the arm enters the model unpenalised, {how}, and every arm is answered for."
    if document.get("is_synthetic"):
        return Answer(text)
    return completed(text, document, "treatments", "treatments besides")


def _preparation(document: Document) -> Answer:
    features = part(document, "features")
    if not features:
        return Answer(missing="the features")
    made = "by one recipe for everyone" if features.get("recipe") else "outside this software, as a ready table"
    floor = part(document, "config", "features").get("minimum_reliability") or 0
    return Answer(
        f"Features were made {made}. Visits without usable features left out: "
        f"{part(document, 'cohort').get('n_left_out')}. Floor of reliability in training: {number(floor)}. "
        f"Site effects are {'taken out in every fold' if features.get('harmonization') else 'not taken out'}.",
        "" if features.get("recipe") else "how the ready table was made",
    )


def _outcome(document: Document) -> Answer:
    outcome = part(document, "outcome")
    if not outcome:
        return Answer(missing="the outcome")
    rule = f"; a response is {outcome['response_rule']}" if outcome.get("response_rule") else ""
    text = f"{outcome.get('name')} in {outcome.get('unit')}, {outcome.get('better')} is better{rule}."
    if document.get("is_synthetic"):
        return Answer(f"{text} Simulated.")
    return completed(text, document, "outcome_assessment", "how and when it was assessed, time horizon, reasons")


def _families(document: Document) -> str:
    found = part(document, "features", "families")
    return "; ".join(f"{name}: {one.get('n')} in {one.get('unit')}" for name, one in found.items())


def _choice_of_predictors(document: Document) -> Answer:
    features = part(document, "config", "features")
    if not part(document, "features"):
        return Answer(missing="the features")
    families = ", ".join(features.get("families") or ()) or "all but quality measures"
    named = features.get("names")
    names = f"{len(named)} measures named in the experiment file" if named else "all of them"
    return Answer(
        f"Families: {families}; of these {names}. The choice stands in the experiment file, which was logged before "
        "fitting; nothing was selected by the outcome outside the folds."
    )


def _predictors(document: Document) -> Answer:
    families = _families(document)
    if not families:
        return Answer(missing="the features")
    covariates = ", ".join(str(one.get("name")) for one in rows(part(document, "features"), "covariates")) or "none"
    return Answer(
        f"From the baseline visit, {families}; each is defined by name and unit in the bundle. Besides the scan: "
        f"{covariates}. Features are computed by software that is not given the outcome."
    )


def _assessors_of_predictors(document: Document) -> Answer:
    clinical = rows(part(document, "config", "covariates"), "clinical")
    if not clinical:
        return Answer(not_applicable="all predictors are computed, recorded or assigned; none is judged by a person")
    if document.get("is_synthetic"):
        return Answer(not_applicable=SIMULATED)
    text = "Imaging features are computed; nobody judges them."
    return completed(text, document, "assessors", f"who assessed {', '.join(map(str, clinical))}")


OF_METHODS: Mapping[str, AnswerMaker] = {
    "1": _title,
    "2": lambda document: Answer(
        missing="an abstract, which no run writes; the report begins with a headline", source="people"
    ),
    "3a": by_people("rationale", "health context, reasons, existing models"),
    "3b": lambda document: Answer(
        f"Research use only: no place in the path of care. Intended users: researchers. {_people(document)}"
        if part(document, "cohort") else "", "" if part(document, "cohort") else "the cohort",
    ),
    "3c": by_people("inequalities", "known inequalities"),
    "4": _objectives,
    "5a": _sources,
    "5b": by_people("study_dates", "dates of enrolment and follow-up", of_real_people=True),
    "6a": _setting,
    "6b": _eligibility,
    "6c": _treatments,
    "7": _preparation,
    "8a": _outcome,
    "8b": by_people("assessors", "who assessed the outcome", of_real_people=True),
    "8c": by_people("blinding", "blinding of the outcome's assessment", of_real_people=True),
    "9a": _choice_of_predictors,
    "9b": _predictors,
    "9c": _assessors_of_predictors,
    "17": by_people("ethics", "committee and consent", of_real_people=True),
    "18a": by_people("funding", "funding"),
    "18b": by_people("conflicts", "conflicts of interest"),
    "18c": by_people("protocol", "protocol"),
    "18d": by_people("registration", "registration"),
    "18e": by_people("data_availability", "availability of the data"),
    "18f": by_people("code_availability", "availability of the code"),
    "19": by_people("patient_involvement", "involvement of patients and the public", of_real_people=True),
}  # fmt: skip
