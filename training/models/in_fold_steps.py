"""What every model does inside a fold before it is fitted: harmonise, compare with controls, make the design."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.pipeline import Pipeline

from training.config import InnerFolds
from training.evaluation.splits import GROUP_COLUMN, Partition, check_fold_count, leave_one_out, stratified_folds


class InFoldSteps(BaseEstimator):
    """Steps before the model and inner folds; base of all models that tune themselves.

    Parameters
    ----------
    design
        Transformer from the input table to standardised columns; cloned, never fitted itself.
    harmonization
        Transformer that takes site effects out of the input table before anything else; None for none.
    deviation
        Transformer that appends learned features to the input table before the design; None for none.
    unpenalised
        Names of design columns that are not shrunk (arm and clinical covariates): features must add to them.
    inner_folds
        Number of inner folds, or "leave_one_out".
    arm
        Input column on which inner folds are stratified, with the site where sites are harmonised; None for cohorts
        without arms.
    random_state
        Seed of the inner folds.
    """

    design: Any
    harmonization: Any
    deviation: Any
    unpenalised: tuple[str, ...]
    inner_folds: InnerFolds
    arm: str | None
    random_state: int
    choice_: dict[str, float]
    pipeline_: Pipeline

    def predict(self, X: pd.DataFrame) -> NDArray[np.float64]:
        """Predicted outcome, shape (n_rows,)."""
        return np.asarray(self.pipeline_.predict(X), dtype=np.float64)

    def with_penalties_fixed(self) -> Pipeline:
        """Unfitted pipeline at the settings chosen by `fit`, for refits on resamples."""
        return Pipeline([*self._steps().steps, ("model", clone(self.pipeline_.named_steps["model"]))])

    def _steps(self) -> Pipeline:
        """Everything before the model, unfitted."""
        before = (("harmonization", self.harmonization), ("deviation", self.deviation))
        named = [(name, clone(step)) for name, step in before if step is not None]
        return Pipeline([*named, ("design", clone(self.design))])

    def _inner_partition(self, X: pd.DataFrame, outcome: NDArray[np.float64]) -> Partition:
        groups = list(X[GROUP_COLUMN]) if GROUP_COLUMN in X else None
        strata = self._fold_strata(X)
        return inner_partition(outcome, strata, inner_folds=self.inner_folds, seed=self.random_state, groups=groups)

    def _fold_strata(self, X: pd.DataFrame) -> list[object] | None:
        """Arm of everyone, with the site where sites are harmonised: a site needs people in every training set."""
        arms = None if self.arm is None else list(X[self.arm])
        site = getattr(self.harmonization, "site", None)
        if site is None:
            return arms
        sites = list(X[site.name])
        return sites if arms is None else list(zip(arms, sites, strict=True))

    def _free_columns(self, steps: Pipeline) -> tuple[int, ...]:
        """Positions of the unpenalised columns among what the design puts out."""
        if not self.unpenalised:
            return ()
        wanted, names = set(self.unpenalised), steps.named_steps["design"].get_feature_names_out()
        return tuple(number for number, name in enumerate(names) if name in wanted)

    def _unreliable(self, steps: Pipeline) -> dict[str, float]:
        """Return the number of features below the floor of reliability, where there is one."""
        floor = getattr(self.design, "minimum_reliability", 0.0)
        if not floor > 0:
            return {}
        return {"n_unreliable": float((steps.named_steps["design"].reliability_ < floor).sum())}


class TunedSettings(RegressorMixin, InFoldSteps):
    """Model with settings to choose from by inner folds; base of everything but the penalised regressions.

    Parameters
    ----------
    design, harmonization, deviation, unpenalised, inner_folds, arm, random_state
        See `InFoldSteps`.
    model
        Unfitted; cloned for every fit.
    settings
        Parameters of the model to choose from.
    """

    def __init__(
        self,
        design: Any,
        model: Any,
        *,
        settings: tuple[Mapping[str, Any], ...] = ({},),
        harmonization: Any = None,
        deviation: Any = None,
        unpenalised: tuple[str, ...] = (),
        inner_folds: InnerFolds = 5,
        arm: str | None = None,
        random_state: int = 0,
    ) -> None:
        self.design = design
        self.model = model
        self.settings = settings
        self.harmonization = harmonization
        self.deviation = deviation
        self.unpenalised = unpenalised
        self.inner_folds = inner_folds
        self.arm = arm
        self.random_state = random_state


def inner_partition(
    outcome: NDArray[np.float64],
    arms: list[object] | None,
    *,
    inner_folds: InnerFolds,
    seed: int,
    groups: list[object] | None = None,
) -> Partition:
    """Inner fold of every training person, balanced over arms and outcome; groups stay together.

    Raises
    ------
    TrainingError
        If there are fewer people (or groups) than folds.
    """
    if inner_folds == "leave_one_out":
        return leave_one_out(len(outcome), groups=groups)
    n_units, unit = (len(outcome), "participants") if groups is None else (len(set(groups)), "groups")
    check_fold_count(n_units, inner_folds, where="[validation] inner_folds", unit=unit)
    return stratified_folds(outcome, arms, n_folds=inner_folds, rng=np.random.default_rng(seed), groups=groups)
