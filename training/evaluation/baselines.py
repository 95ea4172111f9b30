"""What any useful model must beat, on the same folds: least squares on little, without the brain.

"covariates only" knows everything that the models are told besides features. Without it, a model would beat all others
by knowing the arm *and* the site, when both matter and no other baseline knows the two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import Pipeline

from predictor.model.outcome_definition import Covariate, CovariateRole
from predictor.model.response_design import ResponseDesign

REQUIRED_BASELINES = (
    "constant", "arm only", "clinical only", "arm + clinical", "covariates only", "motion only", "site only",
    "age/sex only",
)  # fmt: skip
_NEEDS: Mapping[str, tuple[CovariateRole, ...]] = {
    "arm only": ("arm",), "clinical only": ("clinical",), "arm + clinical": ("arm", "clinical"),
    "covariates only": ("site",), "site only": ("site",), "age/sex only": ("demographic",),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Baseline:
    """A simple model, and what it knows."""

    name: str
    estimator: Any  # unfitted scikit-learn regressor
    columns: tuple[str, ...]  # input columns it reads


def make_baselines(
    inputs: pd.DataFrame, *, covariates: Sequence[Covariate], motion_columns: Sequence[str]
) -> tuple[Baseline, ...]:
    """All baselines whose columns exist and vary.

    Parameters
    ----------
    inputs
        One row per participant; holds the columns of all covariates and `motion_columns`.
    covariates
        Everything known besides the scan, with roles.
    motion_columns
        Mean framewise displacement, one column per run.

    Returns
    -------
    tuple of Baseline
        "constant" first; then "arm only", "clinical only", "arm + clinical", "covariates only" (arm, clinical and
        site, where these are not one of the others), "site only", "age/sex only", "motion only".
    """
    telling = [covariate for covariate in covariates if inputs[covariate.name].nunique() > 1]
    by_role = {role: tuple(c for c in telling if c.role == role) for role in ("arm", "clinical", "site", "demographic")}
    candidates = {
        "arm only": by_role["arm"],
        "clinical only": by_role["clinical"],
        "arm + clinical": by_role["arm"] + by_role["clinical"] if by_role["arm"] and by_role["clinical"] else (),
        "covariates only": _with_site(by_role),
        "site only": by_role["site"],
        "age/sex only": by_role["demographic"],
    }
    baselines = [Baseline("constant", DummyRegressor(), ())]
    baselines += [_of_covariates(name, chosen) for name, chosen in candidates.items() if chosen]
    motion = tuple(column for column in motion_columns if inputs[column].nunique() > 1)
    if motion:
        design = ResponseDesign(features=motion, arm_interactions=False)
        baselines.append(Baseline("motion only", _least_squares(design), motion))
    return tuple(baselines)


def _with_site(by_role: dict[str, tuple[Covariate, ...]]) -> tuple[Covariate, ...]:
    """All that models are told besides features; nothing where that is no more than the site, or has no site."""
    others = by_role["arm"] + by_role["clinical"]
    return others + by_role["site"] if others and by_role["site"] else ()


def impossible_baselines(
    inputs: pd.DataFrame, *, covariates: Sequence[Covariate], motion_columns: Sequence[str]
) -> dict[str, str]:
    """Return the required baselines that these people do not allow, with the reason; parameters as above."""
    made = {one.name for one in make_baselines(inputs, covariates=covariates, motion_columns=motion_columns)}
    reasons = {}
    for name in REQUIRED_BASELINES:
        if name in made:
            continue
        roles: list[str] = [role for role in _NEEDS.get(name, ()) if all(c.role != role for c in covariates)]
        if name == "motion only" and not motion_columns:
            roles = ["motion"]
        reasons[name] = f"no column has the role {roles[0]}" if roles else "the same for everyone"
    return reasons


def _of_covariates(name: str, covariates: tuple[Covariate, ...]) -> Baseline:
    design = ResponseDesign(covariates=covariates, features=(), arm_interactions=False)
    return Baseline(name, _least_squares(design), tuple(covariate.name for covariate in covariates))


def _least_squares(design: ResponseDesign) -> Pipeline:
    return Pipeline([("design", design), ("model", LinearRegression())])
