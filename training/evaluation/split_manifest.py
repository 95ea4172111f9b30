"""Which person was held out in which fold: written down once, and held against every model."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from predictor.errors import TrainingError
from training.cohort.participants import PARTICIPANT_ID, listed
from training.evaluation.nested_cv import OutOfFold
from training.evaluation.splits import Scheme, codes


@dataclass(frozen=True, slots=True, eq=False)
class SplitManifest:
    """Folds of an experiment; building it checks that no group is split.

    Raises
    ------
    TrainingError
        If members of one group are held out in different folds.
    """

    participants: tuple[str, ...]
    partitions: NDArray[np.intp]  # (n_repeats, n_participants): the fold in which each person is held out
    scheme: Scheme
    seed: int
    groups: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.partitions.ndim != 2 or self.partitions.shape[1] != len(self.participants):
            raise ValueError(f"expected folds of {len(self.participants)} people, got {self.partitions.shape}")
        if self.groups is None:
            return
        split = [name for name, fold_count in self._folds_per_group() if fold_count > 1]
        if split:
            raise TrainingError(f"{len(split)} groups are split over folds: {listed(split)}.", where="[cohort] groups")

    def table(self) -> pd.DataFrame:
        """Return one row per person, one column per repeat."""
        columns = [f"repeat_{number}" for number in range(len(self.partitions))]
        table = pd.DataFrame(self.partitions.T, columns=columns)
        table.insert(0, PARTICIPANT_ID, list(self.participants))
        return table

    @property
    def digest(self) -> str:
        """Digest of the table as it is stored (tab-separated), "sha256:..."."""
        return "sha256:" + hashlib.sha256(self.table().to_csv(sep="\t", index=False).encode()).hexdigest()

    def document(self) -> dict[str, Any]:
        """Return what the folds are, ready for JSON."""
        return {
            "scheme": self.scheme,
            "seed": self.seed,
            "n_participants": len(self.participants),
            "n_repeats": len(self.partitions),
            "n_folds": [len(np.unique(folds)) for folds in self.partitions],
            "n_groups": None if self.groups is None else len(set(self.groups)),
            "digest": self.digest,
        }

    def verify(self, name: str, predicted: OutOfFold) -> None:
        """Refuse predictions that were not made on these folds.

        Parameters
        ----------
        name
            Name of the model.
        predicted
            Its out-of-fold predictions.

        Raises
        ------
        TrainingError
            If the folds differ, someone has no prediction, or the training means are not those of the people outside
            the fold.
        """
        if not np.array_equal(predicted.fold_index, self.partitions):
            raise TrainingError(f"{name} was judged on other folds than those of the manifest.", where="splits.tsv")
        is_absent = ~np.isfinite(predicted.prediction).all(axis=0)
        if is_absent.any():
            absent = [self.participants[row] for row in np.flatnonzero(is_absent)]
            raise TrainingError(f"{name} has no finite prediction for {listed(absent)}.", where="splits.tsv")
        if not np.allclose(predicted.training_mean, self._training_means(predicted.outcome), rtol=1e-9, atol=1e-12):
            raise TrainingError(f"{name} was trained on other people than those outside the fold.", where="splits.tsv")

    def _training_means(self, outcome: NDArray[np.float64]) -> NDArray[np.float64]:
        means = np.empty(self.partitions.shape)
        for repeat, folds in enumerate(self.partitions):
            for fold in np.unique(folds):
                means[repeat, folds == fold] = outcome[folds != fold].mean()
        return means

    def _folds_per_group(self) -> list[tuple[str, int]]:
        """Return each group with the largest number of folds over which a repeat spreads it."""
        assert self.groups is not None, "asked only where there are groups"
        units, names = codes(self.groups), np.asarray(self.groups)
        return [
            (str(names[units == unit][0]), max(len(np.unique(folds[units == unit])) for folds in self.partitions))
            for unit in np.unique(units)
        ]


def check_training_sets(
    partitions: NDArray[np.intp],
    outcome: NDArray[np.float64],
    *,
    participants: Sequence[str],
    arms: Sequence[str] | None,
) -> None:
    """Refuse folds that leave nothing to learn from, before anything is fitted.

    Parameters
    ----------
    partitions
        Shape (n_repeats, n_participants).
    outcome
        Shape (n_participants,).
    participants
        Their names, for messages.
    arms
        Arm of everyone; None for a cohort without arms.

    Raises
    ------
    TrainingError
        If the people outside some fold all have the same outcome (one class only), or an arm has nobody there.
    """
    for repeat in partitions:
        for fold in np.unique(repeat):
            is_training = repeat != fold
            held_out = [participants[int(row)] for row in np.flatnonzero(~is_training)]
            if np.ptp(outcome[is_training]) == 0:
                raise TrainingError(
                    f"without {listed(held_out)}, all {is_training.sum()} others have the same outcome: "
                    "one class only, nothing can be learned.",
                    where="[validation]",
                    remedy="Use an outcome with more variation, fewer folds, or another scheme.",
                )
            absent = [] if arms is None else sorted(set(arms) - {arms[int(row)] for row in np.flatnonzero(is_training)})
            if absent:
                raise TrainingError(
                    f"without {listed(held_out)}, nobody is left in arm {listed(absent)}.",
                    where="[validation]",
                    remedy="Use another scheme or fewer folds, or leave this arm out with [cohort] include.",
                )
