"""Elastic net tuned and judged by cross-validation, compiled: minutes of R become seconds, thousands of refits minutes.

Minimises 1/(2n) |y - Xb - Zc|^2 + penalty * l1_ratio * |b|_1 + penalty / s * (1 - l1_ratio) / 2 * |b|^2 over columns
that are divided by their standard deviation (1/n) in the training rows; Z is the intercept and the unpenalised
columns, s the standard deviation (1/n) of what Z leaves of y. Without unpenalised columns this is glmnet's objective,
and leave-one-out with the default grid is R's `cv.glmnet(x, y, foldid = 1:n, grouped = FALSE)` at `lambda.min`. With
them it is that of `training.models.penalised_regression`; glmnet would scale by y itself and rescale its penalties.

Solutions are exact to rounding, so nothing depends on where a solver stopped. Held-out people of outer folds never
enter a computation before they are predicted. Training sets of inner folds are made by subtracting the held-out
people from sums over the outer training set: the same to rounding, not bit by bit.

References
----------
Friedman J, Hastie T, Tibshirani R (2010). Regularization paths for generalized linear models via coordinate descent.
J Stat Softw 33(1):1-22.
Varma S, Simon R (2006). Bias in error estimation when using cross-validation for model selection. BMC Bioinformatics
7:91.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from predictor.errors import TrainingError
from training.evaluation import elastic_net_kernel as kernel
from training.evaluation.metrics import r2_against_training_mean
from training.evaluation.nested_cv import OutOfFold
from training.evaluation.permutation import Exchange, MakePartition, PermutationTest, Progress
from training.evaluation.splits import Partition, leave_one_out, train_and_test
from training.workers import map_compiled

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]
# (outcome of the training rows, training rows) -> inner fold of every training row
MakeInnerFolds = Callable[[Floats, Rows], Partition]

# With more columns than this per person, columns are kept rather than their covariances: faster by measurement.
WIDE_COLUMNS_PER_PERSON = 4
MIN_PEOPLE = 3


@dataclass(frozen=True, slots=True)
class PenaltyGrid:
    """Which penalties are tried; the defaults are those of `cv.glmnet`.

    Parameters
    ----------
    l1_ratios
        Mixtures, each from 0 (ridge) to 1 (lasso); glmnet's alpha.
    n_penalties
        Length of the path, from the penalty that empties the model downwards, evenly in its logarithm.
    smallest_fraction
        Lower end as a fraction of the upper one; None takes 1e-4, or 1e-2 with more columns than people.
    stops_early
        Leave out the end of a path on which the model hardly changes, by glmnet's rules.
    shares_grid
        Inner folds are solved at the penalties of their whole training set. Otherwise each fold has its own, and its
        predictions are interpolated, as `cv.glmnet` does when it is given no `lambda`.
    """

    l1_ratios: tuple[float, ...] = (0.5,)
    n_penalties: int = 100
    smallest_fraction: float | None = None
    stops_early: bool = True
    shares_grid: bool = False

    def __post_init__(self) -> None:
        if not self.l1_ratios or not all(0 <= ratio <= 1 for ratio in self.l1_ratios):
            raise TrainingError(f"expected l1 ratios between 0 and 1, got {self.l1_ratios}.", where="l1_ratios")
        if self.n_penalties < 1:
            raise TrainingError(f"expected at least 1 penalty, got {self.n_penalties}.", where="n_penalties")
        if self.smallest_fraction is not None and not 0 < self.smallest_fraction <= 1:
            raise TrainingError(
                f"expected a fraction above 0 and up to 1, got {self.smallest_fraction}.", where="smallest_fraction"
            )


CV_GLMNET = PenaltyGrid()


@dataclass(frozen=True, slots=True, eq=False)
class ElasticNetPath:
    """One elastic net at decreasing penalties, for columns as they were given."""

    penalties: Floats  # (n_penalties,), in the outcome's unit; glmnet's lambda
    coefficients: Floats  # (n_columns, n_penalties)
    intercepts: Floats  # (n_penalties,)
    explained: Floats  # (n_penalties,): share of the outcome's variance beside unpenalised columns; glmnet's dev.ratio


@dataclass(frozen=True, slots=True, eq=False)
class TunedPenalty:
    """What cross-validation says about every penalty; NaN where the path stopped early."""

    l1_ratios: tuple[float, ...]
    penalties: Floats  # (n_l1_ratios, n_penalties)
    mean_squared_error: Floats  # (n_l1_ratios, n_penalties); glmnet's cvm
    standard_error: Floats  # (n_l1_ratios, n_penalties); glmnet's cvsd with grouped = FALSE

    @property
    def best(self) -> tuple[int, int]:
        """Position (l1 ratio, penalty) of the smallest error; the largest penalty where several share it."""
        ratio, penalty = divmod(int(np.nanargmin(self.mean_squared_error)), self.mean_squared_error.shape[1])
        return ratio, penalty

    @property
    def within_one_standard_error(self) -> tuple[int, int]:
        """Position of the largest penalty, at the best l1 ratio, whose error is no more than one standard error off."""
        ratio, penalty = self.best
        most = self.mean_squared_error[ratio, penalty] + self.standard_error[ratio, penalty]
        return ratio, int(np.argmax(self.mean_squared_error[ratio] <= most))


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """Predictors, checked and in the order of the compiled code: unpenalised columns first.

    Parameters
    ----------
    X
        Shape (n_people, n_columns). NaN is missing and takes the median of the training rows, in every fold anew; in
        a fold where nobody has a value the column is left out.
    unpenalised
        Numbers of the columns that are not shrunk (arm, clinical covariates).
    scale_like
        Per column, the number of the column whose standard deviation divides it; None: its own. An interaction of a
        feature with the arm is divided by the feature's.
    standardise
        False takes the columns as they are, only centred.

    Raises
    ------
    TrainingError
        If X is no table of finite or missing numbers, or a column has fewer than 3 values.
    """

    values: Floats  # (n_columns, n_people)
    order: Rows  # (n_columns,): number in X of every row of `values`
    n_free: int
    scale_like: NDArray[np.int64]  # (n_columns,)
    standardise: bool = True

    @classmethod
    def of(
        cls,
        X: ArrayLike,
        *,
        unpenalised: Sequence[int] = (),
        scale_like: Sequence[int] | None = None,
        standardise: bool = True,
    ) -> Columns:
        """Check and order."""
        table = np.asarray(X, dtype=np.float64)
        if table.ndim != 2:
            raise TrainingError(f"expected predictors of shape (n_people, n_columns), got {table.shape}.")
        _check_values(table, is_own_scale=np.asarray(scale_like is None or np.arange(table.shape[1]) == scale_like))
        is_free = np.zeros(table.shape[1], dtype=bool)
        is_free[list(unpenalised)] = True
        order = np.concatenate([np.flatnonzero(is_free), np.flatnonzero(~is_free)])
        place = np.argsort(order)
        like = order if scale_like is None else np.asarray(scale_like)[order]
        values = np.ascontiguousarray(table.T[order])
        return cls(values, order, int(is_free.sum()), place[like].astype(np.int64), standardise)

    def with_outcome(self, y: ArrayLike) -> Floats:
        """Values with the outcome as last row, shape (n_columns + 1, n_people).

        Raises
        ------
        TrainingError
            If there are fewer than 3 people, or the outcome does not fit or is not finite.
        """
        outcome, n_people = np.asarray(y, dtype=np.float64), self.values.shape[1]
        if n_people < MIN_PEOPLE or outcome.shape != (n_people,):
            raise TrainingError(
                f"expected at least {MIN_PEOPLE} people and one outcome each, "
                f"got {n_people} people and outcomes of shape {outcome.shape}."
            )
        if not np.isfinite(outcome).all():
            row = int(np.argmin(np.isfinite(outcome)))
            raise TrainingError(f"expected finite outcomes, found another in row {row} (counted from 0).")
        return np.concatenate([self.values, outcome[np.newaxis]])


def elastic_net_path(
    columns: Columns, y: ArrayLike, *, penalties: ArrayLike | None = None, grid: PenaltyGrid = CV_GLMNET
) -> ElasticNetPath:
    """Fit all people at every penalty.

    Parameters
    ----------
    columns
        Predictors.
    y
        Outcome, shape (n_people,).
    penalties
        Decreasing, in the outcome's unit, at least 0; None takes those of `grid`.
    grid
        Its first l1 ratio is taken.

    Raises
    ------
    TrainingError
        If the input is not as described.
    """
    values = columns.with_outcome(y)
    n_columns, n_people = values.shape
    given = np.empty(grid.n_penalties) if penalties is None else np.array(penalties, dtype=np.float64)
    if penalties is not None and ((given < 0).any() or (np.diff(given) > 0).any()):
        raise TrainingError("expected decreasing penalties of at least 0.")
    path = kernel.SolvedPath(
        given,
        np.zeros((len(given), n_columns)),
        np.zeros(len(given)),
        np.zeros(len(given)),
        np.zeros(len(given), np.int64),
    )
    plan = _plan(columns, grid, n_people, stops_early=grid.stops_early and penalties is None)
    n_solved = kernel.fit_path(values, np.arange(n_people), penalties is not None, *plan, *path)
    _check_solved(n_solved > 0)
    coefficients = np.empty((n_columns - 1, n_solved))
    coefficients[columns.order] = path.coefficients[:n_solved, :-1].T
    return ElasticNetPath(
        path.penalties[:n_solved], coefficients, path.intercepts[:n_solved], path.explained[:n_solved]
    )


def tune_elastic_net(
    columns: Columns, y: ArrayLike, folds: Partition, *, grid: PenaltyGrid = CV_GLMNET
) -> TunedPenalty:
    """Cross-validated error of every penalty.

    Parameters
    ----------
    folds
        Fold of every person, shape (n_people,); see `training.evaluation.splits`.

    Raises
    ------
    TrainingError
        If the input is not as described, or a fold leaves fewer than 2 people to train on.
    """
    values = columns.with_outcome(y)
    everyone, nobody = np.arange(values.shape[1]), np.empty(0, dtype=np.intp)
    tuned = _tune(values, everyone, folds, nobody, columns, grid)
    return _summary(tuned, grid)


def nested_elastic_net(
    columns: Columns,
    y: ArrayLike,
    folds: Partition,
    *,
    inner_folds: MakeInnerFolds | None = None,
    grid: PenaltyGrid = CV_GLMNET,
) -> OutOfFold:
    """Predict every person by a model that was tuned and trained without them.

    Parameters
    ----------
    folds
        Outer fold of every person, shape (n_people,).
    inner_folds
        Draws the inner folds of a training set; None leaves one out.

    Returns
    -------
    OutOfFold
        `choices` holds alpha (the penalty), l1_ratio, inner_mse and n_nonzero of every outer fold.

    Raises
    ------
    TrainingError
        If the input is not as described, or a fold leaves fewer than 2 people to train on.
    """
    return _nested(columns.with_outcome(y), columns, folds, inner_folds or _leave_one_out, grid)


def permute_elastic_net(
    columns: Columns,
    y: ArrayLike,
    *,
    strata: Sequence[object] | None = None,
    groups: Sequence[object] | None = None,
    make_partition: MakePartition,
    inner_folds: MakeInnerFolds | None = None,
    grid: PenaltyGrid = CV_GLMNET,
    observed_r2: float,
    n_permutations: int,
    seed: int,
    n_jobs: int = 1,
    show: Progress | None = None,
) -> PermutationTest:
    """Chance level of the whole nested cross-validation, tuning included.

    The null hypothesis and the permutations are those of `training.evaluation.permutation.permutation_test`: with the
    same seed, the same people exchange outcomes and the same folds are drawn.

    Parameters
    ----------
    strata
        Arm and site of every person; outcomes are exchanged within. None permutes over everyone.
    groups
        Group of every person; whole groups exchange outcomes. None: everyone is on their own.
    make_partition
        Draws outer folds for an outcome, anew for every permutation.
    observed_r2
        R2 of one cross-validation with the true outcome.
    n_jobs
        Threads, since the compiled code holds no lock; on an open cluster, all of it.
    show
        Passes the draws through, for a progress bar.

    Raises
    ------
    TrainingError
        If the input is not as described, or nothing can be exchanged.
    """
    values = columns.with_outcome(y)
    outcome = values[-1]
    exchange = Exchange.within(len(outcome), strata=strata, groups=groups)
    exchange.check(outcome)

    def permuted_r2(seed: np.random.SeedSequence) -> float:
        """R2 of one nested cross-validation with permuted outcomes."""
        rng = np.random.default_rng(seed)
        permuted = np.concatenate([values[:-1], exchange.permute(outcome, rng)[np.newaxis]])
        folds = make_partition(permuted[-1], rng)
        return r2_against_training_mean(_nested(permuted, columns, folds, inner_folds or _leave_one_out, grid))

    seeds = np.random.SeedSequence(seed).spawn(n_permutations)
    draws = map_compiled(permuted_r2, seeds, n_jobs=n_jobs)
    null = np.fromiter(draws if show is None else show(draws, n_permutations), dtype=np.float64)
    return PermutationTest(observed_r2, np.sort(null))


def _check_values(table: Floats, *, is_own_scale: NDArray[np.bool_]) -> None:
    is_wrong = np.isinf(table) | (np.isnan(table) & ~is_own_scale)
    if is_wrong.any():
        row, column = (int(found[0]) for found in np.nonzero(is_wrong))
        raise TrainingError(
            f"expected finite predictors, found {is_wrong.sum()} others, the first in row {row}, column {column} "
            "(counted from 0). Only columns that are divided by their own standard deviation may have missing values.",
        )
    n_known = len(table) - np.isnan(table).sum(axis=0)
    if (n_known < MIN_PEOPLE).any():
        column = int(np.argmin(n_known))
        raise TrainingError(
            f"expected at least {MIN_PEOPLE} values in every column, got {n_known[column]} in column {column} "
            "(counted from 0).",
            remedy="Leave such columns out.",
        )


def _nested(
    values: Floats, columns: Columns, folds: Partition, inner_folds: MakeInnerFolds, grid: PenaltyGrid
) -> OutOfFold:
    outcome = values[-1]
    prediction, training_mean = np.full((1, len(outcome)), np.nan), np.full((1, len(outcome)), np.nan)
    choices = []
    for train, test in train_and_test(folds):
        tuned = _tune(values, train, inner_folds(outcome[train], train), test, columns, grid)
        found = _summary(tuned, grid)
        ratio, penalty = found.best
        prediction[0, test] = tuned.predictions[ratio, :, penalty]
        training_mean[0, test] = outcome[train].mean()
        choices.append(
            {
                "alpha": float(found.penalties[ratio, penalty]),
                "l1_ratio": grid.l1_ratios[ratio],
                "inner_mse": float(found.mean_squared_error[ratio, penalty]),
                "n_nonzero": float(tuned.n_nonzero[ratio, penalty]),
            }
        )
    return OutOfFold(outcome, prediction, training_mean, folds[np.newaxis], tuple(choices))


def _tune(
    values: Floats, train: Rows, folds: Partition, test: Rows, columns: Columns, grid: PenaltyGrid
) -> kernel.Tuned:
    """Solve the paths of one training set and of its inner folds."""
    _, numbers, sizes = np.unique(folds, return_inverse=True, return_counts=True)
    if len(folds) != len(train) or len(sizes) < 2 or len(train) - sizes.max() < 2:
        raise TrainingError(
            f"expected an inner fold for each of {len(train)} people, in 2 folds or more that leave at least 2 people "
            f"to train on; got {len(folds)} labels, {len(sizes)} folds, the largest of {sizes.max()}."
        )
    shape = len(grid.l1_ratios), grid.n_penalties
    tuned = kernel.Tuned(
        penalties=np.full(shape, np.nan),
        n_solved=np.zeros(shape[0], dtype=np.int64),
        squared_errors=np.full((shape[0], len(train), shape[1]), np.nan),
        predictions=np.full((shape[0], len(test), shape[1]), np.nan),
        n_nonzero=np.zeros(shape, dtype=np.int64),
    )
    plan = _plan(columns, grid, len(train), stops_early=grid.stops_early)
    labels = numbers.astype(np.int64, copy=False)
    kernel.tune(values, train.astype(np.int64), labels, len(sizes), test.astype(np.int64), *plan, *tuned)
    _check_solved(bool(tuned.n_solved.all()))
    return tuned


def _plan(columns: Columns, grid: PenaltyGrid, n_people: int, *, stops_early: bool) -> kernel.Plan:
    return kernel.Plan(
        n_free=columns.n_free,
        scale_like=columns.scale_like,
        is_standardised=columns.standardise,
        is_wide=len(columns.values) > WIDE_COLUMNS_PER_PERSON * n_people,
        has_missing=bool(np.isnan(columns.values).any()),
        l1_ratios=np.array(grid.l1_ratios, dtype=np.float64),
        n_penalties=grid.n_penalties,
        smallest_fraction=-1.0 if grid.smallest_fraction is None else float(grid.smallest_fraction),
        stops_early=stops_early,
        shares_grid=grid.shares_grid,
    )


def _summary(tuned: kernel.Tuned, grid: PenaltyGrid) -> TunedPenalty:
    mean = tuned.squared_errors.mean(axis=1)
    spread = ((tuned.squared_errors - mean[:, np.newaxis]) ** 2).mean(axis=1)
    standard_error = np.sqrt(spread / (tuned.squared_errors.shape[1] - 1))
    return TunedPenalty(grid.l1_ratios, tuned.penalties, mean, standard_error)


def _check_solved(is_solved: bool) -> None:
    if not is_solved:
        raise TrainingError(
            "the elastic net found no solution in 20,000 steps.",
            remedy="Look for columns that are the same, or nearly, or of enormous size.",
        )


def _leave_one_out(outcome: Floats, train: Rows) -> Partition:
    return leave_one_out(len(train))
