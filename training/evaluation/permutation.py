"""Chance level of the whole pipeline, tuning included.

The null hypothesis: *within an arm (and site), the outcome has nothing to do with anything else the model sees*,
features and clinical covariates alike. Outcomes are exchanged between people of the same arm and site only, so a
difference between arms or sites stays as it is and earns nothing: p says whether the rest of the model adds to it. It
does not say whether the features add to the clinical covariates; the paired comparison with `arm + clinical` does.

Folds are stratified on the outcome, therefore drawn anew for every permutation: folds made for the true outcome would
make the null look worse than chance, and p too small.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from numpy.typing import NDArray

from predictor.errors import TrainingError
from training.evaluation.metrics import r2_against_training_mean
from training.evaluation.nested_cv import cross_validate
from training.evaluation.splits import Partition

NULL_HYPOTHESIS = "within arm and site, the outcome is unrelated to features and clinical covariates"

MakePartition = Callable[[NDArray[np.float64], np.random.Generator], Partition]
Progress = Callable[[Any, int], Any]  # (iterable, total) -> the same, shown


@dataclass(frozen=True, slots=True, eq=False)
class PermutationTest:
    """R2 of one cross-validation with the true outcome, and with permuted ones."""

    observed_r2: float
    null_r2: NDArray[np.float64]  # (n_permutations,)
    null_hypothesis: str = NULL_HYPOTHESIS

    @property
    def p_value(self) -> float:
        """(1 + permutations at least as good) / (1 + permutations); never 0."""
        return float((1 + (self.null_r2 >= self.observed_r2).sum()) / (1 + len(self.null_r2)))


def permutation_test(
    estimator: Any,
    inputs: pd.DataFrame,
    outcome: NDArray[np.float64],
    *,
    strata: Sequence[object] | None,
    observed_r2: float,
    make_partition: MakePartition,
    n_permutations: int,
    seed: int,
    n_jobs: int = 1,
    show: Progress | None = None,
) -> PermutationTest:
    """Repeat the whole cross-validation with outcomes permuted within strata.

    Parameters
    ----------
    strata
        Arm and site of every participant; None permutes over everyone.
    observed_r2
        R2 of *one* repeat with the true outcome: the statistic must be made the same way on both sides.
    make_partition
        Draws folds for an outcome; called anew for every permutation.

    Raises
    ------
    TrainingError
        If no stratum holds two people with different outcomes, so that nothing can be exchanged.
    """
    labels = np.zeros(len(outcome), dtype=str) if strata is None else np.asarray([str(label) for label in strata])
    if all(np.ptp(outcome[labels == label]) == 0 for label in np.unique(labels)):
        raise TrainingError("no arm and site hold two people with different outcomes; nothing can be permuted.")
    seeds = np.random.SeedSequence(seed).spawn(n_permutations)
    draws = Parallel(n_jobs=n_jobs, return_as="generator_unordered")(
        delayed(_permuted_r2)(estimator, inputs, outcome, labels, make_partition, one) for one in seeds
    )
    shown = draws if show is None else show(draws, n_permutations)
    return PermutationTest(observed_r2, np.sort(np.fromiter(shown, dtype=np.float64)))


def permute_within(outcome: NDArray[np.float64], labels: NDArray[Any], rng: np.random.Generator) -> NDArray[np.float64]:
    """Outcomes exchanged between people who carry the same label."""
    permuted = outcome.copy()
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        permuted[members] = outcome[rng.permutation(members)]
    return permuted


def _permuted_r2(
    estimator: Any,
    inputs: pd.DataFrame,
    outcome: NDArray[np.float64],
    labels: NDArray[Any],
    make_partition: MakePartition,
    seed: np.random.SeedSequence,
) -> float:
    rng = np.random.default_rng(seed)
    permuted = permute_within(outcome, labels, rng)
    folds = make_partition(permuted, rng)[np.newaxis]
    return r2_against_training_mean(cross_validate(estimator, inputs, permuted, folds))
