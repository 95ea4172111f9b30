"""The folds of an experiment: drawn once, checked, and the same for all models."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import clone

from predictor.errors import TrainingError
from training.cohort.participants import listed
from training.config import ExperimentConfig
from training.evaluation.permutation import Exchange
from training.evaluation.split_manifest import SplitManifest, check_training_sets
from training.evaluation.splits import Partition, PartitionMaker, train_and_test
from training.models.in_fold_steps import inner_partition
from training.training_table import TrainingTable


def make_manifest(table: TrainingTable, config: ExperimentConfig) -> SplitManifest:
    """Draw the folds on which every model is judged, and check that each leaves something to learn from.

    Raises
    ------
    TrainingError
        If there are fewer people (or groups) than folds, one site only where sites are left out, a group would be
        split, or the people outside a fold (or outside one of the folds in which tuning divides them) all have the same
        outcome, leave an arm empty, are too few for the inner folds, lack a feature, or are too few at a site whose
        effect is to be taken out; or if permutations are asked for, and nobody can exchange an outcome, or folds drawn
        anew could lack a feature.
    UnseenSiteError
        If a site is left out whose people [harmonization] refuses to judge.
    """
    participants = tuple(map(str, table.inputs.index))
    partitions = make_partitions(table, config)
    manifest = SplitManifest(participants, partitions, config.validation.scheme, config.validation.seed, table.groups)
    check_training_sets(partitions, table.outcome, participants=participants, arms=table.arms)
    if config.validation.n_permutations > 0:
        Exchange.within(len(table.outcome), strata=table.strata, groups=table.groups).check(table.outcome)
    _check_tuning(manifest, table, config)
    return manifest


def _check_tuning(manifest: SplitManifest, table: TrainingTable, config: ExperimentConfig) -> None:
    """Refuse training sets, inner ones too, in which nobody has some feature, or a site has too few people."""
    values = table.inputs[[definition.name for definition in table.definitions]]
    is_known = values.loc[:, values.isna().any()].notna()
    pairs = [pair for folds in manifest.partitions for pair in train_and_test(folds)]
    for _, test in pairs:
        _check_known(is_known, test, manifest.participants)
    most_held_out = 0
    for train, test in pairs:
        inner = _inner_folds(table, train, config)
        most_held_out = max(most_held_out, len(test) + int(np.bincount(inner).max()))
        if is_known.shape[1]:
            for fold in np.unique(inner):
                _check_known(is_known, np.union1d(test, train[inner == fold]), manifest.participants)
        if table.harmonization:
            _rehearse(table, train, test)
            for tune, tested in train_and_test(inner):
                _rehearse(table, train[tune], train[tested])
    if config.validation.n_permutations > 0:
        _check_any_draw(is_known, most_held_out)


def _inner_folds(table: TrainingTable, train: NDArray[np.intp], config: ExperimentConfig) -> Partition:
    """Fold in which tuning on these people holds each of them out."""
    strata, groups = (
        None if labels is None else [labels[row] for row in train] for labels in (table.fold_strata, table.groups)
    )
    validation = config.validation
    return inner_partition(
        table.outcome[train], strata, inner_folds=validation.inner_folds, seed=validation.seed, groups=groups
    )


def _check_known(is_known: pd.DataFrame, held_out: NDArray[np.intp], participants: Sequence[str]) -> None:
    """Refuse features (columns) that no person (row) has who is not held out."""
    is_training = np.ones(len(is_known), dtype=bool)
    is_training[held_out] = False
    is_empty = ~np.asarray(is_known.to_numpy()[is_training].any(axis=0), dtype=bool)
    if is_empty.any():
        raise TrainingError(
            f"without {listed([participants[int(row)] for row in held_out])}, nobody has a value of "
            f"{listed([str(name) for name in is_known.columns[is_empty]])}.",
            where="features.tsv",
            remedy="Leave these features out, or use another scheme.",
        )


def _check_any_draw(is_known: pd.DataFrame, most_held_out: int) -> None:
    """Refuse features that so few people have that folds drawn anew could hold all of them out."""
    n_known = is_known.sum()
    sparse = n_known[n_known <= most_held_out]
    if len(sparse):
        name, known = str(sparse.idxmin()), int(sparse.min())
        others = f", and {len(sparse) - 1} more are like it" if len(sparse) > 1 else ""
        raise TrainingError(
            f"permutations draw folds anew, which together with those of tuning hold out {most_held_out} people; only "
            f"{known} have a value of {name}{others}.",
            where="features.tsv",
            remedy="Leave these features out, or test no permutations ([validation] n_permutations = 0).",
        )


def _rehearse(table: TrainingTable, train: NDArray[np.intp], test: NDArray[np.intp]) -> None:
    """Take site effects out once: what harmonisation refuses is better known before anything is fitted or logged."""
    step = clone(table.harmonization).fit(table.model_inputs.iloc[train])
    step.transform(table.model_inputs.iloc[test])


def make_partitions(table: TrainingTable, config: ExperimentConfig) -> NDArray[np.intp]:
    """Fold of every person, one row per repeat; schemes that leave nothing to chance have one repeat."""
    validation, draw = config.validation, partition_maker(table, config)
    n_repeats = validation.n_repeats if validation.scheme == "repeated_kfold" else 1
    seeds = np.random.SeedSequence(validation.seed).spawn(n_repeats)
    return np.stack([draw(table.outcome, np.random.default_rng(seed)) for seed in seeds])


def partition_maker(table: TrainingTable, config: ExperimentConfig) -> PartitionMaker:
    """Return what draws folds for an outcome, true or permuted."""
    scheme = config.validation.scheme
    sites = table.sites if scheme == "leave_one_site_out" else None
    if scheme == "leave_one_site_out" and sites is None:
        raise TrainingError("leave_one_site_out needs the site of everyone.", where="[covariates] site")
    return PartitionMaker(
        arms=None if table.fold_strata is None else tuple(table.fold_strata),
        n_folds=config.validation.n_folds if scheme == "repeated_kfold" else None,
        groups=table.groups,
        sites=None if sites is None else tuple(sites),
    )
