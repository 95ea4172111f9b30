"""Whether prediction intervals hold what they promise, counted on people who had no part in making them.

In every outer fold the whole procedure is repeated on the training people (inner folds, tuning, residuals, CV+), and
the people left out are looked up in their intervals. Comparing residuals with the quantiles of the same residuals would
not do: that comes out right whatever the model.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
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
from training.evaluation.permutation import Progress
from training.evaluation.resampling import Groups, effective_number
from training.evaluation.splits import Partition, PartitionMaker, codes, train_and_test

Floats = NDArray[np.float64]

COVERAGE_LEVEL = 0.95
# An arm whose coverage lies this far below the promise is named wherever the model is described [assumed].
TOLERATED_LACK = 0.05
ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class ArmCoverage:
    """How many people of one arm lay in their intervals."""

    realised: float
    interval: Interval
    n_people: int


@dataclass(frozen=True, slots=True)
class RealisedCoverage:
    """How many people's outcomes lay in their prediction intervals, and how many were promised."""

    promised: float
    guaranteed: float  # what theory guarantees for any model, less a term that vanishes with larger folds
    realised: float
    # Clopper-Pearson, with groups of the effective number of people; a fold shares a model: a little too narrow.
    interval: Interval
    n_people: int
    mean_width: float  # in the outcome's unit
    by_arm: Mapping[str, ArmCoverage]

    @property
    def is_kept(self) -> bool:
        """Whether the promise is within the interval of what was realised, or exceeded."""
        return self.interval.upper >= self.promised

    def document(self) -> dict[str, Any]:
        """Fields by name, ready for JSON."""
        by_arm = {name: asdict(one) for name, one in self.by_arm.items()}
        return {**asdict(self), "by_arm": by_arm, "is_kept": self.is_kept, "lacking": list(self.lacking)}

    @property
    def lacking(self) -> tuple[str, ...]:
        """Arms whose coverage lies clearly below the promise."""
        return tuple(
            name for name, one in self.by_arm.items() if one.realised < self.promised - TOLERATED_LACK - ROUNDING
        )

    def lines(self) -> Iterator[str]:
        """One line for the screen, and one about the arms."""
        yield (
            f"{self.promised:.0%} prediction intervals held {self.realised:.0%} of {self.n_people} people "
            f"[{self.interval.lower:.0%}, {self.interval.upper:.0%}], mean width {self.mean_width:.3g}"
        )
        if len(self.by_arm) > 1:
            of_arms = (
                f"{name} {one.realised:.0%} of {one.n_people} [{one.interval.lower:.0%}, {one.interval.upper:.0%}]"
                for name, one in self.by_arm.items()
            )
            too_low = f"; too narrow for {', '.join(self.lacking)}" if self.lacking else ""
            yield f"by arm: {', '.join(of_arms)}{too_low}"


def cv_plus_intervals(
    fold_predictions: Floats,
    residuals: OutOfFoldResiduals,
    *,
    arms: NDArray[np.int64] | None = None,
    level: float = PROMISED,
) -> Floats:
    """CV+ intervals of many people; with a fold per training person, jackknife+.

    Parameters
    ----------
    fold_predictions
        Predictions of every fold model for the new people, shape (n_folds, n_new).
    residuals
        Of the training people, by the same fold models.
    arms
        Number of every new person's arm, shape (n_new,), whose residuals count; None takes those of all arms.
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
    if arms is None:
        found = [residuals.interval(by_fold, level=level) for by_fold in fold_predictions.T]
    else:
        of_arm = {int(arm): residuals.of_arm(int(arm), level=level) for arm in np.unique(arms)}
        found = [
            of_arm[int(arm)].interval(by_fold, level=level)
            for arm, by_fold in zip(arms, fold_predictions.T, strict=True)
        ]
    return np.array([(one.lower, one.upper) for one in found]).reshape(-1, 2)


def realised_coverage(
    estimator: Any,
    inputs: pd.DataFrame,
    outcome: Floats,
    folds: Partition,
    *,
    make_partition: PartitionMaker,
    level: float = PROMISED,
    seed: int = 0,
    n_jobs: int = 1,
    show: Progress | None = None,
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
        Draws the inner folds; its arms and groups are those of the whole cohort.
    level
        Promised coverage.
    show
        Passes the folds' intervals through, to show how far the trial is.

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
    found: Iterable[Floats] = Parallel(n_jobs=n_jobs, return_as="generator")(
        delayed(_intervals_of_fold)(estimator, inputs, outcome, train, test, make_partition, level, one)
        for (train, test), one in zip(parts, seeds, strict=True)
    )
    ends = np.empty((len(outcome), 2))
    of_folds = list(found if show is None else show(found, len(parts)))
    for (_, test), of_fold in zip(parts, of_folds, strict=True):
        ends[test] = of_fold
    return count_covered(outcome, ends, arms=make_partition.arms, groups=make_partition.groups, level=level)


def count_covered(
    outcome: Floats,
    intervals: Floats,
    *,
    arms: Sequence[str] | None = None,
    groups: Sequence[object] | None = None,
    level: float = PROMISED,
) -> RealisedCoverage:
    """Count outcomes within their intervals, shape (n_people, 2), ends included.

    Parameters
    ----------
    arms
        Arm of everyone, to count them apart as well.
    groups
        Group of everyone; relatives, or visits of one person, tell less about a share than strangers.
    """
    is_inside = (intervals[:, 0] <= outcome) & (outcome <= intervals[:, 1])
    units = None if groups is None else codes(groups)
    labels = np.asarray(arms if arms is not None else [], dtype=str)
    return RealisedCoverage(
        promised=level,
        guaranteed=2 * level - 1,
        realised=float(is_inside.mean()),
        interval=_share_interval(is_inside, units),
        n_people=len(outcome),
        mean_width=float((intervals[:, 1] - intervals[:, 0]).mean()),
        by_arm={str(label): _of_arm(is_inside, labels == label, units) for label in np.unique(labels)},
    )


def _of_arm(is_inside: NDArray[np.bool_], is_member: NDArray[np.bool_], units: Groups | None) -> ArmCoverage:
    own = is_inside[is_member]
    interval = _share_interval(own, None if units is None else units[is_member])
    return ArmCoverage(float(own.mean()), interval, len(own))


def _share_interval(is_inside: NDArray[np.bool_], units: Groups | None) -> Interval:
    """Clopper-Pearson interval of a share among as many strangers as the people are worth."""
    n_people = effective_number(is_inside, units)
    n_inside, tail = float(is_inside.mean()) * n_people, (1 - COVERAGE_LEVEL) / 2
    n_outside = n_people - n_inside
    lower = stats.beta.ppf(tail, n_inside, n_outside + 1) if n_inside > ROUNDING else 0.0
    upper = stats.beta.isf(tail, n_inside + 1, n_outside) if n_outside > ROUNDING else 1.0
    return Interval(float(lower), float(upper), COVERAGE_LEVEL)


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
    arms = (np.zeros(len(outcome)) if make_partition.arms is None else codes(make_partition.arms)).astype(np.int64)
    residuals = OutOfFoldResiduals(
        fold_index=np.unique(inner, return_inverse=True)[1].astype(np.int64),
        arm_index=arms[train],
        prediction=prediction,
        residual=outcome[train] - prediction,
    )
    return cv_plus_intervals(np.stack(of_new), residuals, arms=arms[test], level=level)
