"""Study B's analysis on one screen: arms over time, pair by pair, and the change beside dissociation.

What comes out needs scans from during the infusion, so it is an analysis and can never become a predictor.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from predictor.errors import FeatureError
from training.timecourse.arm_test import ArmTest, compare_arms
from training.timecourse.cohort import TimecourseCohort
from training.timecourse.dissociation import Association, associate
from training.timecourse.mixed_model import EdgeModel, fit_edge_model
from training.timecourse.window_plan import WindowPlan

DEFAULT_PERMUTATIONS = 4999
DEFAULT_SEED = 20240315


@dataclass(frozen=True, slots=True, eq=False)
class TimecourseResult:
    """Everything that was found; `associations` is empty where dissociation is unknown."""

    plan: WindowPlan
    cohort: TimecourseCohort
    arm_test: ArmTest
    models: tuple[EdgeModel | None, ...]  # per edge; None where it cannot be estimated
    model_reasons: dict[str, str]  # edge -> why it has no model
    associations: tuple[Association, ...]
    n_permutations: int
    seed: int


def analyse(
    cohort: TimecourseCohort,
    plan: WindowPlan,
    *,
    n_permutations: int = DEFAULT_PERMUTATIONS,
    seed: int = DEFAULT_SEED,
) -> TimecourseResult:
    """Compare the arms over time, and relate the change to dissociation.

    Parameters
    ----------
    cohort
        People, arms and Fisher z of every window.
    plan
        Which windows and pairs these are.
    n_permutations
        Of arms, and of dissociation.
    seed
        Of both.
    """
    models: list[EdgeModel | None] = []
    reasons: dict[str, str] = {}
    for edge, name in enumerate(plan.edge_names):
        try:
            models.append(fit_edge_model(cohort.fisher_z[:, :, edge], cohort.is_treated))
        except FeatureError as error:
            models.append(None)
            reasons[name] = str(error)
    associations: tuple[Association, ...] = ()
    if cohort.dissociation is not None:
        associations = associate(
            dissociation_change(cohort, plan),
            cohort.dissociation,
            cohort.is_treated,
            n_permutations=n_permutations,
            seed=seed + 1,
        )
    return TimecourseResult(
        plan=plan,
        cohort=cohort,
        arm_test=compare_arms(cohort.changes, cohort.is_treated, n_permutations=n_permutations, seed=seed),
        models=tuple(models),
        model_reasons=reasons,
        associations=associations,
        n_permutations=n_permutations,
        seed=seed,
    )


def dissociation_change(cohort: TimecourseCohort, plan: WindowPlan) -> NDArray[np.float64]:
    """Mean change over the windows named for dissociation, shape (n_people, n_edges); NaN where one is missing."""
    rows = [plan.window_names[1:].index(name) for name in plan.dissociation_windows]
    return np.asarray(cohort.changes[:, rows].mean(axis=1))
