"""Who is predicted by whom: partitions of the participants into folds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from predictor.errors import TrainingError

Partition = NDArray[np.intp]  # (n_participants,): the fold in which each participant is held out


@dataclass(frozen=True, slots=True)
class PartitionMaker:
    """Draws one partition for an outcome. A record rather than a closure, so that other processes can call it."""

    arms: tuple[str, ...] | None
    n_folds: int | None  # None: leave one out

    def __call__(self, outcome: NDArray[np.float64], rng: np.random.Generator) -> Partition:
        """Return the fold of every participant."""
        if self.n_folds is None:
            return leave_one_out(len(outcome))
        return stratified_folds(outcome, self.arms, n_folds=self.n_folds, rng=rng)


def stratified_folds(
    outcome: ArrayLike, strata: Sequence[object] | None, *, n_folds: int, rng: np.random.Generator
) -> Partition:
    """Fold of every participant, balanced over arms and over the range of the outcome.

    Within each stratum the participants are sorted by outcome (ties in random order) and cut into bins of `n_folds`
    neighbours; each bin gives one participant to every fold. What is left over goes to the folds that are smallest.

    Parameters
    ----------
    outcome
        Shape (n_participants,).
    strata
        Arm of every participant, or None for a cohort without arms.
    n_folds
        At least 2, at most the number of participants.
    rng
        Source of the order; the same state gives the same folds.

    Raises
    ------
    TrainingError
        If there are fewer participants than folds.
    """
    values = np.asarray(outcome, dtype=np.float64)
    check_fold_count(len(values), n_folds)
    labels = np.zeros(len(values), dtype=np.intp) if strata is None else _codes(strata)
    folds = np.full(len(values), -1, dtype=np.intp)
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        members = members[np.argsort(values[members], kind="stable")]
        for start in range(0, len(members), n_folds):
            neighbours = members[start : start + n_folds]
            sizes = np.bincount(folds[folds >= 0], minlength=n_folds)
            smallest_first = np.lexsort((rng.random(n_folds), sizes))
            folds[rng.permutation(neighbours)] = smallest_first[: len(neighbours)]
    return folds


def leave_one_out(n_participants: int) -> Partition:
    """Every participant in a fold of their own."""
    check_fold_count(n_participants, n_participants)
    return np.arange(n_participants, dtype=np.intp)


def check_fold_count(n_participants: int, n_folds: int, *, where: str = "[validation] n_folds") -> None:
    """Refuse a partition that leaves a fold empty.

    Raises
    ------
    TrainingError
        If there are fewer than 2 folds, or fewer participants than folds.
    """
    if n_folds < 2 or n_participants < n_folds:
        raise TrainingError(
            f"expected 2 folds or more and at least one participant in each, "
            f"got {n_participants} participants for {n_folds} folds.",
            where=where,
        )


def train_and_test(folds: Partition) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Row numbers to train on and to predict, for one fold after the other."""
    for fold in np.unique(folds):
        yield np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)


def _codes(strata: Sequence[object]) -> NDArray[np.intp]:
    """Strata as integers, in the order of their text."""
    return np.unique(np.asarray([str(stratum) for stratum in strata]), return_inverse=True)[1].astype(np.intp)
