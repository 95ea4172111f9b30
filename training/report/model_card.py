"""The model card: what a reader must know about a model before using its numbers. Part of the bundle.

Everything comes from the document of an experiment record, so it holds aggregates only; what a run cannot know comes
from the section [report] of the experiment file, and whatever is absent is a gap that the card shows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from training.report.card_markdown import card_markdown
from training.report.record_parts import Document, first_model, part, rows, said, why_not
from training.report.tripod_ai import tripod_markdown, tripod_table

if TYPE_CHECKING:  # `krp card` should not wait for what trains models
    from predictor.model.bundle import ModelBundle
    from training.evaluation.treatment_effect import Status

__all__ = ["absent_entries", "card_document", "card_markdown", "with_reading_matter"]

BENEFIT_SHOWN: Status = "benefit shown"
CARD_SCHEMA = 2  # 1: cards without sections for population, calibration, subgroups, coverage, power and benefit
NOT_FOR = (
    "Decisions about the treatment of a person.",
    "People outside the range of the training cohort, or scanned and preprocessed otherwise.",
    "Conclusions about what causes the outcome.",
)
MISSING_RULE = (
    "A missing number is replaced by the median of the training people of its fold, a missing category by their "
    "shares; people without usable features or without an outcome are left out and counted."
)
NO_BENEFIT = "Saying who gains from one treatment rather than another: no such benefit was shown."
# What the service says of a person who is unlike the training people; see predictor/model/applicability.py.
APPLICABILITY = (
    "Refused: features made by another recipe; more than half of the features that the model uses missing.",
    "Flagged: features of unknown origin, missing features or covariates, an unseen site (unless the model refuses "
    "it), head motion beyond the training visits, values outside the training range.",
)
# What only people know and a card is read for; the TRIPOD+AI table asks for more.
STATEMENTS = (
    "authors", "setting", "study_dates", "eligibility", "registration", "ethics", "funding", "conflicts",
    "data_availability", "code_availability", "patient_involvement", "notes",
)  # fmt: skip
# Without one of these a card is no card; an empty list or null counts as absent, a reason for not reporting does not.
REQUIRED_ENTRIES = (
    "intended_use", "not_for", "outcome", "cohort", "n_participants", "population", "missing_data", "model",
    "validation", "metrics", "calibration", "comparisons", "permutation", "fold_isolation", "subgroups", "coverage",
    "power", "benefit", "applicability", "limits",
)  # fmt: skip


def card_document(document: Document, *, previous: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """Model card as a JSON-able document; numbers are out of fold.

    Parameters
    ----------
    document
        Of an experiment record; what it lacks is null in the card, or {"not_reported": reason}.
    previous
        Earlier versions under the same registered name, oldest first: `version`, `bundle_digest`, `gate` ("passed",
        "refused", "not asked") and, if refused, `gate_reasons`. Empty for the first version.

    Returns
    -------
    dict
        Holds neither time stamps nor paths, so equal records give equal cards.
    """
    cohort, config = part(document, "cohort"), part(document, "config")
    features = part(document, "features")
    return {
        "card_schema": CARD_SCHEMA,
        "research_use_only": True,
        "is_synthetic": document.get("is_synthetic"),
        "name": part(config, "tracking").get("registered_model"),
        "experiment": document.get("name"),
        "intended_use": _intended_use(document),
        "not_for": [*NOT_FOR, *([] if part(document, "benefit").get("status") == BENEFIT_SHOWN else [NO_BENEFIT])],
        "outcome": document.get("outcome"),
        "cohort": cohort.get("name"),
        "n_participants": cohort.get("n_participants"),
        "n_left_out": cohort.get("n_left_out"),
        "n_per_arm": cohort.get("n_per_arm"),
        "n_per_site": cohort.get("n_per_site"),
        "population": _population(document, cohort),
        "missing_data": {"share_by_family": cohort["missing"], "rule": MISSING_RULE} if "missing" in cohort else None,
        "n_features": features.get("n"),
        "feature_families": sorted(part(features, "families")),
        "features": features.get("families"),
        "minimum_reliability": part(config, "features").get("minimum_reliability"),
        "covariates": [one.get("name") for one in rows(features, "covariates")],
        "reference": cohort.get("reference"),
        "harmonization": features.get("harmonization"),
        **_performance(document),
        "coverage": _or_reason(document, "coverage", "prediction intervals were not tried out on people left out"),
        "power": document.get("power"),
        "benefit": _benefit(document),
        "applicability": [*_seen_in_training(cohort), *APPLICABILITY],
        "limits": list(rows(document, "limits")),
        "statements": {entry: said(document, entry) or None for entry in STATEMENTS},
        "change_log": [dict(one) for one in previous],
        "provenance": {
            "config_digest": document.get("config_digest"),
            "code_version": document.get("code_version"),
            "splits_digest": part(document, "folds").get("digest"),
            "recipe_hashes": features.get("recipe_hashes"),
            "environment": document.get("environment"),
        },
    }


def absent_entries(card: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the required entries that a card lacks; the promotion gate refuses a card that lacks one.

    What is not reported for a stated reason is there: a reader learns why.
    """
    return tuple(name for name in REQUIRED_ENTRIES if card.get(name) in (None, "", [], {}))


def with_reading_matter(
    bundle: ModelBundle, document: Document, *, previous: Sequence[Mapping[str, Any]] = ()
) -> ModelBundle:
    """Return the bundle with its model card and TRIPOD+AI table, both as JSON and as Markdown; see `card_document`."""
    card, table = card_document(document, previous=previous), tripod_table(document)
    return replace(
        bundle,
        card=card,
        card_text=card_markdown(card),
        tripod_ai=tuple(row.document() for row in table),
        tripod_ai_text=tripod_markdown(table),
    )


def _intended_use(document: Document) -> str:
    outcome = str(part(document, "outcome").get("name", "the outcome"))
    if document.get("is_synthetic"):
        return f"Trying out methods that predict {outcome} from a baseline visit; the training cohort is simulated."
    return f"Research on predicting {outcome} from a baseline visit, in people like those of the training cohort."


def _seen_in_training(cohort: Document) -> list[str]:
    """Return which people the model has seen, for a reader to compare with; ages by decade only."""
    age = part(cohort, "age")
    youngest, oldest = (age.get(f"{end}_decade") for end in ("min", "max"))
    seen = {
        "ages": "" if youngest is None or oldest is None else f"from the {youngest}s to the {oldest}s",
        "sites": ", ".join(part(cohort, "n_per_site")),
        "arms": ", ".join(part(cohort, "n_per_arm")),
    }
    known = "; ".join(f"{name} {value}" for name, value in seen.items() if value)
    return [f"Seen in training: {known}."] if known else []


def _population(document: Document, cohort: Document) -> dict[str, Any] | None:
    described = {name: cohort.get(name) for name in ("age", "sex", "outcome")}
    flow = [dict(stage) for stage in rows(document, "data_flow")]
    return {**described, "flow": flow} if flow or any(described.values()) else None


def _performance(document: Document) -> dict[str, Any]:
    """Return what was achieved, on which folds, and beside which baselines."""
    model, absent = first_model(document), {"not_reported": "the experiment record does not hold it"}
    assessment = part(model, "assessment")
    baselines = [one for one in rows(document, "models") if one.get("role") == "baseline"]
    permutation = {name: value for name, value in part(document, "permutation").items() if name != "null_r2"}
    audit = part(document, "audit")
    return {
        "model": model.get("name"),
        "role": model.get("role"),
        "validation": document.get("validation"),
        "folds": document.get("folds"),
        "metrics": assessment.get("metrics"),
        "baselines": {one["name"]: part(one, "assessment").get("metrics") for one in baselines},
        "comparisons": {one["name"]: one["gain_of_primary"] for one in baselines if one.get("gain_of_primary")},
        "permutation": permutation or None,
        "fold_isolation": {"passed": audit["passed"]} if "passed" in audit else None,
        "calibration": assessment.get("calibration", absent),
        "calibration_bins": list(rows(document, "calibration_bins")),
        "responders": assessment.get("responders", absent),
        "response_calibration": assessment.get("response_calibration", absent),
        "subgroups": [dict(one) for one in rows(document, "subgroups")]
        or {"not_reported": why_not(document, "subgroups") or "no column that makes subgroups is named"},
    }


def _benefit(document: Document) -> dict[str, Any] | None:
    """Return the verdict and how it was reached; the features' own tests stay in the record."""
    benefit = part(document, "benefit")
    if not benefit:
        return None
    kept = ("status", "reason", "about", "treated", "control", "n_per_arm", "unit")
    interaction = part(benefit, "interaction")
    return {name: benefit.get(name) for name in kept} | {
        "p": interaction.get("p"),
        "null_hypothesis": interaction.get("null_hypothesis"),
        "detectable_slope_difference": interaction.get("detectable_slope_difference"),
    }


def _or_reason(document: Document, key: str, reason: str) -> Any:
    found = document.get(key)
    return {"not_reported": reason} if found is None else found
