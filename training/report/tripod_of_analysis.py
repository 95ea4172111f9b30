"""Answers to TRIPOD+AI's items on the analysis and what comes out of it (items 10 to 16).

They come from the document of an experiment record. An answer never guesses: what only people know comes from the
section [report] of the experiment file, and is named as missing otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping

from predictor.model.prediction import INTERVAL_LEVEL
from training.models.model_names import CLASSIFIERS, LINEAR_MODELS, TREE_MODELS, UNTUNED_MODELS
from training.report.record_parts import Document, counts, first_model, number, part, percent, rows
from training.report.tripod_answers import (
    NO_UPDATING,
    SAME_PEOPLE,
    Answer,
    AnswerMaker,
    are_sites_left_out,
    completed,
    fixed,
    not_applicable,
)

# Their covariates are not penalised; see training/models/penalised_regression.py.
PENALISED = ("elastic_net", "ridge", "lasso")


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
    form = "as they are" if first_model(document).get("name") in TREE_MODELS else "linearly"
    return Answer(
        f"Numbers enter {form}, standardised by the training people of the fold, categories as indicators; missing "
        f"values are filled likewise.{deviations}"
    )


def _model(document: Document) -> Answer:
    model, config = first_model(document), part(document, "config", "model")
    if not model:
        return Answer(missing="the model")
    others = ", ".join(str(one.get("name")) for one in rows(document, "models") if one.get("role") == "candidate")
    tuning = part(document, "config", "validation").get("inner_folds")
    inner = "by leaving one out" if tuning == "leave_one_out" else f"in {tuning} inner folds"
    settings = f" ({config.get('n_alphas')} strengths of penalty)" if model.get("name") not in TREE_MODELS else ""
    tuned = (
        "Not tuned: one setting"
        if model.get("name") in UNTUNED_MODELS
        else f"Tuned {inner} of the training people{settings}"
    )
    return Answer(
        f"{model.get('name')}{_kind_of(str(model.get('name')))}. "
        f"{tuned}. Internal validation: "
        f"{document.get('validation')}. Candidates reported beside it: {others or 'none'}."
    )


def _kind_of(name: str) -> str:
    if name in PENALISED:
        return ", a weighted sum of inputs; features are penalised, what is known besides the scan is not"
    if name in TREE_MODELS:
        return ", regression trees of all inputs, added to least squares on what is known besides the scan"
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


def _differences(document: Document) -> Answer:
    """Say how the people who judge differ from those who train: by site only, and only where sites are left out."""
    if not are_sites_left_out(document):
        return Answer(not_applicable=SAME_PEOPLE)
    sites = part(document, "cohort", "n_per_site")
    text = (
        f"Every site ({counts(sites)}) was judged by models of the other sites: setting and scanner differ; outcome "
        "and predictors are defined alike."
    )
    return completed(text, document, "setting", "how the sites differ")


OF_ANALYSIS: Mapping[str, AnswerMaker] = {
    "10": _sample_size,
    "11": _missing_data,
    "12a": _division,
    "12b": _handling_of_predictors,
    "12c": _model,
    "12d": _clusters,
    "12e": _measures,
    "12f": not_applicable(NO_UPDATING),
    "12g": fixed(
        "Out of fold by the models of the experiment; afterwards by the code that serves, from the bundle: krp score, "
        "POST /v1/predictions, mlflow.pyfunc."
    ),
    "13": _imbalance,
    "14": _fairness,
    "15": _output,
    "16": _differences,
}  # fmt: skip
