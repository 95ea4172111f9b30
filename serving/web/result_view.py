"""An answer in the words and drawings of the page; nothing is computed here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from predictor.errors import ExplanationError, RegionsUnknownError
from predictor.model.bundle import ModelBundle
from predictor.report.glass_brain import glass_brain_svg
from predictor.report.intervals import intervals_svg
from predictor.report.methods_text import Methods
from predictor.report.waterfall import waterfall_svg
from predictor.report.wording import in_percent, outcome_in_words, quantity
from serving.envelope import in_iso_8601
from serving.kept_results import FoundResult
from serving.model_facts import ModelFacts
from serving.web.circuit_view import CircuitView, circuit_view
from serving.web.deviation_view import DeviationView, deviation_view
from serving.web.methods_view import methods_of
from serving.web.quality_view import RunQuality, quality_view
from serving.web.readable_json import as_text_of_a_page, readable_json
from serving.web.retention import time_left

WIDE, NARROW = 720.0, 360.0
SOURCES = {
    "residual": "People who look alike to the model respond differently",
    "scan_noise": "Noise of this scan",
    "model": "The model learned from few people",
}


@dataclass(frozen=True, slots=True)
class ArmView:
    """One row of the table of treatments."""

    name: str
    expected: str
    interval: str
    response: str


@dataclass(frozen=True, slots=True)
class ResultView:
    """What the result page shows."""

    id: str
    status: str
    reasons: list[dict[str, str]]
    sentence: str
    model: str
    outcome: str
    level: str
    response_rule: str | None
    arms: list[ArmView]
    benefit: str
    sources: list[dict[str, Any]]
    intervals_wide: str
    intervals_narrow: str
    has_crowd: bool
    waterfall_wide: str
    waterfall_narrow: str
    deviations: DeviationView | None
    circuit: CircuitView | None
    glass_brain: str
    quality: list[RunQuality]
    methods: Methods
    technical: list[tuple[str, str]]
    answer_json: Markup
    time_left: str


def result_view(found: FoundResult) -> ResultView:
    """Put an answer into words and drawings."""
    answer, facts = _in_order_of_arms(found), found.facts
    arms = answer.get("arms") or {}
    unit = answer["outcome"]["unit"]
    circuit = circuit_view(answer, facts.circuit)
    return ResultView(
        id=found.kept.id,
        status=answer["status"],
        reasons=[{**reason, "detail": _sentence_case(reason["detail"])} for reason in answer["reasons"]],
        sentence=_sentence(answer),
        model=_model(found),
        outcome=outcome_in_words(answer["outcome"]["name"]),
        level=_level(arms),
        response_rule=answer["outcome"].get("response_rule"),
        arms=[_arm_view(name, arm, unit) for name, arm in arms.items()],
        benefit=_benefit(answer),
        sources=[_source(item) for item in answer.get("uncertainty_sources") or []],
        intervals_wide=intervals_svg(answer, training_outcomes=facts.outcomes, width=WIDE) if arms else "",
        intervals_narrow=intervals_svg(answer, training_outcomes=facts.outcomes, width=NARROW) if arms else "",
        has_crowd=bool(facts.outcomes),
        waterfall_wide=_waterfall(answer, WIDE),
        waterfall_narrow=_waterfall(answer, NARROW),
        deviations=deviation_view(answer.get("deviations")),
        circuit=circuit,
        glass_brain=_glass_brain(answer, facts) if circuit else "",
        quality=quality_view(answer["quality"]),
        methods=methods_of(answer, facts),
        technical=_technical(found),
        answer_json=as_text_of_a_page(readable_json(found.answer)),
        time_left=time_left(found.kept.expires),
    )


def _model(found: FoundResult) -> str:
    """Name the model as it stood when it answered."""
    facts = found.facts
    promoted = "champion" if found.answer["model"].get("promoted") else "not promoted"
    cohort = f", {facts.cohort}" if facts.cohort else ""
    return f"Model {facts.name} {found.kept.model_version} ({promoted}), trained on {facts.trained_on} people{cohort}."


def trained_on_in_words(bundle: ModelBundle) -> str:
    """Say how many people the model learned from and which cohort they were, so that a synthetic one shows."""
    cohort = bundle.card.get("cohort")
    return f"{bundle.trained_on} people" + (f", {cohort}" if cohort else "")


def arm_summary(arm: Mapping[str, Any], unit: str) -> str:
    """One arm in a table cell: expectation and interval."""
    interval = arm["interval"]
    bounds = f"{quantity(interval['lower'], '')} to {quantity(interval['upper'], '')}"
    return f"{quantity(arm['expected'], unit)} ({bounds})"


def arm_title(name: str) -> str:
    """Name of an arm as a heading."""
    return "Expected" if name == "all" else name.capitalize()


def _in_order_of_arms(found: FoundResult) -> dict[str, Any]:
    """Return the answer with the treatment of interest first; the document's own keys are in alphabetical order."""
    arms = found.answer.get("arms")
    if not arms:
        return found.answer
    return {**found.answer, "arms": {name: arms[name] for name in found.facts.arms}}


def _sentence_case(words: str) -> str:
    # Region names such as vmPFC keep their first letter.
    first = words.split(" ", 1)[0]
    return words if any(letter.isupper() for letter in first) else words[:1].upper() + words[1:]


def _sentence(answer: Mapping[str, Any]) -> str:
    explanation = answer.get("explanation")
    if explanation:
        return str(explanation["sentence"])
    arms = answer.get("arms") or {}
    if not arms:
        return ""
    name, arm = next(iter(arms.items()))
    under = "" if name == "all" else f" under {name}"
    return f"The expected improvement{under} is {quantity(arm['expected'], answer['outcome']['unit'])}."


def _level(arms: Mapping[str, Any]) -> str:
    return next((in_percent(arm["interval"]["level"]) for arm in arms.values()), "")


def _arm_view(name: str, arm: Mapping[str, Any], unit: str) -> ArmView:
    interval, chance = arm["interval"], arm["response_probability"]
    return ArmView(
        name="All" if name == "all" else name.capitalize(),
        expected=quantity(arm["expected"], unit),
        interval=f"{quantity(interval['lower'], unit)} to {quantity(interval['upper'], unit)}",
        response="" if chance is None else in_percent(chance),
    )


def _benefit(answer: Mapping[str, Any]) -> str:
    benefit = answer.get("benefit")
    if not benefit:
        return ""
    first, *_, last = answer["arms"]
    unit, interval = answer["outcome"]["unit"], benefit["interval"]
    unit = "percentage points" if unit == "percent" else unit
    bounds = f"{quantity(interval['lower'], '')} to {quantity(interval['upper'], '')}"
    return (
        f"Benefit of {first} over {last}: {quantity(benefit['expected'], unit, signed=True)} "
        f"({in_percent(interval['level'])} interval {bounds}). This is about {benefit['about']}."
    )


def _source(item: Mapping[str, Any]) -> dict[str, Any]:
    share = min(max(float(item["share"]), 0.0), 1.0)
    words = SOURCES.get(item["source"], str(item["source"]).replace("_", " "))
    return {"words": words, "share": f"{share:.3f}", "percent": in_percent(share)}


def _waterfall(answer: Mapping[str, Any], width: float) -> str:
    if not answer.get("explanation"):
        return ""
    try:
        return waterfall_svg(answer, width=width)
    except ExplanationError:  # the page then says that the explanation is withheld
        return ""


def _glass_brain(answer: Mapping[str, Any], facts: ModelFacts) -> str:
    assert facts.circuit is not None
    try:
        return glass_brain_svg(answer, facts.circuit)
    except RegionsUnknownError:  # a feature of a region that the circuit does not hold; the table still names it
        return ""


def _technical(found: FoundResult) -> list[tuple[str, str]]:
    answer, kept = found.answer, found.kept
    return [
        ("Model", f"{answer['model']['name']}, version {kept.model_version}"),
        ("Model digest", str(answer["model"]["digest"])),
        ("Recipe", str(answer["provenance"].get("recipe_hash") or "not stated")),
        ("Input digest", str(answer["provenance"].get("input_digest") or "none: features were sent")),
        ("Result", kept.id),
        ("Created (UTC)", in_iso_8601(kept.created)),
    ]
