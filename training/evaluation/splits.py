"""Who is predicted by whom: partitions of the participants into folds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from predictor.errors import TrainingError

Partition = NDArray[np.intp]  # (n_participants,): the fold in which each participant is held out
Scheme = Literal["repeated_kfold", "leave_one_out", "leave_one_site_out"]

# Column of the models' inputs with the group of everyone, where the cohort has groups; no model weighs it.
GROUP_COLUMN = "group of cross-validation"


@dataclass(frozen=True, slots=True)
class PartitionMaker:
    """Draws one partition for an outcome. A record rather than a closure, so that other processes can call it.

    Parameters
    ----------
    arms
        Arm of everyone, over which folds are balanced; None for a cohort without arms.
    n_folds
        None: leave one person (or one group) out.
    groups
        Group of everyone; a group is never split. None: everyone on their own.
    sites
        Site of everyone: leave one site out, whatever `n_folds` says. None for the other schemes.
    """

    arms: tuple[str, ...] | None
    n_folds: int | None
    groups: tuple[str, ...] | None = None
    sites: tuple[str, ...] | None = None

    def __call__(self, outcome: NDArray[np.float64], rng: np.random.Generator) -> Partition:
        """Return the fold of every participant."""
        if self.sites is not None:
            return leave_one_site_out(self.sites)
        if self.n_folds is None:
            return leave_one_out(len(outcome), groups=self.groups)
        return stratified_folds(outcome, self.arms, n_folds=self.n_folds, rng=rng, groups=self.groups)

    def of_rows(self, rows: NDArray[np.intp]) -> PartitionMaker:
        """Return the same for some of the people, with fewer folds where they are too few."""
        arms, groups, sites = (
            None if labels is None else tuple(labels[row] for row in rows)
            for labels in (self.arms, self.groups, self.sites)
        )
        n_units = len(rows) if groups is None else len(set(groups))
        return PartitionMaker(arms, None if self.n_folds is None else min(self.n_folds, n_units), groups, sites)


def stratified_folds(
    outcome: ArrayLike,
    strata: Sequence[object] | None,
    *,
    n_folds: int,
    rng: np.random.Generator,
    groups: Sequence[object] | None = None,
) -> Partition:
    """Fold of every participant, balanced over arms and over the range of the outcome.

    Within each stratum the participants are sorted by outcome (ties in random order) and cut into bins of `n_folds`
    neighbours; each bin gives one participant to every fold. What is left over goes to the folds that are smallest.
    Groups are dealt out in the same way, as wholes: by the arms of their members and their mean outcome.

    Parameters
    ----------
    outcome
        Shape (n_participants,).
    strata
        Arm of every participant, or None for a cohort without arms.
    n_folds
        At least 2, at most the number of participants, or of groups.
    rng
        Source of the order; the same state gives the same folds.
    groups
        Group of every participant (family, or person with several visits); None puts everyone on their own.

    Raises
    ------
    TrainingError
        If there are fewer participants, or groups, than folds.
    """
    values = np.asarray(outcome, dtype=np.float64)
    labels = np.zeros(len(values), dtype=np.intp) if strata is None else codes(strata)
    if groups is not None:
        units = codes(groups)
        n_members = np.bincount(units)
        of_unit = _dealt(
            np.bincount(units, values) / n_members, member_strata(labels, units), n_members, n_folds=n_folds, rng=rng
        )
        return of_unit[units]
    return _dealt(values, labels, np.ones(len(values), dtype=np.intp), n_folds=n_folds, rng=rng)


def _dealt(
    values: NDArray[np.float64],
    labels: NDArray[np.intp],
    n_members: NDArray[np.intp],
    *,
    n_folds: int,
    rng: np.random.Generator,
) -> Partition:
    """Fold of every unit (a person or a group), sizes counted in people."""
    check_fold_count(len(values), n_folds, unit="participants" if (n_members == 1).all() else "groups")
    folds = np.full(len(values), -1, dtype=np.intp)
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        members = members[np.argsort(values[members], kind="stable")]
        for start in range(0, len(members), n_folds):
            neighbours = members[start : start + n_folds]
            is_dealt = folds >= 0
            sizes = np.bincount(folds[is_dealt], n_members[is_dealt], minlength=n_folds)
            smallest_first = np.lexsort((rng.random(n_folds), sizes))
            folds[rng.permutation(neighbours)] = smallest_first[: len(neighbours)]
    return folds


def member_strata(labels: NDArray[np.intp], units: NDArray[np.intp]) -> NDArray[np.intp]:
    """Stratum of every group: groups whose members stand in the same arms are alike."""
    return codes([tuple(sorted(set(labels[units == unit].tolist()))) for unit in range(int(units.max()) + 1)])


def leave_one_out(n_participants: int, *, groups: Sequence[object] | None = None) -> Partition:
    """Every participant in a fold of their own; where there are groups, every group.

    Raises
    ------
    TrainingError
        If there are fewer than 2 participants or groups.
    """
    if groups is None:
        check_fold_count(n_participants, n_participants)
        return np.arange(n_participants, dtype=np.intp)
    folds = codes(groups)
    check_fold_count(len(set(folds.tolist())), len(set(folds.tolist())), unit="groups")
    return folds


def leave_one_site_out(sites: Sequence[object]) -> Partition:
    """Every site in a fold of its own, in alphabetical order.

    Raises
    ------
    TrainingError
        If there is one site only.
    """
    folds = codes(sites)
    if len(set(folds.tolist())) < 2:
        raise TrainingError(
            f"leaving one site out needs at least 2 sites, the cohort has {len(set(folds.tolist()))}.",
            where="[validation] scheme",
            remedy='Use scheme = "repeated_kfold", or include people of other sites.',
        )
    return folds


def check_fold_count(
    n_participants: int, n_folds: int, *, where: str = "[validation] n_folds", unit: str = "participants"
) -> None:
    """Refuse a partition that leaves a fold empty.

    Raises
    ------
    TrainingError
        If there are fewer than 2 folds, or fewer participants (or groups) than folds.
    """
    if n_folds < 2 or n_participants < n_folds:
        raise TrainingError(
            f"expected 2 folds or more and at least one of the {unit} in each, "
            f"got {n_participants} {unit} for {n_folds} folds.",
            where=where,
        )


def train_and_test(folds: Partition) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Row numbers to train on and to predict, for one fold after the other."""
    for fold in np.unique(folds):
        yield np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)


def codes(labels: Sequence[object]) -> NDArray[np.intp]:
    """Labels as integers from 0, in the order of their text."""
    return np.unique(np.asarray([str(label) for label in labels]), return_inverse=True)[1].astype(np.intp)
