"""An answer in a few lines of a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

RESEARCH_USE_ONLY = "Research use only."
NOT_ANSWERED = "No prediction is given for this visit."


def summarise_answer(answer: Mapping[str, Any]) -> str:
    """Return one answer for people: the sentence, each arm with its interval, the benefit, the reasons."""
    lines = [*_headline(answer), *arm_lines(answer), *benefit_lines(answer), *_reasons(answer), *_model(answer)]
    return "\n".join([*lines, RESEARCH_USE_ONLY])


def _headline(answer: Mapping[str, Any]) -> list[str]:
    if answer["status"] == "refused":
        return [NOT_ANSWERED]
    explanation = answer["explanation"]
    return [explanation["sentence"]] if explanation else []


def arm_lines(answer: Mapping[str, Any]) -> list[str]:
    """One line per arm: expected outcome with its interval, and the response probability where there is a rule."""
    arms, outcome = answer.get("arms", {}), answer["outcome"]
    width = max((len(name) for name in arms), default=0)
    lines = []
    for name, arm in arms.items():
        probability, rule = arm["response_probability"], outcome["response_rule"]
        response = "" if probability is None else f"   response ({rule}): {probability:.0%}"
        lines.append(f"  {name:<{width}}  {_with_interval(arm, outcome['unit'])}{response}")
    return lines


def benefit_lines(answer: Mapping[str, Any]) -> list[str]:
    """Return the benefit of the first arm with its interval, and whom it is about; nothing where there is one arm."""
    benefit = answer.get("benefit")
    if not benefit:
        return []
    return [f"  benefit: {_with_interval(benefit, answer['outcome']['unit'])}   about {benefit['about']}"]


def _reasons(answer: Mapping[str, Any]) -> list[str]:
    return [f"  {reason['code']} ({reason['severity']}): {reason['detail']}" for reason in answer["reasons"]]


def _model(answer: Mapping[str, Any]) -> list[str]:
    model = answer["model"]
    promoted = "promoted" if model["promoted"] else "not promoted"
    return [f"  model {model['name']}, trained on {model['trained_on']} people, {promoted}"]


def _with_interval(expected: Mapping[str, Any], unit: str) -> str:
    interval = expected["interval"]
    level = f"{interval['level']:.0%} interval {interval['lower']:.3g} to {interval['upper']:.3g}"
    return f"{expected['expected']:.3g} {unit} ({level})"
