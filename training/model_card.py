"""What a reader must know about a model before using its numbers; part of the bundle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from training.config import ExperimentConfig
from training.evaluation.assessment import Assessment
from training.evaluation.conformal import RealisedCoverage
from training.evaluation.metrics import Metrics, NotReported, PairedComparison
from training.evaluation.permutation import PermutationTest
from training.evaluation.power import PowerStatement
from training.evaluation.treatment_effect import BenefitAnalysis
from training.training_table import TrainingTable

INTENDED_USE = "Research on predicting improvement from a baseline visit, in people like those of the training cohort."
NOT_FOR = (
    "Decisions about the treatment of a person.",
    "People outside the range of the training cohort, or scanned and preprocessed otherwise.",
    "Conclusions about what causes improvement.",
)
# Below about this many people, error bars of cross-validation exceed 10 points of accuracy (Varoquaux 2018).
SMALL_COHORT = 100


def make_card(
    table: TrainingTable,
    config: ExperimentConfig,
    *,
    metrics: Metrics,
    comparisons: Mapping[str, PairedComparison],
    permutation: PermutationTest | None,
    assessment: Assessment | None = None,
    power: PowerStatement | None = None,
    coverage: RealisedCoverage | None = None,
    benefit: BenefitAnalysis | None = None,
) -> dict[str, Any]:
    """Model card as a JSON-able document; numbers are out of fold."""
    return {
        "intended_use": INTENDED_USE,
        "not_for": list(NOT_FOR),
        "research_use_only": True,
        "outcome": table.outcome_definition.document(),
        "cohort": config.cohort.name or config.name,
        "n_participants": len(table.outcome),
        "n_left_out": len(table.left_out),
        "n_per_arm": _counts(table),
        "n_features": len(table.weighted_definitions),
        "feature_families": sorted({definition.family for definition in table.weighted_definitions}),
        "minimum_reliability": config.features.minimum_reliability,
        "reference": reference_document(table),
        "harmonization": harmonization_document(table),
        "covariates": [covariate.name for covariate in table.covariates],
        "model": config.model.primary,
        "validation": _validation(config),
        "metrics": asdict(metrics),
        "comparisons": {name: asdict(comparison) for name, comparison in comparisons.items()},
        "permutation": permutation_document(permutation),
        "assessment": assessment_document(assessment) if assessment else None,
        "power": power.document() if power else None,
        "coverage": coverage.document() if coverage else None,
        "benefit": {"status": benefit.status, "reason": benefit.reason} if benefit else None,
        "limits": [
            *limits(table, config, metrics=metrics, comparisons=comparisons, permutation=permutation),
            *limits_of_groups(table),
            *limits_of_intervals(coverage),
            *limits_of_benefit(benefit),
        ],
    }


def assessment_document(assessment: Assessment) -> dict[str, Any]:
    """Return calibration slope, AUC and their like with intervals, and why some are not reported."""
    parts = {"calibration": assessment.calibration, "responders": assessment.responders}
    reasons = {name: part.reason for name, part in parts.items() if isinstance(part, NotReported)}
    return {"response_rule": assessment.response_rule, **assessment.values(), "not_reported": reasons}


def limits_of_groups(table: TrainingTable) -> list[str]:
    """Say how few strangers the people are."""
    n_people, n_groups = len(table.outcome), len(set(table.groups or ()))
    if table.groups is None or n_groups == n_people:
        return []
    return [f"{n_people} rows of {n_groups} families or persons: intervals and tests count {n_groups}, not {n_people}."]


def limits_of_intervals(coverage: RealisedCoverage | None) -> list[str]:
    """Say where prediction intervals do not hold what they promise."""
    if coverage is None:
        return ["Prediction intervals were not tried out on people left out."]
    found = [
        f"The {coverage.promised:.0%} prediction intervals held only {coverage.by_arm[arm].realised:.0%} of the people "
        f"in the arm {arm}."
        for arm in coverage.lacking
    ]
    if not coverage.is_kept:
        share = f"{coverage.realised:.0%} of all people"
        found.append(f"The {coverage.promised:.0%} prediction intervals held only {share}.")
    return found


def limits_of_benefit(benefit: BenefitAnalysis | None) -> list[str]:
    """Say that who gains from the treatment is not known, unless it was shown."""
    if benefit is None or benefit.status == "benefit shown":
        return []
    return [f"Who gains more from one arm than from the other is not shown ({benefit.status}): {benefit.reason}."]


def permutation_document(test: PermutationTest | None) -> dict[str, Any]:
    """Return the permutation test in numbers, or that there was none."""
    if test is None:
        return {"p_value": None, "n_permutations": 0, "null_hypothesis": "not tested"}
    return {
        "p_value": test.p_value,
        "n_permutations": len(test.null_r2),
        "n_planned": test.n_planned or len(test.null_r2),
        "stopped_early": test.stopped_early,
        "statistic": "R2 of one cross-validation" if not test.competitors else "highest R2 among the competing models",
        "competitors": list(test.competitors),
        "observed_r2": test.observed_r2,
        "null_r2_mean": float(test.null_r2.mean()),
        "null_hypothesis": test.null_hypothesis,
    }


def reference_document(table: TrainingTable) -> dict[str, Any] | None:
    """Return with whom people are compared, None without controls."""
    if table.reference is None:
        return None
    step = table.reference.step
    return {
        "n_controls": table.reference.n_people,
        "features": sorted({source.family for source in table.reference.sources}),
        "expected_given": [covariate.name for covariate in step.covariates],
        "threshold": step.threshold,
    }


def harmonization_document(table: TrainingTable) -> dict[str, Any] | None:
    """Return how site effects are taken out of the features, None if they are not."""
    step = table.harmonization
    if step is None:
        return None
    return {
        "n_features": len(step.features),
        "sites": list(step.site.levels),
        "preserved": [covariate.name for covariate in step.preserved],
        "reference_site": step.reference_site,
        "unseen_site": step.unseen_site,
    }


def limits(
    table: TrainingTable,
    config: ExperimentConfig,
    *,
    metrics: Metrics,
    comparisons: Mapping[str, PairedComparison],
    permutation: PermutationTest | None,
) -> list[str]:
    """Sentences on what the numbers do not carry, from the numbers themselves."""
    n_people = len(table.outcome)
    found = [f"Judged by cross-validation within {n_people} people; not validated in another cohort."]
    if n_people < SMALL_COHORT:
        found.append(f"{n_people} people are few: another sample of this size could give a quite different R2.")
    if metrics.r2_interval.lower <= 0:
        found.append("The interval of R2 includes 0: it may predict no better than the mean.")
    unbeaten = [name for name, comparison in comparisons.items() if comparison.corrected_interval.lower <= 0]
    if unbeaten:
        found.append(f"Not shown to be better than: {', '.join(unbeaten)}.")
    if permutation is None:
        found.append("Chance level was not tested by permutation.")
    elif permutation.p_value >= 0.05:
        found.append(f"Not distinguishable from chance (permutation p = {permutation.p_value:.2g}).")
    if not config.covariates.site or table.inputs[config.covariates.site].nunique() < 2:
        found.append("One site only, or site unknown: other scanners may shift the predictions.")
    if table.reference and table.reference.n_people < SMALL_COHORT:
        found.append(f"Deviations are from what {table.reference.n_people} controls let expect.")
    return found


def _validation(config: ExperimentConfig) -> str:
    validation = config.validation
    inner = validation.inner_folds
    tuned = "leave-one-out" if inner == "leave_one_out" else f"{inner}-fold"
    if validation.scheme == "leave_one_out":
        of = "one-group" if config.cohort.groups else "one"
        return f"nested leave-{of}-out, penalties tuned by inner {tuned}"
    if validation.scheme == "leave_one_site_out":
        return f"nested leave-one-site-out, penalties tuned by inner {tuned}"
    return f"nested {validation.n_repeats}x{validation.n_folds}-fold, penalties tuned by inner {tuned}"


def _counts(table: TrainingTable) -> dict[str, int]:
    arms = table.arms or ["all"] * len(table.outcome)
    return {arm: arms.count(arm) for arm in sorted(set(arms))}
