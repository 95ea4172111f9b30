"""The folds of an experiment: drawn once, checked, and the same for all models."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from predictor.errors import TrainingError
from training.cohort.participants import listed
from training.config import ExperimentConfig
from training.evaluation.split_manifest import SplitManifest, check_training_sets
from training.evaluation.splits import PartitionMaker, check_fold_count, train_and_test
from training.training_table import TrainingTable


def make_manifest(table: TrainingTable, config: ExperimentConfig) -> SplitManifest:
    """Draw the folds on which every model is judged, and check that each leaves something to learn from.

    Raises
    ------
    TrainingError
        If there are fewer people (or groups) than folds, one site only where sites are left out, a group would be
        split, or the people outside a fold all have the same outcome, leave an arm empty, are too few for the inner
        folds, or lack a feature.
    """
    participants = tuple(map(str, table.inputs.index))
    partitions = make_partitions(table, config)
    manifest = SplitManifest(participants, partitions, config.validation.scheme, config.validation.seed, table.groups)
    check_training_sets(partitions, table.outcome, participants=participants, arms=table.arms)
    _check_tuning(manifest, table, config)
    return manifest


def _check_tuning(manifest: SplitManifest, table: TrainingTable, config: ExperimentConfig) -> None:
    """Refuse training sets that are too small for the inner folds, or in which nobody has some feature."""
    inner, units = config.validation.inner_folds, np.asarray(table.groups or manifest.participants)
    values = table.inputs[[definition.name for definition in table.definitions]]
    for folds in manifest.partitions:
        for train, test in train_and_test(folds):
            if inner != "leave_one_out":
                n_units, unit = len(set(units[train])), "participants" if table.groups is None else "groups"
                check_fold_count(n_units, inner, where="[validation] inner_folds", unit=unit)
            is_empty = values.iloc[train].isna().all().to_numpy()
            if is_empty.any():
                raise TrainingError(
                    f"without {listed([manifest.participants[int(row)] for row in test])}, nobody has a value of "
                    f"{listed([str(name) for name in values.columns[is_empty]])}.",
                    where="features.tsv",
                    remedy="Leave these features out, or use another scheme.",
                )


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
        arms=None if table.arms is None else tuple(table.arms),
        n_folds=config.validation.n_folds if scheme == "repeated_kfold" else None,
        groups=table.groups,
        sites=None if sites is None else tuple(sites),
    )
