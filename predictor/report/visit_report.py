"""One visit on one page: a single HTML file that needs nothing else, to look at before any number is used."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from predictor.features.extraction import extract_features, session_quality
from predictor.features.feature_vector import FeatureVector
from predictor.features.recipe import Recipe
from predictor.features.run_preparation import run_confounds
from predictor.report.feature_sections import feature_context
from predictor.report.intervals import intervals_svg
from predictor.report.methods_text import describe_methods
from predictor.report.page_template import page_resource, page_style, page_template, policy_hash
from predictor.report.run_sections import run_context
from predictor.report.summary import arm_lines, benefit_lines
from predictor.report.waterfall import waterfall_svg
from predictor.report.wording import place_and_kind, quantity
from predictor.scan.quality import Reason
from predictor.scan.session import BaselineSession

_SECTIONS: Final = (
    ("answer", "Answer"),
    ("quality", "Quality"),
    ("runs", "Motion and signals"),
    ("coverage", "Coverage"),
    ("designs", "Task models"),
    ("connections", "Connections"),
    ("features", "Features"),
    ("methods", "Methods"),
    ("technical", "Technical"),
)


@dataclass(frozen=True, slots=True)
class VisitLabel:
    """What a report calls the visit; nothing else about the person stands in it."""

    participant: str  # "sub-01", or any label of the sender's
    session: str | None = None  # "ses-baseline"
    is_synthetic: bool = False  # whether the dataset says that it was simulated


def visit_report(
    session: BaselineSession,
    recipe: Recipe,
    label: VisitLabel,
    *,
    vector: FeatureVector | None = None,
    answer: Mapping[str, Any] | None = None,
) -> str:
    """Draw and write up one visit.

    Parameters
    ----------
    session
        The visit's runs; with mean images if the regions' places are to be shown.
    recipe
        How its features are made.
    label
        What to call it.
    vector
        Its features, if they were computed before with this recipe; None: they are computed.
    answer
        The answer document of a model, shown first; None: there is none.

    Returns
    -------
    str
        A whole HTML document, the same for the same input: no clock, no path, no address of another host but DOIs as
        text. All text is escaped, and the policy in its head lets only its own script run.
    """
    vector = extract_features(session, recipe) if vector is None else vector
    quality = session_quality(session, recipe)
    confounds = {run.name: run_confounds(run, recipe) for run in session.runs}
    status, reasons = _status(quality.reasons, answer)
    context = {
        "label": label.participant,
        "session_label": label.session,
        "is_synthetic": label.is_synthetic,
        "status": status,
        "reasons": reasons,
        "answer": None if answer is None else _answer_context(answer),
        "run_names": ", ".join(run.name for run in session.runs),
        **run_context(session, recipe, quality, confounds),
        **feature_context(vector, recipe.circuit),
        "methods": describe_methods(session, recipe, vector, confounds),
        "recipe_hash": vector.recipe_hash,
        "input_digest": vector.input_digest,
        "digests": [{"name": run.name, "digest": run.input_digest} for run in session.runs],
        "recipe_json": json.dumps(recipe.document(), indent=1, ensure_ascii=False),
    }
    is_shown = {"answer": answer is not None, "coverage": context["coverage_rows"], "designs": context["designs"]}
    is_shown["connections"] = context["connections"] or context["activation_svg"]
    context["sections"] = [{"id": name, "title": title} for name, title in _SECTIONS if is_shown.get(name, True)]
    script = page_resource("predictor.report", "visit_report.js")
    return page_template("predictor.report", "visit_report.html").render(
        context, style=page_style(), script=script, script_hash=policy_hash(script)
    )


def _status(quality: tuple[Reason, ...], answer: Mapping[str, Any] | None) -> tuple[str, list[dict[str, str]]]:
    """Return status and reasons of the answer, or of the visit's quality where there is no answer."""
    if answer is not None:
        return str(answer["status"]), list(answer["reasons"])
    is_refused = any(reason.severity == "refuse" for reason in quality)
    reasons = [reason.document() for reason in quality]
    return "refused" if is_refused else "flagged" if reasons else "ok", reasons


def _answer_context(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return sentence, drawings and model of an answer; a refused one has no drawings."""
    explanation, model = answer.get("explanation"), answer["model"]
    figures = [intervals_svg(answer)] if answer.get("arms") else []
    if explanation:
        figures.append(waterfall_svg(answer))
    promoted = "promoted" if model["promoted"] else "not promoted"
    return {
        "sentence": explanation["sentence"] if explanation else "",
        "model": f"Model {model['name']}, trained on {model['trained_on']} people, {promoted}.",
        "figures": figures,
        "numbers": [line.strip() for line in (*arm_lines(answer), *benefit_lines(answer))]
        if answer.get("arms")
        else [],
        "deviations": _deviations_context(answer.get("deviations")),
    }


def _deviations_context(deviations: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return how connections compare with those of controls, the unusual ones by name; None if nothing is known."""
    if not deviations:
        return None
    unusual = [edge for edge in deviations["edges"] if abs(edge["z"] or 0.0) > deviations["threshold"]]
    rows = []
    for edge in sorted(unusual, key=lambda edge: -abs(edge["z"])):
        error = edge["standard_error"]
        rows.append(
            {
                "place": place_and_kind(edge["feature"])[0],
                "z": quantity(edge["z"], "", signed=True, digits=1),
                "error": "–" if error is None else quantity(error, "", digits=1),
            }
        )
    return {
        "sentence": (
            f"Compared with {deviations['reference']['n_people']} controls, {deviations['hypoconnected_edges']} of "
            f"{deviations['n_edges']} connections are weaker than expected and {deviations['hyperconnected_edges']} "
            f"stronger (beyond {deviations['threshold']:g} standard deviations)."
        ),
        "rows": rows,
    }
