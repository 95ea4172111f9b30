"""Whether prediction intervals hold what they promise, counted on people who had no part in making them.

In every outer fold the whole procedure is repeated on the training people (inner folds, tuning, residuals, CV+), and
the people left out are looked up in their intervals. Comparing residuals with the quantiles of the same residuals would
not do: that comes out right whatever the model.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from numpy.typing import NDArray
from scipy import stats

from predictor.errors import TrainingError
from predictor.model.out_of_fold import MIN_PEOPLE, OutOfFoldResiduals
from predictor.model.prediction import INTERVAL_LEVEL as PROMISED
from training.evaluation.metrics import Interval
from training.evaluation.nested_cv import fit_fold
from training.evaluation.splits import Partition, PartitionMaker, train_and_test

Floats = NDArray[np.float64]

COVERAGE_LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class RealisedCoverage:
    """How many people's outcomes lay in their prediction intervals, and how many were promised."""

    promised: float
    guaranteed: float  # what theory guarantees for any model, less a term that vanishes with larger folds
    realised: float
    interval: Interval  # Clopper-Pearson; people of a fold share a model, so it is a little too narrow
    n_people: int
    mean_width: float  # in the outcome's unit
    by_group: Mapping[str, float]  # realised share in each arm or other group

    @property
    def is_kept(self) -> bool:
        """Whether the promise is within the interval of what was realised, or exceeded."""
        return self.interval.upper >= self.promised

    def document(self) -> dict[str, Any]:
        """Fields by name, ready for JSON."""
        return {**asdict(self), "by_group": dict(self.by_group), "is_kept": self.is_kept}

    def line(self) -> str:
        """One line for the screen."""
        return (
            f"{self.promised:.0%} prediction intervals held {self.realised:.0%} of {self.n_people} people "
            f"[{self.interval.lower:.0%}, {self.interval.upper:.0%}], mean width {self.mean_width:.3g}"
        )


def cv_plus_intervals(fold_predictions: Floats, residuals: OutOfFoldResiduals, *, level: float = PROMISED) -> Floats:
    """CV+ intervals of many people; with a fold per training person, jackknife+.

    Parameters
    ----------
    fold_predictions
        Predictions of every fold model for the new people, shape (n_folds, n_new).
    residuals
        Of the training people, by the same fold models.
    level
        Promised coverage.

    Returns
    -------
    ndarray of shape (n_new, 2)
        Lower and upper ends, in the outcome's unit.

    References
    ----------
    Barber, Candes, Ramdas and Tibshirani (2021). Predictive inference with the jackknife+. Ann Stat 49:486-507.
    """
    found = [residuals.interval(by_fold, level=level) for by_fold in fold_predictions.T]
    return np.array([(one.lower, one.upper) for one in found]).reshape(-1, 2)


def realised_coverage(
    estimator: Any,
    inputs: pd.DataFrame,
    outcome: Floats,
    folds: Partition,
    *,
    make_partition: PartitionMaker,
    groups: Sequence[str] | None = None,
    level: float = PROMISED,
    seed: int = 0,
    n_jobs: int = 1,
) -> RealisedCoverage:
    """Coverage of CV+ intervals on people left out of everything that made them.

    Parameters
    ----------
    estimator
        scikit-learn regressor that tunes itself; fitted n_folds * n_inner_folds times.
    inputs, outcome
        The cohort.
    folds
        Outer fold of every participant, shape (n_participants,).
    make_partition
        Draws the inner folds; its arms are those of the whole cohort.
    groups
        Arm of every participant, or another label by which coverage is told apart.
    level
        Promised coverage.

    Raises
    ------
    TrainingError
        If an outer fold leaves too few people to make an interval of.
    """
    parts = list(train_and_test(folds))
    needed = max(MIN_PEOPLE, int(np.ceil(level / (1 - level) - 1e-9)))
    fewest = min(len(train) for train, _ in parts)
    if fewest < needed:
        raise TrainingError(
            f"expected at least {needed} training people in every fold for {level:.0%} intervals, got {fewest}.",
            where="[validation] n_folds",
        )
    seeds = np.random.SeedSequence(seed).spawn(len(parts))
    found: Iterable[Floats] = Parallel(n_jobs=n_jobs)(
        delayed(_intervals_of_fold)(estimator, inputs, outcome, train, test, make_partition, level, one)
        for (train, test), one in zip(parts, seeds, strict=True)
    )
    ends = np.empty((len(outcome), 2))
    for (_, test), of_fold in zip(parts, found, strict=True):
        ends[test] = of_fold
    return count_covered(outcome, ends, groups=groups, level=level)


def count_covered(
    outcome: Floats, intervals: Floats, *, groups: Sequence[str] | None = None, level: float = PROMISED
) -> RealisedCoverage:
    """Count outcomes within their intervals, shape (n_people, 2), ends included."""
    is_inside = (intervals[:, 0] <= outcome) & (outcome <= intervals[:, 1])
    ends = stats.binomtest(int(is_inside.sum()), len(outcome)).proportion_ci(COVERAGE_LEVEL, method="exact")
    labels = np.asarray(groups if groups is not None else [], dtype=str)
    return RealisedCoverage(
        promised=level,
        guaranteed=2 * level - 1,
        realised=float(is_inside.mean()),
        interval=Interval(float(ends.low), float(ends.high), COVERAGE_LEVEL),
        n_people=len(outcome),
        mean_width=float((intervals[:, 1] - intervals[:, 0]).mean()),
        by_group={str(label): float(is_inside[labels == label].mean()) for label in np.unique(labels)},
    )


def _intervals_of_fold(
    estimator: Any,
    inputs: pd.DataFrame,
    outcome: Floats,
    train: NDArray[np.intp],
    test: NDArray[np.intp],
    make_partition: PartitionMaker,
    level: float,
    seed: np.random.SeedSequence,
) -> Floats:
    """Make the intervals of one outer fold's test people from its training people, shape (n_test, 2)."""
    inner = make_partition.of_rows(train)(outcome[train], np.random.default_rng(seed))
    prediction = np.empty(len(train))
    of_new = []
    for kept, left_out in train_and_test(inner):
        fitted = fit_fold(estimator, inputs, outcome, train[kept])
        both = fitted.predict(inputs.iloc[np.concatenate([train[left_out], test])])
        prediction[left_out], of_test = both[: len(left_out)], both[len(left_out) :]
        of_new.append(of_test)
    residuals = OutOfFoldResiduals(
        fold_index=np.unique(inner, return_inverse=True)[1].astype(np.int64),
        arm_index=np.zeros(len(train), dtype=np.int64),
        prediction=prediction,
        residual=outcome[train] - prediction,
    )
    return cv_plus_intervals(np.stack(of_new), residuals, level=level)
