"""Chance level of the whole pipeline, tuning included.

The null hypothesis: *within an arm (and site), the outcome has nothing to do with anything else the model sees*,
features and clinical covariates alike. Outcomes are exchanged between people of the same arm and site only, so a
difference between arms or sites stays as it is and earns nothing: p says whether the rest of the model adds to it. It
does not say whether the features add to the clinical covariates; the paired comparison with `arm + clinical` does.
Where people belong to groups (families, repeated visits), whole groups exchange their outcomes, in the order of their
rows, with groups of the same composition; a group without a counterpart keeps its own.

Folds are stratified on the outcome, therefore drawn anew for every permutation: folds made for the true outcome would
make the null look worse than chance, and p too small. Where several models compete, the statistic is the R2 of the
best of them, in every permutation anew; the p of the winner alone would be too small.

Slow models may stop early (Besag and Clifford): once h permutations have done at least as well as the truth after l
draws, p = h / l; without that, p = (1 + such permutations) / (1 + all). Both are valid at every level, and a p that is
far from significant costs a fraction of the draws.

References
----------
Besag J, Clifford P (1991). Sequential Monte Carlo p-values. Biometrika 78:301-304.
Winkler AM et al. (2015). Multi-level block permutation. NeuroImage 123:253-268.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from numpy.typing import NDArray
from scipy import special

from predictor.errors import TrainingError
from training.evaluation.metrics import r2_against_training_mean
from training.evaluation.nested_cv import cross_validate
from training.evaluation.splits import Partition, codes

NULL_HYPOTHESIS = "within arm and site, the outcome is unrelated to features and clinical covariates"
# Early stopping is decided between batches of this many draws per process; the decision is the same for any number.
BATCH_PER_JOB = 4

Number = TypeVar("Number", np.float64, np.intp)
Judge = Callable[[NDArray[np.float64], Partition], float]  # (outcome, folds) -> R2 of one cross-validation
MakePartition = Callable[[NDArray[np.float64], np.random.Generator], Partition]
Progress = Callable[[Any, int], Any]  # (iterable, total) -> the same, shown


@dataclass(frozen=True, slots=True, eq=False)
class PermutationTest:
    """R2 of one cross-validation with the true outcome, and with permuted ones."""

    observed_r2: float
    null_r2: NDArray[np.float64]  # as many as were drawn, sorted
    null_hypothesis: str = NULL_HYPOTHESIS
    n_planned: int | None = None  # None: as many as were drawn
    competitors: tuple[str, ...] = ()  # models whose best R2 is the statistic; empty: the primary alone

    @property
    def n_exceeding(self) -> int:
        """Permutations that did at least as well as the true outcome."""
        return int((self.null_r2 >= self.observed_r2).sum())

    @property
    def stopped_early(self) -> bool:
        """Whether enough permutations did as well before all were drawn."""
        return self.n_planned is not None and len(self.null_r2) < self.n_planned

    @property
    def p_value(self) -> float:
        """Never 0: (1 + n_exceeding) / (1 + permutations); n_exceeding / permutations if they stopped early."""
        if self.stopped_early:
            return self.n_exceeding / len(self.null_r2)
        return float((1 + self.n_exceeding) / (1 + len(self.null_r2)))


@dataclass(frozen=True, slots=True, eq=False)
class Exchange:
    """Who may exchange outcomes with whom under the null hypothesis."""

    strata: NDArray[Any]  # (n_participants,): arm and site of everyone, as text or number
    groups: NDArray[np.intp] | None = None  # (n_participants,): group of everyone, None where everyone stands alone

    @classmethod
    def within(
        cls, n_participants: int, *, strata: Sequence[object] | None, groups: Sequence[object] | None = None
    ) -> Exchange:
        """Within strata, whole groups; None means one stratum for everyone, and everyone on their own."""
        labels = np.zeros(n_participants, dtype=np.intp) if strata is None else codes(strata)
        return cls(labels, None if groups is None else codes(groups))

    def permute(self, outcome: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
        """Return the outcomes in another order."""
        return outcome[self.order(rng)]

    def order(self, rng: np.random.Generator) -> NDArray[np.intp]:
        """Return a random order: whose outcome everyone gets."""
        order = np.arange(len(self.strata))
        if self.groups is None:
            return permute_within(order, self.strata, rng)
        for alike in self._blocks():
            for rows, source in zip(alike, rng.permutation(len(alike)), strict=True):
                order[rows] = alike[source]
        return order

    @property
    def n_orders(self) -> float:
        """In how many orders the outcomes can stand; infinite where that is more than a number can hold."""
        with np.errstate(over="ignore"):
            return float(np.exp(sum(special.gammaln(len(alike) + 1) for alike in self._blocks())))

    @property
    def n_fixed(self) -> int:
        """People who keep their outcome, because their group (or they) have no counterpart."""
        return sum(len(alike[0]) for alike in self._blocks() if len(alike) == 1)

    def check(self, outcome: NDArray[np.float64]) -> None:
        """Refuse a cohort in which every order of the outcomes is the same.

        Raises
        ------
        TrainingError
            If no stratum holds two people (or groups of the same composition) with different outcomes.
        """
        if any(any(not np.array_equal(outcome[a[0]], outcome[rows]) for rows in a) for a in self._blocks()):
            return
        who = "people" if self.groups is None else "groups of the same composition"
        raise TrainingError(
            f"no arm and site hold two {who} with different outcomes; nothing can be permuted.",
            where="[validation] n_permutations",
        )

    def _blocks(self) -> list[list[NDArray[np.intp]]]:
        """Rows of every group, members in the order of their strata; groups of the same composition together."""
        units = np.arange(len(self.strata)) if self.groups is None else self.groups
        alike: dict[tuple[Any, ...], list[NDArray[np.intp]]] = {}
        for unit in np.unique(units):
            rows = np.flatnonzero(units == unit)
            rows = rows[np.argsort(self.strata[rows], kind="stable")]
            alike.setdefault(tuple(self.strata[rows].tolist()), []).append(rows)
        return list(alike.values())


@dataclass(frozen=True, slots=True, eq=False)
class Refitted:
    """Judges any estimator by fitting it in every fold. A record, so that other processes can call it."""

    estimator: Any
    inputs: pd.DataFrame

    def __call__(self, outcome: NDArray[np.float64], folds: Partition) -> float:
        """R2 of one cross-validation."""
        return r2_against_training_mean(cross_validate(self.estimator, self.inputs, outcome, folds[np.newaxis]))


def permutation_test(
    estimator: Any,
    inputs: pd.DataFrame,
    outcome: NDArray[np.float64],
    *,
    strata: Sequence[object] | None,
    groups: Sequence[object] | None = None,
    observed_r2: float,
    make_partition: MakePartition,
    n_permutations: int,
    seed: int,
    stop_after: int = 0,
    n_jobs: int = 1,
    show: Progress | None = None,
) -> PermutationTest:
    """Repeat the whole cross-validation with outcomes permuted within strata.

    Parameters
    ----------
    strata
        Arm and site of every participant; None permutes over everyone.
    groups
        Group of every participant; groups exchange outcomes as wholes. None: everyone is on their own.
    observed_r2
        R2 of *one* repeat with the true outcome: the statistic must be made the same way on both sides.
    make_partition
        Draws folds for an outcome; called anew for every permutation.
    n_permutations
        How many to draw.
    seed
        Permutations and folds are the same for the same seed, whatever `n_jobs` is.
    stop_after
        Stop once this many permutations did at least as well (Besag-Clifford); 0 draws all.

    Raises
    ------
    TrainingError
        If no stratum holds two people with different outcomes, so that nothing can be exchanged.
    """
    return competition_test(
        {"": Refitted(estimator, inputs)},
        outcome,
        strata=strata,
        groups=groups,
        observed_r2=observed_r2,
        make_partition=make_partition,
        n_permutations=n_permutations,
        seed=seed,
        stop_after=stop_after,
        n_jobs=n_jobs,
        show=show,
    )


def competition_test(
    judges: Mapping[str, Judge],
    outcome: NDArray[np.float64],
    *,
    strata: Sequence[object] | None,
    groups: Sequence[object] | None = None,
    observed_r2: float,
    make_partition: MakePartition,
    n_permutations: int,
    seed: int,
    stop_after: int = 0,
    n_jobs: int = 1,
    show: Progress | None = None,
) -> PermutationTest:
    """Chance level of the best of several models; further parameters as in `permutation_test`.

    Parameters
    ----------
    judges
        What cross-validates each competing model, by name; all get the same permuted outcome and the same folds.
    outcome
        Shape (n_participants,).
    observed_r2
        Highest R2 of one repeat among them, with the true outcome.

    Raises
    ------
    TrainingError
        If no stratum holds two people with different outcomes.
    """
    exchange = Exchange.within(len(outcome), strata=strata, groups=groups)
    exchange.check(outcome)
    draw = partial(_best_r2, tuple(judges.values()), outcome, exchange, make_partition)
    seeds = np.random.SeedSequence(seed).spawn(n_permutations)
    draws = _until_enough(draw, seeds, observed_r2, stop_after=stop_after, n_jobs=n_jobs)
    shown = draws if show is None else show(draws, n_permutations)
    null = np.sort(np.fromiter(shown, dtype=np.float64))
    competitors = tuple(judges) if len(judges) > 1 else ()
    return PermutationTest(observed_r2, null, n_planned=n_permutations, competitors=competitors)


def permute_within(outcome: NDArray[Number], labels: NDArray[Any], rng: np.random.Generator) -> NDArray[Number]:
    """Outcomes exchanged between people who carry the same label."""
    permuted = outcome.copy()
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        permuted[members] = outcome[rng.permutation(members)]
    return permuted


def _best_r2(
    judges: Sequence[Judge],
    outcome: NDArray[np.float64],
    exchange: Exchange,
    make_partition: MakePartition,
    seed: np.random.SeedSequence,
) -> float:
    """Highest R2 among the models for one permuted outcome, all on the same folds."""
    rng = np.random.default_rng(seed)
    permuted = exchange.permute(outcome, rng)
    folds = make_partition(permuted, rng)
    return max(judge(permuted, folds) for judge in judges)


def _until_enough(
    draw: Callable[[np.random.SeedSequence], float],
    seeds: Sequence[np.random.SeedSequence],
    observed: float,
    *,
    stop_after: int,
    n_jobs: int,
) -> Iterator[float]:
    """One value per seed, in the order of the seeds, until `stop_after` of them reach what was observed."""
    n_exceeding, size = 0, BATCH_PER_JOB * n_jobs
    with Parallel(n_jobs=n_jobs) as parallel:
        for start in range(0, len(seeds), size):
            for value in parallel(delayed(draw)(seed) for seed in seeds[start : start + size]):
                yield value
                n_exceeding += value >= observed
                if stop_after and n_exceeding == stop_after:
                    return
