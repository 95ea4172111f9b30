"""The model that answers, in the words of the page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from math import isfinite
from typing import Any

from predictor.model.bundle import ModelBundle
from predictor.model.possible_values import ANY_NUMBER, PossibleRange
from predictor.report.wording import feature_in_words, outcome_in_words
from predictor.scan.task_description import RUN_KINDS, RunKind
from serving.covariates import FIELD_PREFIX
from serving.model_store import LoadedModel
from serving.scan_upload import TABLE_PARTS, TABLES_OF_A_RUN
from serving.web.quality_view import RUN_TITLES
from serving.web.result_view import trained_on_in_words

PART_LABELS = {
    "confounds": "Confounds table",
    "confounds_sidecar": "Side-car of the confounds",
    "sidecar": "Side-car of the scan",
    "events": "Events table",
}
SCAN_FILES, TABLE_FILES, SIDECAR_FILES = ".nii,.gz", ".tsv", ".json"


@dataclass(frozen=True, slots=True)
class ModelView:
    """The model strip."""

    facts: list[tuple[str, str]]
    is_promoted: bool


@dataclass(frozen=True, slots=True)
class PartView:
    """One file input."""

    name: str
    part: str
    label: str
    accept: str
    needed: bool


@dataclass(frozen=True, slots=True)
class RunView:
    """File inputs of one run."""

    kind: RunKind
    title: str
    parts: list[PartView]


@dataclass(frozen=True, slots=True)
class CovariateView:
    """One field about the person."""

    name: str
    field: str
    label: str
    unit: str
    kind: str
    role: str
    levels: tuple[str, ...]
    smallest: str  # empty: no limit
    largest: str


def model_view(model: LoadedModel) -> ModelView:
    """Return the strip that says which model answers."""
    bundle = model.bundle
    facts = [
        ("Predicts", outcome_in_words(bundle.outcome.name)),
        ("Trained on", trained_on_in_words(bundle)),
        *_performance(bundle.card),
        ("Treatments", ", ".join(bundle.arms) if bundle.arms != ("all",) else "one for all"),
        ("Version", f"{bundle.name} {model.version.version}" + (", champion" if model.version.is_promoted else "")),
        *_day_of_the_gate(model.version.gate_passed_at),
        ("Digest, sha256", f"{str(bundle.digest)[7:19]}…"),
    ]
    return ModelView(facts, model.version.is_promoted)


def _day_of_the_gate(passed_at: str | None) -> list[tuple[str, str]]:
    """When the gate let the model through; a time that is none is not shown."""
    try:
        passed = datetime.fromisoformat(passed_at or "")
    except ValueError:
        return []
    return [("Passed the gate", f"{passed:%d %B %Y}".lstrip("0"))]


def run_views(families: tuple[str, ...]) -> list[RunView]:
    """Return the runs that a recipe's families are computed from; all of them when the names do not tell."""
    used = [kind for kind in RUN_KINDS if any(kind in family for family in families)]
    return [RunView(kind, RUN_TITLES[kind], _parts(kind)) for kind in used or RUN_KINDS]


def covariate_views(bundle: ModelBundle) -> list[CovariateView]:
    """Return the fields about the person; the arm is no question, every arm is answered for."""
    ranges = bundle.plan.covariate_ranges
    return [
        CovariateView(
            item.name,
            FIELD_PREFIX + item.name,
            feature_in_words(item.name),
            item.unit,
            item.kind,
            item.role,
            item.levels,
            *_limits(ranges.get(item.name, ANY_NUMBER)),
        )
        for item in bundle.covariates
        if item.role != "arm"
    ]


def _limits(possible: PossibleRange) -> tuple[str, str]:
    smallest, largest = (f"{end:.12g}" if isfinite(end) else "" for end in (possible.lower, possible.upper))
    return smallest, largest


def _performance(card: Mapping[str, Any]) -> list[tuple[str, str]]:
    """R2 with its interval, and where it comes from, as far as the card tells."""
    metrics = card.get("metrics") or {}
    if metrics.get("r2") is None:
        return []
    interval = metrics.get("r2_interval")
    words = f"{metrics['r2']:.2f}" + (f" [{interval['lower']:.2f}, {interval['upper']:.2f}]" if interval else "")
    facts = [("R² in cross-validation", words)]
    p_value = (card.get("permutation") or {}).get("p_value")
    return [*facts, ("Permutation test", f"p = {p_value:.2g}")] if p_value is not None else facts


def _parts(kind: RunKind) -> list[PartView]:
    scan = PartView(kind, "scan", "Scan (preprocessed BOLD, .nii.gz or .nii)", SCAN_FILES, needed=True)
    return [scan, *(_table_part(kind, table) for table in TABLES_OF_A_RUN if f"{kind}_{table}" in TABLE_PARTS)]


def _table_part(kind: RunKind, table: str) -> PartView:
    accept = SIDECAR_FILES if table.endswith("sidecar") else TABLE_FILES
    return PartView(f"{kind}_{table}", table, PART_LABELS[table], accept, needed=table in ("confounds", "events"))
