"""What stands first in an experiment's report: what was found, in one sentence and a few numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from predictor.report.wording import outcome_in_words
from training.report.record_parts import first_model
from training.report.record_reading import baselines, digits_for, is_reported, listed, model_in_words, with_interval

Document = Mapping[str, Any]


def headline(document: Document) -> str:
    """Return what was found, in one sentence that says how sure it is."""
    first, cohort = first_model(document), document["cohort"]
    metrics = first["assessment"]["metrics"]
    outcome = _inside_a_sentence(outcome_in_words(document["outcome"]["name"]))
    name = model_in_words(first["name"])
    r2 = with_interval(metrics["r2"], metrics["r2_interval"])
    p_value = document["permutation"]["p_value"]
    chance = "chance level not tested" if p_value is None else f"permutation p = {p_value:.2g}"
    predicts = "predicts" if metrics["r2_interval"]["lower"] > 0 else "is not shown to predict"
    return (
        f"{name[:1].upper() + name[1:]} {predicts} {outcome} of people it has not seen: R2 {r2} "
        f"({cohort['n_participants']} people, {chance}). {_against_baselines(document)}"
    )


def lead(document: Document) -> str:
    """Return on whom and how, below the headline."""
    return f"{document['cohort']['name']}; {document['validation']}. Intervals are 95 % unless they say otherwise."


def _against_baselines(document: Document) -> str:
    """Say which simple models the first one is not shown to beat."""
    simple = [one for one in baselines(document) if one["gain_of_primary"]]
    if not simple:
        return "It was compared with no baseline."
    unbeaten = [one["name"] for one in simple if one["gain_of_primary"]["corrected_interval"]["lower"] <= 0]
    if not unbeaten:
        return "Its error is smaller than that of every baseline."
    return f"It is not shown to be better than {listed(unbeaten, joint='or')}."


def tiles(document: Document) -> list[dict[str, str]]:
    """Key numbers with their intervals."""
    assessment = first_model(document)["assessment"]
    metrics, unit = assessment["metrics"], document["outcome"]["unit"]
    digits = digits_for([metrics["mae"]])
    found = [
        _tile("R2 out of fold", metrics["r2"], metrics["r2_interval"]),
        _tile(f"Mean absolute error, {unit}", metrics["mae"], metrics["mae_interval"], digits=digits),
    ]
    best = max(baselines(document), key=lambda one: one["assessment"]["metrics"]["r2"], default=None)
    if best is not None:
        of_best = best["assessment"]["metrics"]
        found.append(_tile(f"R2 of {best['name']}, best baseline", of_best["r2"], of_best["r2_interval"]))
    if is_reported(assessment["calibration"]):
        calibration = assessment["calibration"]
        found.append(_tile("Calibration slope", calibration["slope"], calibration["slope_interval"]))
    if is_reported(assessment["responders"]):
        responders = assessment["responders"]
        found.append(_tile("AUC of a response", responders["auc"], responders["auc_interval"]))
    p_value = document["permutation"]["p_value"]
    found.append(
        {"label": "Permutation p", "value": "not tested" if p_value is None else f"{p_value:.2g}", "interval": ""}
    )
    found.append({"label": "Benefit", "value": document["benefit"]["status"], "interval": ""})
    return found


def _tile(label: str, value: float, interval: Document, *, digits: int = 2) -> dict[str, str]:
    shown, _, ends = with_interval(value, interval, digits=digits).partition(" ")
    return {"label": label, "value": shown, "interval": ends}


def _inside_a_sentence(words: str) -> str:
    """Begin with a small letter, unless the first word is an abbreviation."""
    return words if words[1:2].isupper() else words[:1].lower() + words[1:]
