"""Parts of the experiment record that are read off the cohort and its numbers, beside the models' own documents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from training.config import ExperimentConfig
from training.evaluation.conformal import RealisedCoverage
from training.evaluation.metrics import Metrics, PairedComparison
from training.evaluation.permutation import PermutationTest
from training.evaluation.small_cells import FEWEST_SHOWN
from training.evaluation.treatment_effect import BenefitAnalysis
from training.models.model_names import TREE_MODELS, UNTUNED_MODELS
from training.training_table import TrainingTable

# Below about this many people, error bars of cross-validation exceed 10 points of accuracy (Varoquaux 2018).
SMALL_COHORT = 100


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
        if coverage.by_arm[arm].n_people >= FEWEST_SHOWN
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


def validation_sentence(config: ExperimentConfig) -> str:
    """Say on which folds the models were judged and how their penalties or settings were tuned."""
    validation = config.validation
    inner = validation.inner_folds
    tuned = "leave-one-out" if inner == "leave_one_out" else f"{inner}-fold"
    what = "settings" if config.model.primary in TREE_MODELS else "penalties"
    of_primary = f"{what} tuned by inner {tuned}"
    if config.model.primary in UNTUNED_MODELS:
        of_primary = "one setting without tuning"
    if validation.scheme == "leave_one_out":
        of = "one-group" if config.cohort.groups else "one"
        return f"nested leave-{of}-out, {of_primary}"
    if validation.scheme == "leave_one_site_out":
        return f"nested leave-one-site-out, {of_primary}"
    return f"nested {validation.n_repeats}x{validation.n_folds}-fold, {of_primary}"


def people_per_arm(table: TrainingTable) -> dict[str, int]:
    """Return how many people each arm has; one arm "all" where there are none."""
    arms = table.arms or ["all"] * len(table.outcome)
    return {arm: arms.count(arm) for arm in sorted(set(arms))}
