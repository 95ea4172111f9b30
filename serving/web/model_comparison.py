"""Models side by side, in the words of their cards; a card that lacks an entry leaves a gap and no number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from predictor.report.wording import in_percent, quantity
from serving.model_source import ListedModel

Document = Mapping[str, Any]
NOT_SAID = "not said"
MAX_BESIDE = 6
MODELS_IN_WORDS = {
    "elastic_net": "elastic net",
    "ridge": "ridge regression",
    "random_forest": "random forest",
    "hist_gradient_boosting": "gradient-boosted trees",
}


@dataclass(frozen=True, slots=True)
class ModelColumn:
    """One model of the comparison."""

    title: str
    version: str
    tags: list[str]
    is_current: bool
    is_synthetic: bool
    cells: dict[str, list[str]]  # lines by row of the table
    has_card: bool
    has_checklist: bool
    run_link: str | None


ROWS = (
    "Promotion gate", "Model", "Learned from", "R² in cross-validation", "Responders, AUC", "Mean absolute error",
    "Calibration slope (ideal 1)", "Intervals held", "Permutation test", "Baselines, R²", "Squared error saved",
    "Benefit of treatment", "Bundle",
)  # fmt: skip


def in_order(listed: Sequence[ListedModel]) -> list[ListedModel]:
    """Return models as they are shown: the one that answers first, then those with an alias, then the newest."""
    return sorted(listed, key=lambda one: (not one.is_current, not one.aliases))


def model_column(model: ListedModel, *, has_checklist: bool = False) -> ModelColumn:
    """Put one model into words; its TRIPOD+AI checklist can be shown only of the model that is loaded."""
    card: Document = model.card or {}
    tags = ["answers now"] if model.is_current else []
    if model.from_cache:
        tags.append("registry silent, kept copy")
    if model.status not in ("verified", "unknown"):
        tags.append(model.status)
    return ModelColumn(
        title=f"{model.name} {model.version}",
        version=model.version,
        tags=[*model.aliases, *tags],
        is_current=model.is_current,
        is_synthetic=bool(card.get("is_synthetic")) or "synthetic" in str(card.get("cohort") or ""),
        cells=dict(zip(ROWS, _cells(model, card), strict=True)),
        has_card=model.card is not None,
        has_checklist=has_checklist,
        run_link=model.run_link if (model.run_link or "").startswith(("http://", "https://")) else None,
    )


def _cells(model: ListedModel, card: Document) -> list[list[str]]:
    metrics, unit = _part(card, "metrics"), str(_part(card, "outcome").get("unit") or "")
    kind = str(card.get("model") or "")
    return [
        [*(filter(None, [model.gate or "not asked", model.gate_reasons]))],
        [MODELS_IN_WORDS.get(kind, kind.replace("_", " ")) or NOT_SAID],
        _learned_from(card),
        [_with_interval(metrics, "r2")],
        [_with_interval(_part(card, "responders"), "auc")],
        [_with_interval(metrics, "mae", unit=unit, decimals=1)],
        [_with_interval(_part(card, "calibration"), "slope")],
        [_coverage(_part(card, "coverage"))],
        [_permutation(_part(card, "permutation"))],
        _baselines(_part(card, "baselines")),
        _gains(_part(card, "comparisons")),
        _benefit(_part(card, "benefit")),
        [f"{str(model.digest)[7:19]}…" if model.digest else NOT_SAID],
    ]


def _part(card: Document, name: str) -> Document:
    """One part of a card; empty where it is absent, null, or not reported."""
    found = card.get(name)
    return found if isinstance(found, Mapping) and "not_reported" not in found else {}


def _learned_from(card: Document) -> list[str]:
    if card.get("n_participants") is None:
        return [NOT_SAID]
    per_arm = ", ".join(f"{n} {arm}" for arm, n in _part(card, "n_per_arm").items())
    return list(filter(None, [f"{card['n_participants']} people", str(card.get("cohort") or ""), per_arm]))


def _with_interval(holder: Document, name: str, *, unit: str = "", decimals: int = 2) -> str:
    value, interval = holder.get(name), holder.get(f"{name}_interval")
    if value is None:
        return NOT_SAID
    shown = quantity(value, unit, digits=decimals)
    return f"{shown} {_bounds(interval, decimals)}" if isinstance(interval, Mapping) else shown


def _bounds(interval: Document, decimals: int) -> str:
    return f"[{quantity(interval['lower'], '', digits=decimals)}, {quantity(interval['upper'], '', digits=decimals)}]"


def _coverage(coverage: Document) -> str:
    if coverage.get("realised") is None:
        return NOT_SAID
    return f"{in_percent(coverage['realised'])} of the {in_percent(coverage['promised'])} promised"


def _permutation(permutation: Document) -> str:
    p_value = permutation.get("p_value")
    return NOT_SAID if p_value is None else f"p = {p_value:.2g} ({permutation.get('n_permutations')} permutations)"


def _baselines(baselines: Document) -> list[str]:
    known = {name: metrics for name, metrics in baselines.items() if isinstance(metrics, Mapping)}
    return [f"{name}: {_with_interval(metrics, 'r2')}" for name, metrics in known.items()] or [NOT_SAID]


def _gains(comparisons: Document) -> list[str]:
    """By how much the model's squared error is smaller than a baseline's, and whether that could be chance."""
    lines = []
    for name, gain in comparisons.items():
        interval = gain.get("corrected_interval") if isinstance(gain, Mapping) else None
        if not isinstance(interval, Mapping):
            continue
        verdict = "" if interval["lower"] > 0 else ", not clearly"
        amount = quantity(gain["difference"], "", signed=True, digits=0)
        lines.append(f"over {name}: {amount} {_bounds(interval, 0)}{verdict}")
    return lines or [NOT_SAID]


def _benefit(benefit: Document) -> list[str]:
    return [str(benefit[entry]) for entry in ("status", "reason") if benefit.get(entry)] or [NOT_SAID]
