"""Answers to TRIPOD+AI's items on results, their meaning and use (items 20 to 27).

They come from the document of an experiment record. An answer never guesses: what only people know comes from the
section [report] of the experiment file, and is named as missing otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping

from training.models.model_names import TREE_MODELS
from training.report.record_parts import (
    Document,
    counts,
    first_model,
    number,
    part,
    percent,
    rows,
    why_not,
    with_interval,
)
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


def _flow(document: Document) -> Answer:
    of_people = [one for one in rows(document, "data_flow") if one.get("kind", "people") != "features"]
    known = ((one.get("stage"), one.get("n")) for one in of_people)
    flow = "; ".join(f"{stage}: {'not known' if n is None else n}" for stage, n in known)
    return Answer(f"{flow}.") if flow else Answer(missing="the flow of people")


def _characteristics(document: Document) -> Answer:
    cohort = part(document, "cohort")
    age, sex, outcome = (part(cohort, name) for name in ("age", "sex", "outcome"))
    known = {
        "age": f"mean {number(age.get('mean'))} (sd {number(age.get('sd'))}) years" if age else "",
        "sex": counts(sex),
        "arms": counts(part(cohort, "n_per_arm")),
        "sites": counts(part(cohort, "n_per_site")),
        "outcome": f"mean {number(outcome.get('mean'))} (sd {number(outcome.get('sd'))})" if outcome else "",
    }
    text = "; ".join(f"{name}: {value}" for name, value in known.items() if value)
    return Answer(text, ", ".join(name for name in ("age", "sex") if not known[name]))


def _comparison(document: Document) -> Answer:
    """Compare those who judge with those who train, where they are of different sites."""
    if not are_sites_left_out(document):
        return Answer(not_applicable=SAME_PEOPLE)
    return Answer(
        f"People per site, each judged by the others: {counts(part(document, 'cohort', 'n_per_site'))}.",
        "predictors and outcome by site",
    )


def _numbers(document: Document) -> Answer:
    cohort, folds = part(document, "cohort"), part(document, "folds")
    if not cohort:
        return Answer(missing="the cohort")
    responders = part(first_model(document), "assessment", "responders")
    events = f" Responders: {responders['n_responders']}." if responders.get("n_responders") is not None else ""
    n_folds = ", ".join(str(n) for n in rows(folds, "n_folds")) or "not reported"
    return Answer(
        f"{cohort.get('n_participants')} people in every repeat, held out once each; folds per repeat: {n_folds}; "
        f"tuning within the training people.{events}"
    )


def _specification(document: Document) -> Answer:
    if not first_model(document):
        return Answer(missing="the model")
    has_trees = first_model(document).get("name") in TREE_MODELS
    what = "questions and leaves of every tree" if has_trees else "coefficients per arm"
    text = (
        f"The bundle holds {what}, intercepts, centre, scale, fill-in values, recipe and versions "
        "as plain numbers and text under a digest; krp score, krp serve and mlflow.pyfunc load it."
    )
    return completed(text, document, "code_availability", "access to the model, and restrictions")


def _performance(document: Document) -> Answer:
    model = first_model(document)
    metrics = part(model, "assessment", "metrics")
    if not metrics:
        return Answer(missing="performance")
    unit = str(part(document, "outcome").get("unit", ""))
    texts = [
        f"R2 {with_interval(metrics, 'r2')}, MAE {with_interval(metrics, 'mae', unit=unit, decimals=None)}, RMSE "
        f"{with_interval(metrics, 'rmse', unit=unit, decimals=None)}",
        _calibration(model),
        _chance(document),
        _coverage(document),
    ]
    groups = rows(document, "subgroups")
    too_few = sum(bool(one.get("too_few")) for one in groups)
    if groups:
        texts.append(f"{len(groups)} subgroups in the model card, {too_few} of them with too few people")
    return Answer("; ".join(filter(None, texts)) + ".", "" if groups else "subgroups")


def _calibration(model: Document) -> str:
    found = part(model, "assessment", "calibration")
    if found:
        return f"calibration slope {with_interval(found, 'slope')}"
    return f"calibration not reported ({why_not(model, 'assessment', 'calibration') or 'no reason given'})"


def _chance(document: Document) -> str:
    p_value = part(document, "permutation").get("p_value")
    return "" if p_value is None else f"permutation p {number(p_value)}"


def _coverage(document: Document) -> str:
    coverage = part(document, "coverage")
    if not coverage:
        return ""
    return f"{percent(coverage.get('promised'))} intervals held {percent(coverage.get('realised'))}"


def _heterogeneity(document: Document) -> Answer:
    sites = part(document, "cohort", "n_per_site")
    if len(sites) < 2:
        return Answer(not_applicable="one site only" if sites else "sites are not known")
    groups = [one for one in rows(document, "subgroups") if one.get("column") == "site"]
    told = "; ".join(
        f"{one.get('level')} (n = {one.get('n')}): "
        + ("too few" if one.get("too_few") else f"R2 {number(one.get('r2'), decimals=2)}, MAE {number(one.get('mae'))}")
        for one in groups
    )
    return Answer(f"{told}.") if told else Answer(missing="performance by site")


def _interpretation(document: Document) -> Answer:
    benefit, metrics = part(document, "benefit"), part(first_model(document), "assessment", "metrics")
    if not metrics:
        return Answer(missing="performance")
    unbeaten = [
        str(one.get("name"))
        for one in rows(document, "models")
        if one.get("role") == "baseline" and part(one, "gain_of_primary", "corrected_interval").get("lower", 0) <= 0
    ]
    beside = f"not shown to be better than {', '.join(unbeaten)}" if unbeaten else "better than every baseline"
    verdict = f" Benefit of the treatment: {benefit['status']}." if benefit.get("status") else ""
    text = f"R2 {with_interval(metrics, 'r2')}, {beside}.{verdict}"
    return completed(text, document, "interpretation", "what the authors conclude, beside earlier studies")


def _limitations(document: Document) -> Answer:
    limits = " ".join(str(one) for one in rows(document, "limits"))
    return Answer(limits) if limits else Answer(missing="limits")


def _users(document: Document) -> Answer:
    recipe = part(document, "features", "recipe")
    brings = "fMRIPrep's output of the baseline visit" if recipe else "a table with the features by name"
    covariates = [str(one.get("name")) for one in rows(part(document, "features"), "covariates")]
    besides = f" and {', '.join(covariates)}" if covariates else ""
    return Answer(
        f"Users bring {brings}{besides}; nothing is drawn or judged by hand. They must be able to judge fMRI "
        "preprocessing and its quality, and to read a prediction interval. Research use only."
    )


OF_RESULTS: Mapping[str, AnswerMaker] = {
    "20a": _flow,
    "20b": _characteristics,
    "20c": _comparison,
    "21": _numbers,
    "22": _specification,
    "23a": _performance,
    "23b": _heterogeneity,
    "24": not_applicable(NO_UPDATING),
    "25": _interpretation,
    "26": _limitations,
    "27a": fixed(
        "Quality of every run is measured; visits that are unreadable or too poor are refused with reasons. More than "
        "half of the needed features missing: refused; fewer: filled in and flagged. Values and motion beyond the "
        "training people's are flagged."
    ),
    "27b": _users,
    "27c": fixed(
        "A locked test in people of another cohort (krp evaluate), from other sites and scanners, before any claim "
        "beyond this cohort."
    ),
}
