"""Answers to TRIPOD+AI's items on aims, methods and open science (items 1 to 19).

They come from the document of an experiment record. An answer never guesses: what only people know comes from the
section [report] of the experiment file, and is named as missing otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping

from predictor.model.prediction import INTERVAL_LEVEL
from training.model_names import CLASSIFIERS, LINEAR_MODELS
from training.report.record_parts import (
    Document,
    counts,
    first_model,
    number,
    part,
    percent,
    rows,
)
from training.report.tripod_answers import (
    NO_EVALUATION,
    SIMULATED,
    Answer,
    AnswerMaker,
    by_people,
    completed,
    fixed,
    not_applicable,
)

# Their covariates are not penalised; see training/penalised_regression.py.
PENALISED = ("elastic_net", "ridge", "lasso")


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


def _sample_size(document: Document) -> Answer:
    power = part(document, "power")
    if not power:
        return Answer(missing="number of people and power")
    lowest, gain = (number(power.get(name), decimals=2) for name in ("detectable_r2", "detectable_gain"))
    text = (
        f"{power.get('n_participants')} people; an R2 of {lowest} is found with a power of "
        f"{percent(power.get('wanted_power'))}, {gain} beyond the best baseline."
    )
    if document.get("is_synthetic"):
        return Answer(f"{text} The number of simulated people was set.")
    return completed(text, document, "sample_size", "how the number of people was arrived at")


def _missing_data(document: Document) -> Answer:
    cohort = part(document, "cohort")
    if "missing" not in cohort:
        return Answer(missing="shares of missing data")
    shares = ", ".join(f"{name} {100 * share:.1f} %" for name, share in part(cohort, "missing").items() if share)
    without = part(document, "config", "cohort").get("exclude_missing_outcome")
    return Answer(
        f"Missing values: {shares or 'none'}. Missing numbers take the median, missing categories the shares, of the "
        f"training people of the fold. Left out for want of usable features: {cohort.get('n_left_out')}. People "
        f"without an outcome {'are left out, on purpose' if without else 'would have been an error'}."
    )


def _division(document: Document) -> Answer:
    validation, folds = document.get("validation"), part(document, "folds")
    if not validation:
        return Answer(missing="how people were divided into folds")
    groups = folds.get("n_groups")
    together = f" {groups} groups were never split." if groups else ""
    isolated = part(document, "audit").get("passed")
    proof = " That held-out people do not reach the fit was proven." if isolated else ""
    return Answer(f"All people in {validation}; every number is out of fold.{together}{proof}", _unless(isolated))


def _unless(isolated: object) -> str:
    if isolated is None:
        return "proof that held-out people do not reach the fit"
    return "" if isolated else "held-out people reach the fit: the audit failed"


def _handling_of_predictors(document: Document) -> Answer:
    if not part(document, "features"):
        return Answer(missing="the features")
    reference = part(document, "cohort", "reference")
    deviations = (
        f" Connections are also judged against {reference.get('n_controls')} controls, learned in every fold."
        if reference
        else ""
    )
    return Answer(
        "Numbers enter linearly, standardised by the training people of the fold, categories as indicators; missing "
        f"values are filled likewise.{deviations}"
    )


def _model(document: Document) -> Answer:
    model, config = first_model(document), part(document, "config", "model")
    if not model:
        return Answer(missing="the model")
    others = ", ".join(str(one.get("name")) for one in rows(document, "models") if one.get("role") == "candidate")
    tuning = part(document, "config", "validation").get("inner_folds")
    inner = "by leaving one out" if tuning == "leave_one_out" else f"in {tuning} inner folds"
    return Answer(
        f"{model.get('name')}{_kind_of(str(model.get('name')))}. "
        f"Tuned {inner} of the training people ({config.get('n_alphas')} strengths of penalty). Internal validation: "
        f"{document.get('validation')}. Candidates reported beside it: {others or 'none'}."
    )


def _kind_of(name: str) -> str:
    if name in PENALISED:
        return ", a weighted sum of inputs; features are penalised, what is known besides the scan is not"
    return ", a weighted sum of inputs" if name in LINEAR_MODELS else ""


def _clusters(document: Document) -> Answer:
    sites, validation = part(document, "cohort", "n_per_site"), part(document, "config", "validation")
    if not sites:
        return Answer(missing="the site of each person ([covariates] site)", source="people")
    if len(sites) == 1:
        return Answer(not_applicable=f"one site only ({', '.join(sites)})")
    left_out = "Sites were left out one after the other." if validation.get("scheme") == "leave_one_site_out" else ""
    harmonised = "Site effects on the features are taken out, learned in every fold." if part(
        document, "features", "harmonization"
    ) else "The site enters the models as indicators."  # fmt: skip
    return Answer(f"{len(sites)} sites. {harmonised} A baseline knows the site only. {left_out}".strip())


def _measures(document: Document) -> Answer:
    if not rows(document, "models"):
        return Answer(missing="the models")
    n_permutations = part(document, "permutation").get("n_permutations") or 0
    return Answer(
        "R2 against the training mean, MAE, RMSE and Pearson's r with 95 % bootstrap intervals; calibration slope and "
        "in the large; responders (AUC, balanced accuracy, Brier score, decision curve) where there is a rule; paired "
        "error differences against baselines with corrected intervals; coverage of prediction intervals; "
        f"{n_permutations} permutations of the whole pipeline.",
        "" if n_permutations else "a permutation test",
    )


def _imbalance(document: Document) -> Answer:
    if not any(one.get("name") in CLASSIFIERS for one in rows(document, "models")):
        return Answer(not_applicable="the outcome is continuous; responses follow from its prediction")
    return Answer("Nothing was resampled or weighted; probabilities are reported with their calibration.")


def _fairness(document: Document) -> Answer:
    groups = {str(one.get("column")) for one in rows(document, "subgroups")}
    looked = f"Performance is reported by {', '.join(sorted(groups))}." if groups else ""
    return Answer(f"No step of the model corrects for fairness. {looked}".strip(), "" if groups else "subgroups")


def _output(document: Document) -> Answer:
    outcome = part(document, "outcome")
    if not outcome:
        return Answer(missing="the outcome")
    threshold = outcome.get("response_threshold")
    rule = f" and the probability of a response ({outcome.get('response_rule')}), a rule set beforehand"
    return Answer(
        f"Expected {outcome.get('name')} ({outcome.get('unit')}) in every arm with a {percent(INTERVAL_LEVEL)} "
        f"prediction interval{rule if threshold is not None else ''}. Nobody is classified."
    )


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
    "10": _sample_size,
    "11": _missing_data,
    "12a": _division,
    "12b": _handling_of_predictors,
    "12c": _model,
    "12d": _clusters,
    "12e": _measures,
    "12f": not_applicable(NO_EVALUATION),
    "12g": fixed(
        "Out of fold by the models of the experiment; afterwards by the code that serves, from the bundle: krp score, "
        "POST /v1/predictions, mlflow.pyfunc."
    ),
    "13": _imbalance,
    "14": _fairness,
    "15": _output,
    "16": not_applicable(NO_EVALUATION),
    "17": by_people("ethics", "committee and consent", of_real_people=True),
    "18a": by_people("funding", "funding"),
    "18b": by_people("conflicts", "conflicts of interest"),
    "18c": by_people("protocol", "protocol"),
    "18d": by_people("registration", "registration"),
    "18e": by_people("data_availability", "availability of the data"),
    "18f": by_people("code_availability", "availability of the code"),
    "19": by_people("patient_involvement", "involvement of patients and the public", of_real_people=True),
}  # fmt: skip
