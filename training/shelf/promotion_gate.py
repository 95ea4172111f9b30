"""The six checks between a trained model and the alias `champion`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from predictor.model.bundle import ModelBundle
from training.cohort.baseline_inputs import is_analysis_name, late_inputs
from training.evaluation.baselines import REQUIRED_BASELINES
from training.report.model_card import absent_entries
from training.report.tripod_ai import gaps_of_the_run
from training.shelf.stored_evidence import StoredEvidence

SIGNIFICANCE = 0.05
MOST_SHOWN = 8  # absent entries that one line names
# What a registered version must say about where it comes from.
REQUIRED_TAGS = ("outcome", "cohort_digest", "code_version", "bundle_digest", "config_digest", "gate_digest")


@dataclass(frozen=True, slots=True)
class GateCheck:
    """One check with the numbers it rests on."""

    number: int
    name: str
    passed: bool
    measured: str
    numbers: Mapping[str, float] = field(default_factory=dict)  # for the log of promotions

    def line(self) -> str:
        """One line for the screen."""
        return f"({self.number}) {'passed' if self.passed else 'FAILED'}  {self.name}: {self.measured}"


def check_gate(
    measured: Mapping[str, Any],
    bundle: ModelBundle,
    *,
    evidence: StoredEvidence,
    tags: Mapping[str, str],
) -> tuple[GateCheck, ...]:
    """Judge what training measured and what the store says; whatever is absent fails its check.

    Parameters
    ----------
    measured
        Document `gate.json` that `krp train` stored with the model.
    bundle
        The verified bundle that would be promoted.
    evidence
        The experiment's run, read back from the store.
    tags
        Of the registered version.

    Returns
    -------
    tuple of GateCheck
        All six, in order, whether they pass or not.
    """
    return (
        _named_before_fitting(measured.get("primary", {}), evidence, tags.get("config_digest", "")),
        _beats_every_baseline(measured.get("comparisons", {}), measured.get("baselines", {})),
        _above_chance(measured.get("permutation", {})),
        _folds_isolated(measured.get("fold_isolation", {})),
        _available_at_baseline(bundle, measured.get("measured")),
        _complete(bundle, tags),
    )


def _named_before_fitting(primary: Mapping[str, Any], evidence: StoredEvidence, config_digest: str) -> GateCheck:
    name = "named primary before fitting"
    model, named, fitted = (primary.get(key) for key in ("model", "config_logged_at_s", "fitting_started_at_s"))
    if not model or named is None or fitted is None or primary.get("named_in_config") != model:
        return GateCheck(1, name, False, f"{model or 'no model'}, no record of that")
    objections = evidence.objections(
        model, config_digest=config_digest, named_at_s=float(named), fitting_at_s=float(fitted)
    )
    lead_s = float(fitted) - float(named)
    if objections:
        return GateCheck(1, name, False, f"{model}, but {'; '.join(objections)}", {"lead_s": lead_s})
    return GateCheck(
        1, name, True, f"{model}, {lead_s:.1f} s before fitting, as the stored experiment file says", {"lead_s": lead_s}
    )


def _beats_every_baseline(comparisons: Mapping[str, Mapping[str, float]], baselines: Mapping[str, Any]) -> GateCheck:
    name = "smaller error than every baseline"
    lower = {baseline: float(comparison["lower"]) for baseline, comparison in comparisons.items()}
    if not lower:
        return GateCheck(2, name, False, "no baseline was compared")
    impossible = baselines.get("impossible", {})
    left_out = {one: "not compared" for one in REQUIRED_BASELINES if one not in lower and one not in impossible}
    left_out |= baselines.get("left_out", {})
    weakest = min(lower, key=lambda baseline: lower[baseline])
    n_beaten = sum(bound > 0 for bound in lower.values())
    words = [f"{n_beaten} of {len(lower)} beaten; smallest lower bound {lower[weakest]:+.3g} (against {weakest})"]
    words += [f"left out: {one} ({reason})" for one, reason in sorted(left_out.items())]
    words += [f"impossible: {one} ({reason})" for one, reason in sorted(impossible.items()) if one not in left_out]
    numbers = {"smallest_lower_bound": lower[weakest], "n_baselines_beaten": n_beaten, "n_baselines": len(lower)}
    return GateCheck(2, name, not left_out and n_beaten == len(lower), "; ".join(words), numbers)


def _above_chance(permutation: Mapping[str, Any]) -> GateCheck:
    name = f"permutation p of the whole pipeline below {SIGNIFICANCE}"
    p_value = permutation.get("p_value")
    if p_value is None:
        return GateCheck(3, name, False, "not measured")
    n_drawn = permutation["n_permutations"]
    numbers = {"permutation_p": float(p_value), "n_permutations": n_drawn}
    return GateCheck(3, name, p_value < SIGNIFICANCE, f"p = {p_value:.3g} ({n_drawn} permutations)", numbers)


def _folds_isolated(isolation: Mapping[str, Any]) -> GateCheck:
    name = "held-out people do not reach the fit"
    if not isolation:
        return GateCheck(4, name, False, "not measured")
    if isolation.get("passed") is True:
        n_values = isolation["n_values_compared"]
        words = f"{n_values} fitted values unchanged in {isolation['n_folds']} folds"
        return GateCheck(4, name, True, words, {"n_fitted_values_compared": n_values})
    return GateCheck(4, name, False, f"step {isolation.get('leaking_step')} changed")


def _available_at_baseline(bundle: ModelBundle, times: Mapping[str, object] | None) -> GateCheck:
    name = "inputs are available at baseline"
    if times is None:
        return GateCheck(5, name, False, "it is not recorded when columns were measured")
    inputs = bundle.model.input_names
    late = late_inputs(inputs, times)
    measured = f"{len(late)} of {len(inputs)} inputs are measured later"
    measured += "".join(f": {one} ({reason})" for one, reason in list(late.items())[:1])
    is_analysis = is_analysis_name(bundle.name)
    measured += "; its registered name says that it is an analysis" if is_analysis else ""
    return GateCheck(5, name, not late and not is_analysis, measured, {"n_late_inputs": len(late)})


def _complete(bundle: ModelBundle, tags: Mapping[str, str]) -> GateCheck:
    """Card, table and version hold what they must; what only people can fill in may stand there as a gap."""
    absent = [f"card: {name}" for name in absent_entries(bundle.card)]
    absent += [f"bundle: {name}" for name in ("card_text", "tripod_ai_text", "versions") if not getattr(bundle, name)]
    absent += [] if bundle.outcome.unit else ["bundle: unit of the outcome"]
    unanswered = gaps_of_the_run(bundle.tripod_ai)
    absent += [f"TRIPOD+AI: item {item}" for item in unanswered]
    absent += [f"version: {name}" for name in REQUIRED_TAGS if not tags.get(name)]
    n_gaps = sum(row.get("status") == "gap" for row in bundle.tripod_ai)
    words = _shortened(absent) if absent else f"complete; {n_gaps} TRIPOD+AI rows are gaps that people can fill"
    return GateCheck(
        6, "card, TRIPOD+AI table and metadata are complete", not absent, words,
        {"n_absent": len(absent), "n_tripod_gaps": n_gaps},
    )  # fmt: skip


def _shortened(absent: list[str]) -> str:
    more = len(absent) - MOST_SHOWN
    return f"absent: {', '.join(absent[:MOST_SHOWN])}" + (f" and {more} more" if more > 0 else "")
