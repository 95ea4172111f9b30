"""The six checks between a trained model and the alias `champion`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from predictor.model.bundle import ModelBundle
from training.evaluation.leak_checks import declared_late

SIGNIFICANCE = 0.05
# Words that give away a measure which does not exist before the first infusion.
AFTER_BASELINE = re.compile(
    r"(^|_)(follow_?up|post|posttreatment|after|change|delta|infusion|outcome|improvement|(week|day)_?[1-9]\d*)(_|$|=)"
)
REQUIRED_BASELINES = ("constant",)
REQUIRED_CARD_ENTRIES = (
    "intended_use", "not_for", "outcome", "cohort", "n_participants", "validation", "metrics", "comparisons",
    "permutation", "limits",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class GateCheck:
    """One check with the number it rests on."""

    number: int
    name: str
    passed: bool
    measured: str

    def line(self) -> str:
        """One line for the screen."""
        return f"({self.number}) {'passed' if self.passed else 'FAILED'}  {self.name}: {self.measured}"


def check_gate(measured: Mapping[str, Any], bundle: ModelBundle) -> tuple[GateCheck, ...]:
    """Judge what training measured; a measurement that is absent fails its check.

    Parameters
    ----------
    measured
        Document `gate.json` that `krp train` stored with the model.
    bundle
        The verified bundle that would be promoted.

    Returns
    -------
    tuple of GateCheck
        All six, in order, whether they pass or not.
    """
    return (
        _named_before_fitting(measured.get("primary", {})),
        _beats_every_baseline(measured.get("comparisons", {})),
        _above_chance(measured.get("permutation", {})),
        _folds_isolated(measured.get("fold_isolation", {})),
        _available_at_baseline(bundle, measured.get("declared_times", {})),
        _complete(bundle),
    )


def not_available_at_baseline(names: Sequence[str]) -> tuple[str, ...]:
    """Return the inputs whose names say that they are measured during or after treatment."""
    return tuple(name for name in names if AFTER_BASELINE.search(name.lower()))


def _named_before_fitting(primary: Mapping[str, Any]) -> GateCheck:
    named, fitted = primary.get("config_logged_at_s"), primary.get("fitting_started_at_s")
    is_primary = bool(primary) and primary.get("model") == primary.get("named_in_config")
    lead_s = -1.0 if named is None or fitted is None else float(fitted) - float(named)
    passed = is_primary and lead_s >= 0
    when = f"{lead_s:.1f} s before fitting" if passed else "no record of that"
    return GateCheck(1, "named primary before fitting", passed, f"{primary.get('model', 'no model')}, {when}")


def _beats_every_baseline(comparisons: Mapping[str, Mapping[str, float]]) -> GateCheck:
    lower = {name: float(comparison["lower"]) for name, comparison in comparisons.items()}
    has_required = all(name in lower for name in REQUIRED_BASELINES)
    if not lower:
        return GateCheck(2, "smaller error than every baseline", False, "no baseline was compared")
    weakest = min(lower, key=lambda name: lower[name])
    n_beaten = sum(bound > 0 for bound in lower.values())
    return GateCheck(
        2,
        "smaller error than every baseline",
        has_required and n_beaten == len(lower),
        f"{n_beaten} of {len(lower)} beaten; smallest lower bound {lower[weakest]:+.3g} (against {weakest})",
    )


def _above_chance(permutation: Mapping[str, Any]) -> GateCheck:
    name = f"permutation p of the whole pipeline below {SIGNIFICANCE}"
    p_value = permutation.get("p_value")
    if p_value is None:
        return GateCheck(3, name, False, "not measured")
    return GateCheck(
        3, name, p_value < SIGNIFICANCE, f"p = {p_value:.3g} ({permutation['n_permutations']} permutations)"
    )


def _folds_isolated(isolation: Mapping[str, Any]) -> GateCheck:
    name = "held-out people do not reach the fit"
    if not isolation:
        return GateCheck(4, name, False, "not measured")
    if isolation.get("passed") is True:
        return GateCheck(
            4, name, True, f"{isolation['n_values_compared']} fitted values unchanged in {isolation['n_folds']} folds"
        )
    return GateCheck(4, name, False, f"step {isolation.get('leaking_step')} changed")


def _available_at_baseline(bundle: ModelBundle, declared: Mapping[str, str]) -> GateCheck:
    """Names and declarations must both speak of baseline; a declaration cannot make a later measure an early one."""
    by_name = set(not_available_at_baseline(bundle.model.input_names))
    columns = {name: name.split("=")[0] for name in bundle.model.input_names}  # of categories: column=level
    declared_later = declared_late(columns.values(), declared)
    late = [name for name, column in columns.items() if name in by_name or column in declared_later]
    measured = f"{len(late)} of {len(bundle.model.input_names)} inputs are measured later"
    return GateCheck(5, "inputs are available at baseline", not late, measured + (f": {late[0]}" if late else ""))


def _complete(bundle: ModelBundle) -> GateCheck:
    present = {name for name in REQUIRED_CARD_ENTRIES if bundle.card.get(name) not in (None, "", [], {})}
    present |= {"unit"} if bundle.outcome.unit else set()
    present |= {"versions"} if bundle.versions else set()
    n_required = len(REQUIRED_CARD_ENTRIES) + 2
    absent = sorted({*REQUIRED_CARD_ENTRIES, "unit", "versions"} - present)
    measured = f"{len(present)} of {n_required} entries" + (f"; absent: {', '.join(absent)}" if absent else "")
    return GateCheck(6, "card and metadata are complete", not absent, measured)
