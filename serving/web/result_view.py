"""An answer in the words and drawings of the page; nothing is computed here."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from predictor.errors import ExplanationError
from predictor.model.bundle import ModelBundle
from predictor.report.intervals import intervals_svg
from predictor.report.waterfall import waterfall_svg
from predictor.report.wording import in_percent, outcome_in_words, quantity, region_in_words
from predictor.scan.task_description import RUN_KINDS, parse_run_name
from serving.model_store import LoadedModel
from serving.web.deviation_view import DeviationView, deviation_view
from serving.web.recent_results import Result

WIDE, NARROW = 720.0, 360.0
SOURCES = {
    "residual": "People who look alike to the model respond differently",
    "scan_noise": "Noise of this scan",
    "model": "The model learned from few people",
}
RUN_TITLES = {"rest": "Rest run", "faces": "Faces run", "conflict": "Conflict run"}


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
    quality: list[dict[str, Any]]
    technical: list[tuple[str, str]]
    answer_json: str
    minutes_kept: int


def result_view(result: Result, *, minutes_kept: float) -> ResultView:
    """Put an answer into words and drawings."""
    answer = _in_order_of_arms(result)
    arms = answer.get("arms") or {}
    crowd = training_outcomes(result.model.bundle)
    unit = answer["outcome"]["unit"]
    return ResultView(
        id=result.envelope.id,
        status=answer["status"],
        reasons=[{**reason, "detail": _sentence_case(reason["detail"])} for reason in answer["reasons"]],
        sentence=_sentence(answer),
        model=_model(result.model),
        outcome=outcome_in_words(answer["outcome"]["name"]),
        level=_level(arms),
        response_rule=answer["outcome"].get("response_rule"),
        arms=[_arm_view(name, arm, unit) for name, arm in arms.items()],
        benefit=_benefit(answer),
        sources=[_source(item) for item in answer.get("uncertainty_sources") or []],
        intervals_wide=intervals_svg(answer, training_outcomes=crowd, width=WIDE) if arms else "",
        intervals_narrow=intervals_svg(answer, training_outcomes=crowd, width=NARROW) if arms else "",
        has_crowd=bool(crowd),
        waterfall_wide=_waterfall(answer, WIDE),
        waterfall_narrow=_waterfall(answer, NARROW),
        deviations=deviation_view(answer.get("deviations")),
        quality=[_quality(name, answer["quality"][name]) for name in _in_order_of_runs(answer["quality"])],
        technical=_technical(result),
        answer_json=json.dumps(result.answer, indent=2, ensure_ascii=False),
        minutes_kept=round(minutes_kept),
    )


def _model(model: LoadedModel) -> str:
    promoted = "champion" if model.version.is_promoted else "not promoted"
    version = f"{model.bundle.name} {model.version.version}"
    return f"Model {version} ({promoted}), trained on {trained_on_in_words(model.bundle)}."


def training_outcomes(bundle: ModelBundle) -> dict[str, NDArray[np.float64]]:
    """Return what the training people's outcomes were, by arm."""
    held_out = bundle.out_of_fold
    observed = held_out.prediction + held_out.residual
    return {arm: observed[held_out.arm_index == index] for index, arm in enumerate(bundle.arms)}


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


def _in_order_of_arms(result: Result) -> dict[str, Any]:
    """Return the answer with the treatment of interest first; the document's own keys are in alphabetical order."""
    arms = result.answer.get("arms")
    if not arms:
        return result.answer
    return {**result.answer, "arms": {name: arms[name] for name in result.model.bundle.arms}}


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


def _in_order_of_runs(names: Iterable[str]) -> list[str]:
    """Return run names by kind and number; the document's own keys are in alphabetical order."""
    runs = {name: parse_run_name(name) for name in names}
    known = {name: run for name, run in runs.items() if run is not None}
    return sorted(known, key=lambda name: (RUN_KINDS.index(known[name][0]), known[name][1]))


def run_title(name: str) -> str:
    """Return a run's name as a heading.

    Examples
    --------
    >>> run_title("rest"), run_title("rest_2")
    ('Rest run', 'Rest run 2')
    """
    run = parse_run_name(name)
    if run is None:
        return name
    kind, number = run
    return RUN_TITLES[kind] + ("" if number == 1 else f" {number}")


def _quality(name: str, run: Mapping[str, Any]) -> dict[str, Any]:
    facts = [
        ("Volumes kept", _of(run.get("n_volumes_kept"), run.get("n_volumes"), "")),
        ("Minutes kept", _of(run.get("minutes_kept"), run.get("minutes"), "")),
        ("Mean framewise displacement", _number(run.get("mean_framewise_displacement_mm"), "mm")),
        ("Share of volumes censored", _percent(run.get("share_censored"))),
        ("Median temporal signal-to-noise", _number(run.get("median_temporal_snr"), "")),
        ("Confounds taken out", str(run.get("confound_strategy") or "none").replace("_", " ")),
        ("Because", str(run.get("fallback_reason") or "")),
    ]
    regions = run.get("coverage") or {}
    snr = run.get("temporal_snr") or {}
    rows = [
        {"name": region_in_words(name), "coverage": _percent(share), "temporal_snr": _number(snr.get(name), "")}
        for name, share in regions.items()
        if share is not None
    ]
    return {"title": run_title(name), "facts": [fact for fact in facts if fact[1]], "coverage": rows}


def _technical(result: Result) -> list[tuple[str, str]]:
    answer = result.answer
    return [
        ("Model", f"{answer['model']['name']}, version {result.envelope.model_version}"),
        ("Model digest", str(answer["model"]["digest"])),
        ("Recipe", str(answer["provenance"].get("recipe_hash") or "not stated")),
        ("Input digest", str(answer["provenance"].get("input_digest") or "none: features were sent")),
        ("Result", result.envelope.id),
        ("Created (UTC)", result.envelope.created),
    ]


def _of(part: float | None, whole: float | None, unit: str) -> str:
    if part is None:
        return ""
    return quantity(part, unit) if whole is None else f"{quantity(part, '')} of {quantity(whole, unit)}"


def _number(value: float | None, unit: str) -> str:
    return "" if value is None else quantity(value, unit)


def _percent(share: float | None) -> str:
    return "" if share is None else in_percent(share)
