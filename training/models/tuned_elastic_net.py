"""Elastic net and ridge that tune themselves inside the fold: compiled where the columns allow it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.base import RegressorMixin
from sklearn.pipeline import Pipeline

from predictor.model.deviation import ReferenceDeviation
from predictor.model.response_design import ResponseDesign
from training.config import InnerFolds
from training.evaluation.elastic_net_cv import MIN_PEOPLE, Columns, PenaltyGrid, tune_elastic_net
from training.evaluation.splits import GROUP_COLUMN, Partition, train_and_test
from training.models.in_fold_steps import InFoldSteps, inner_partition
from training.models.penalised_regression import FINAL_TOLERANCE, PathProblem, PenalisedRegression

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class CompiledProblem:
    """A cohort as the compiled elastic net takes it; see `training.evaluation.elastic_net_cv`.

    Columns are raw: imputation, centre and scale are learned anew from the rows of every training set, so the problem
    may be built once for a whole cohort. `inner_folds` are drawn as `TunedElasticNet` draws them.
    """

    columns: Columns
    grid: PenaltyGrid
    arms: tuple[object, ...] | None  # of everyone
    inner: InnerFolds
    seed: int
    groups: tuple[object, ...] | None = None  # of everyone

    def inner_folds(self, outcome: Floats, rows: NDArray[np.intp]) -> Partition:
        """Inner fold of every training row: the argument `inner_folds` of the compiled functions."""
        arms = None if self.arms is None else [self.arms[row] for row in rows]
        groups = None if self.groups is None else [self.groups[row] for row in rows]
        return inner_partition(outcome, arms, inner_folds=self.inner, seed=self.seed, groups=groups)


class TunedElasticNet(RegressorMixin, InFoldSteps):
    """Elastic net whose penalties are chosen by inner cross-validation; the design is refitted in every inner fold.

    The penalty grid comes from the training data (glmnet's: from the penalty that empties the model downwards); the
    choice is the smallest mean squared error over the inner folds. The one-standard-error rule was not taken: with
    the small samples of this field its error bars are wide and it would return the covariates-only model most times.

    Tuning is compiled (`training.evaluation.elastic_net_cv`) unless `compiled_problem` is None.

    Parameters
    ----------
    design, harmonization, deviation, unpenalised, inner_folds, arm, random_state
        See `InFoldSteps`.
    l1_ratios
        Candidates for the mixture; 0 is ridge.
    n_alphas, smallest_alpha_fraction
        Length of the grid and its lower end as a fraction of the upper one.

    Attributes
    ----------
    pipeline_
        Fitted Pipeline of steps "harmonization" and "deviation" (where there are such), "design" and "model", trained
        on all rows with the chosen penalties.
    choice_
        {"alpha", "l1_ratio", "inner_mse", "n_nonzero"}; alpha in the outcome's unit; with a floor of reliability also
        "n_unreliable", the number of features below it.
    inner_mse_
        Mean squared error over the inner folds, shape (n_l1_ratios, n_alphas).
    """

    def __init__(
        self,
        design: Any,
        *,
        harmonization: Any = None,
        deviation: Any = None,
        unpenalised: tuple[str, ...] = (),
        l1_ratios: tuple[float, ...] = (0.2, 0.8),
        n_alphas: int = 20,
        smallest_alpha_fraction: float = 0.05,
        inner_folds: InnerFolds = 5,
        arm: str | None = None,
        random_state: int = 0,
    ) -> None:
        self.design = design
        self.harmonization = harmonization
        self.deviation = deviation
        self.unpenalised = unpenalised
        self.l1_ratios = l1_ratios
        self.n_alphas = n_alphas
        self.smallest_alpha_fraction = smallest_alpha_fraction
        self.inner_folds = inner_folds
        self.arm = arm
        self.random_state = random_state

    def fit(self, X: pd.DataFrame, y: ArrayLike) -> Self:
        """Choose the penalties by inner cross-validation, then fit on all rows."""
        outcome = np.asarray(y, dtype=np.float64)
        steps = self._steps()
        columns = np.asarray(steps.fit_transform(X, outcome), dtype=np.float64)
        free = self._free_columns(steps)
        problem = self.compiled_problem(X)
        if problem is not None:
            tuned = tune_elastic_net(
                problem.columns, outcome, problem.inner_folds(outcome, np.arange(len(outcome))), grid=problem.grid
            )
            grids, errors = tuned.penalties, tuned.mean_squared_error
        else:
            grids = self._alpha_grids(PathProblem(columns, outcome, unpenalised=free))
            errors = self._inner_errors(X, outcome, grids)
        best_ratio, best_alpha = np.unravel_index(np.argmin(errors), errors.shape)
        model = PenalisedRegression(
            alpha=float(grids[best_ratio, best_alpha]),
            l1_ratio=self.l1_ratios[best_ratio],
            unpenalised=free,
            tolerance=FINAL_TOLERANCE,
        ).fit(columns, outcome)
        self.pipeline_ = Pipeline([*steps.steps, ("model", model)])
        self.inner_mse_ = errors
        self.choice_ = {
            "alpha": model.alpha,
            "l1_ratio": model.l1_ratio,
            "inner_mse": float(errors[best_ratio, best_alpha]),
            "n_nonzero": float(np.count_nonzero(model.coef_)),
        } | self._unreliable(steps)
        return self

    def compiled_problem(self, X: pd.DataFrame) -> CompiledProblem | None:
        """Raw columns for the compiled way, or None where inner folds must refit the steps themselves.

        None for steps that learn more from their rows than imputation, centre and scale (harmonisation, a floor of
        reliability, a design of another kind), and where features with gaps have products with the arm: the median
        that fills a gap is not the median of the product. Comparison with controls learns from no row. None also for
        ridge with more columns than people, where the other way is faster.
        """
        is_known = type(self.design) is ResponseDesign and type(self.deviation) in (type(None), ReferenceDeviation)
        if not is_known or self.harmonization is not None or self.design.minimum_reliability > 0 or len(X) < MIN_PEOPLE:
            return None
        steps = self._steps()
        table = X if self.deviation is None else steps[:-1].fit_transform(X)
        design: ResponseDesign = steps.named_steps["design"].fit(table)
        raw, arm, n_features = design.raw_inputs(table), design.arm_columns(table), len(design.feature_names_)
        has_products = self.design.arm_interactions and arm.shape[1] > 0
        is_missing = np.isnan(raw)
        has_odd_gaps = is_missing[:, n_features:].any() or (has_products and is_missing.any())
        if has_odd_gaps or ((~is_missing).sum(axis=0) < MIN_PEOPLE).any():
            return None
        # A pure ridge keeps every column, so the compiled code solves for all of them at every penalty; one singular
        # value decomposition of few people is faster by measurement.
        if not any(self.l1_ratios) and len(design.get_feature_names_out()) > len(X):
            return None
        kept = np.flatnonzero(~np.isin(design.input_names_, design.unweighted))
        of_features = kept[kept < n_features]
        blocks, scale_like = [raw[:, kept], arm], [*range(len(kept) + arm.shape[1])]
        for number in range(arm.shape[1] if has_products else 0):
            blocks.append(raw[:, of_features] * arm[:, [number]])
            scale_like += [*range(len(of_features))]
        names = [design.input_names_[number] for number in kept]
        names += design.get_feature_names_out()[raw.shape[1] : raw.shape[1] + arm.shape[1]].tolist()
        free = [number for number, name in enumerate(names) if name in set(self.unpenalised)]
        grid = PenaltyGrid(
            l1_ratios=tuple(self.l1_ratios),
            n_penalties=self.n_alphas,
            smallest_fraction=self.smallest_alpha_fraction,
            stops_early=False,
            shares_grid=True,
        )
        columns = Columns.of(np.concatenate(blocks, axis=1), unpenalised=free, scale_like=scale_like)
        arms = None if self.arm is None else tuple(X[self.arm])
        groups = tuple(X[GROUP_COLUMN]) if GROUP_COLUMN in X else None
        return CompiledProblem(columns, grid, arms, self.inner_folds, self.random_state, groups)

    def _alpha_grids(self, problem: PathProblem) -> Floats:
        """Penalties to try, shape (n_l1_ratios, n_alphas), decreasing along each row."""
        fractions = np.geomspace(1.0, self.smallest_alpha_fraction, self.n_alphas)
        return np.array([problem.largest_alpha(ratio) * fractions for ratio in self.l1_ratios])

    def _inner_errors(self, X: pd.DataFrame, outcome: Floats, grids: Floats) -> Floats:
        """Mean squared error of every candidate over the inner folds, shape of `grids`."""
        squared = np.zeros(grids.shape)
        for train, test in train_and_test(self._inner_partition(X, outcome)):
            steps = self._steps()
            columns = np.asarray(steps.fit_transform(X.iloc[train], outcome[train]), dtype=np.float64)
            held_out = np.asarray(steps.transform(X.iloc[test]), dtype=np.float64)
            problem = PathProblem(columns, outcome[train], unpenalised=self._free_columns(steps))
            for row, (ratio, alphas) in enumerate(zip(self.l1_ratios, grids, strict=True)):
                coefficients, intercepts = problem.solve(alphas, l1_ratio=ratio)
                residual = outcome[test, np.newaxis] - held_out @ coefficients - intercepts
                squared[row] += (residual**2).sum(axis=0)
        return squared / len(outcome)
