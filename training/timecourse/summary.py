"""What was found, in plain words."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from predictor.report.wording import region_in_words
from training.timecourse.analysis import TimecourseResult
from training.timecourse.dissociation import Association
from training.timecourse.figure import LEVEL, p_in_words

SCOPE_IN_WORDS = {
    "treated arm": "within {treated}",
    "all": "over all people (the difference between arms counts here)",
    "all, within arms": "over all people, within arms",
}


def summary_text(result: TimecourseResult, *, is_synthetic: bool) -> str:
    """Return the summary as Markdown: found or not, how sure, who is missing, and what it does not say."""
    lines = ["# Connectivity during the infusion", ""]
    if is_synthetic:
        lines += ["**Synthetic data.** Nobody was scanned.", ""]
    lines += [*_people_lines(result), ""]
    lines += ["## Arm x time", "", *_arm_lines(result), ""]
    if result.associations:
        lines += ["## Dissociation", "", *_dissociation_lines(result), ""]
    lines += ["## Missing", "", *_missing_lines(result), ""]
    lines += ["## What this does not say", "", *_limit_lines(result), ""]
    return "\n".join(lines)


def _people_lines(result: TimecourseResult) -> Iterator[str]:
    cohort, plan = result.cohort, result.plan
    numbers = " and ".join(f"{int(cohort.members(arm).sum())} with {arm}" for arm in cohort.arms)
    yield (
        f"{len(cohort.participant_ids)} people ({numbers}), {len(plan.edges)} pairs of regions, "
        f"{len(plan.windows) - 1} windows against the window {plan.baseline}."
    )


def _arm_lines(result: TimecourseResult) -> Iterator[str]:
    test, plan = result.arm_test, result.plan
    found = np.argwhere(test.p_family < LEVEL)
    labellings = f"{test.n_labellings:,} labellings" + (", all there are" if test.is_exhaustive else "")
    correction = f"corrected over {test.p_family.size} comparisons by permuting arms, {labellings}"
    if not np.isfinite(test.p_family).any():
        yield "No window has enough people of both arms to be compared."
        return
    if not len(found):
        smallest = p_in_words(float(np.nanmin(test.p_family)))
        yield f"No difference between the arms was found (smallest p = {smallest}; {correction})."
        yield "That is no proof of absence: with so few people only large differences are found."
        return
    yield f"The arms differ in {len(found)} of the comparisons ({correction}):"
    yield ""
    for window, edge in found:
        yield f"- {_finding(result, int(window), int(edge))}"
    clear = [_pair(plan.edges[e]) for e in range(len(plan.edges)) if not test.p_family_of_edge[e] < LEVEL]
    if clear:
        yield ""
        yield f"No difference was found for {', '.join(clear)}."


def _finding(result: TimecourseResult, window: int, edge: int) -> str:
    difference = float(result.arm_test.difference[window, edge])
    way = "fell more (or rose less)" if difference < 0 else "rose more (or fell less)"
    model = result.models[edge]
    interval = "" if model is None else f" [{model.lower[window]:.2f}, {model.upper[window]:.2f}]"
    name = result.plan.window_names[window + 1]
    return (
        f"**{_pair(result.plan.edges[edge])}, {name}**: with {result.cohort.arms[0]} it {way} than with "
        f"{result.cohort.arms[1]}, by {abs(difference):.2f} Fisher z "
        f"(difference {difference:.2f}{interval}, p = {p_in_words(result.arm_test.p_family[window, edge])})"
    )


def _dissociation_lines(result: TimecourseResult) -> Iterator[str]:
    windows = ", ".join(result.plan.dissociation_windows)
    yield (
        f"Spearman's correlation of the change from baseline (mean over: {windows}) with "
        f"`{result.cohort.dissociation_column}`; p corrected over pairs, by permuting people. Negative: the more "
        "connectivity fell, the stronger the dissociation."
    )
    yield ""
    for association in result.associations:
        yield f"- {_association(association, result)}"


def _association(association: Association, result: TimecourseResult) -> str:
    scope = SCOPE_IN_WORDS[association.scope].format(treated=result.cohort.arms[0])
    if not np.isfinite(association.rho).any():
        return f"{scope}: too few people, or no variation."
    strongest = int(np.nanargmax(np.abs(association.rho)))
    found = [edge for edge in range(len(association.rho)) if association.p_family[edge] < LEVEL]
    shown = [
        f"{_pair(result.plan.edges[edge])} rho = {association.rho[edge]:.2f}, "
        f"p = {p_in_words(association.p_family[edge])}, n = {association.n_people[edge]}"
        for edge in found or [strongest]
    ]
    return f"{scope}: {'' if found else 'none found; strongest '}{'; '.join(shown)}"


def _missing_lines(result: TimecourseResult) -> Iterator[str]:
    """Name everyone who is left out or lacks a window, those with the same reason together."""
    cohort, plan = result.cohort, result.plan
    by_reason: dict[str, list[str]] = {}
    for name, reason in cohort.left_out.items():
        by_reason.setdefault(f"left out, {reason}", []).append(name)
    n_cells = len(plan.windows) * len(plan.edges)
    for name, missing in zip(cohort.participant_ids, cohort.missing, strict=True):
        for reason in dict.fromkeys(missing.values()):
            n_missing = sum(one == reason for one in missing.values())
            by_reason.setdefault(f"{n_missing} of {n_cells} values missing, {reason}", []).append(name)
    lines = [f"- {', '.join(names)}: {reason}" for reason, names in by_reason.items()]
    lines += [f"- {edge}: no mixed model, {reason}" for edge, reason in result.model_reasons.items()]
    yield from lines or ["Nobody, and no window."]


def _limit_lines(result: TimecourseResult) -> Iterator[str]:
    yield "- The intervals are of a mixed model and stand for one comparison each; the p values are what is corrected."
    yield "- Correlation within a window is no cause; head motion, breathing and arousal change with the drug as well."
    yield "- It needs scans from during the infusion: an analysis, never a predictor. Research use only."
    if result.associations:
        yield "- An association with dissociation over all people is to be expected wherever the arms differ in both."


def _pair(edge: tuple[str, str]) -> str:
    return " – ".join(region_in_words(name) for name in edge)
