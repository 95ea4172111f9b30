"""A whole experiment on one screen: cohort -> folds -> models -> chance level -> bundle -> registry."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from joblib import parallel_config
from numpy.typing import NDArray

from predictor import console
from predictor.errors import TrainingError
from predictor.model.bundle import ModelBundle
from predictor.model.out_of_fold import MIN_PEOPLE
from training.cohort.participants import listed
from training.config import ExperimentConfig
from training.estimators import TunedElasticNet, make_estimator
from training.evaluation.baselines import make_baselines
from training.evaluation.fold_isolation import FoldIsolation, estimator_steps, prove_fold_isolation
from training.evaluation.metrics import compare, measure, r2_against_training_mean
from training.evaluation.nested_cv import OutOfFold, cross_validate
from training.evaluation.permutation import PermutationTest, permutation_test
from training.evaluation.splits import Partition, PartitionMaker, leave_one_out
from training.experiment_log import gate_measurements, headline, log_experiment, log_model, version_tags
from training.final_model import build_bundle, bundle_partition
from training.model_card import make_card
from training.model_result import ModelResult, Role
from training.registry import RegisteredVersion, register_bundle
from training.tracking import open_store, start_run
from training.training_table import TrainingTable, read_training_table


@dataclass(frozen=True, slots=True, eq=False)
class ExperimentResult:
    """Everything that an experiment found; the primary model comes first."""

    models: tuple[ModelResult, ...]
    permutation: PermutationTest | None  # None: the experiment asked for no permutations
    fold_isolation: FoldIsolation
    bundle: ModelBundle
    registered: RegisteredVersion
    run_id: str
    seconds: float

    @property
    def primary(self) -> ModelResult:
        """The model that was named before fitting."""
        return self.models[0]


def run_experiment(config: ExperimentConfig, *, n_jobs: int | None = None) -> ExperimentResult:
    """Train, judge, log and register everything that an experiment file asks for.

    Parameters
    ----------
    config
        The experiment.
    n_jobs
        Processes; None takes all cores.

    Raises
    ------
    TableError, TrainingError, ConfigError
        If the cohort cannot carry the experiment; nothing is logged then.
    """
    table = read_training_table(config)
    if table.left_out:
        console.say(f"left out, without usable features: {listed(table.left_out)}")
    if table.reference:
        console.say(f"reference: {table.reference.n_people} controls, apart from folds and outcomes")
    return run_on_table(table, config, n_jobs=n_jobs)


def run_on_table(table: TrainingTable, config: ExperimentConfig, *, n_jobs: int | None = None) -> ExperimentResult:
    """Run an experiment on a cohort that is read already; see `run_experiment`."""
    start = time.monotonic()
    if len(table.outcome) < MIN_PEOPLE:  # said now, not when everything is fitted
        raise TrainingError(f"expected at least {MIN_PEOPLE} participants, got {len(table.outcome)}.", where="[cohort]")
    n_jobs = n_jobs or os.cpu_count() or 1
    partitions = make_partitions(table, config)
    estimators = make_estimators(table, config)
    store = open_store(Path(config.tracking.store))
    with start_run(store, config.name, name=config.name) as log, parallel_config("loky", inner_max_num_threads=1):
        logged_at = log_experiment(log, config, table, partitions)
        fitting_at = time.time()
        primary = estimators[config.model.primary]
        models = _judge_all(estimators, table, partitions, config, n_jobs=n_jobs)
        permutation = _permute(primary, table, models[0].predicted, config, n_jobs=n_jobs)
        isolation = _prove_isolation(primary, table, bundle_partition(table, config), n_jobs=n_jobs)
        for model in models:
            with start_run(store, config.name, name=model.name, parent=log) as run:
                log_model(run, model, table)
        comparisons = {m.name: m.gain_of_primary for m in models if m.role == "baseline" and m.gain_of_primary}
        card = make_card(table, config, metrics=models[0].metrics, comparisons=comparisons, permutation=permutation)
        measured = gate_measurements(config, models, comparisons, permutation, isolation, logged_at, fitting_at)
        log.metrics(headline(models[0], permutation))
        bundle = build_bundle(primary, table, config, card=card, n_jobs=n_jobs)
        registered = register_bundle(bundle, measured, store=store, run=log, tags=version_tags(table, config))
    return ExperimentResult(models, permutation, isolation, bundle, registered, log.run_id, time.monotonic() - start)


def make_partitions(table: TrainingTable, config: ExperimentConfig) -> NDArray[np.intp]:
    """Folds on which every model is judged, one row per repeat."""
    validation = config.validation
    if validation.scheme == "leave_one_out":
        return leave_one_out(len(table.outcome))[np.newaxis]
    draw = _partition_maker(table, config)
    seeds = np.random.SeedSequence(validation.seed).spawn(validation.n_repeats)
    return np.stack([draw(table.outcome, np.random.default_rng(seed)) for seed in seeds])


def make_estimators(table: TrainingTable, config: ExperimentConfig) -> dict[str, TunedElasticNet]:
    """Primary and candidates by name, the primary first."""
    names = dict.fromkeys((config.model.primary, *config.model.candidates))
    return {
        name: make_estimator(
            name,
            covariates=table.covariates,
            arm_interactions=config.covariates.interactions,
            model=config.model,
            validation=config.validation,
            features=[definition.name for definition in (*table.definitions, *table.learned)],
            unweighted=table.unweighted,
            deviation=table.reference.step if table.reference else None,
            minimum_reliability=config.features.minimum_reliability,
        )
        for name in names
    }


def _partition_maker(table: TrainingTable, config: ExperimentConfig) -> PartitionMaker:
    is_leave_one_out = config.validation.scheme == "leave_one_out"
    arms = None if table.arms is None else tuple(table.arms)
    return PartitionMaker(arms, None if is_leave_one_out else config.validation.n_folds)


def _judge_all(
    estimators: Mapping[str, Any],
    table: TrainingTable,
    partitions: NDArray[np.intp],
    config: ExperimentConfig,
    *,
    n_jobs: int,
) -> tuple[ModelResult, ...]:
    """Cross-validate primary, candidates and baselines on the same folds."""
    seed = config.validation.seed
    predicted: dict[str, OutOfFold] = {}
    for name, estimator in _shown(estimators.items(), len(estimators), label="cross-validating models"):
        predicted[name] = cross_validate(estimator, table.model_inputs, table.outcome, partitions, n_jobs=n_jobs)
    baselines = make_baselines(
        table.inputs, covariates=(*table.covariates, *table.demographic), motion_columns=table.motion_columns
    )
    for baseline in baselines:
        columns = table.inputs[list(baseline.columns)]
        predicted[baseline.name] = cross_validate(baseline.estimator, columns, table.outcome, partitions)
    primary = predicted[config.model.primary]
    results = []
    for name, one in predicted.items():
        role: Role = "primary" if name == config.model.primary else "candidate" if name in estimators else "baseline"
        gain = None if role == "primary" else compare(primary, one, seed=seed)
        results.append(ModelResult(name, role, one, measure(one, seed=seed), gain))
    return tuple(results)


def _permute(
    primary: TunedElasticNet,
    table: TrainingTable,
    predicted: OutOfFold,
    config: ExperimentConfig,
    *,
    n_jobs: int,
) -> PermutationTest | None:
    """Chance level of the primary; the statistic is R2 of one repeat, on both sides."""
    if config.validation.n_permutations == 0:
        return None
    return permutation_test(
        primary,
        table.model_inputs,
        table.outcome,
        strata=table.strata,
        observed_r2=r2_against_training_mean(predicted.repeat(0)),
        make_partition=_partition_maker(table, config),
        n_permutations=config.validation.n_permutations,
        seed=config.validation.seed,
        n_jobs=n_jobs,
        show=partial(_shown, label="permutations"),
    )


def _prove_isolation(primary: TunedElasticNet, table: TrainingTable, folds: Partition, *, n_jobs: int) -> FoldIsolation:
    """Poison one fold after the other; ten folds prove as much about the steps as leaving each person out would."""
    return prove_fold_isolation(estimator_steps(primary), table.model_inputs, table.outcome, folds, n_jobs=n_jobs)


def _shown(items: Iterable[Any], total: int, *, label: str) -> Iterator[Any]:
    return console.progress(items, total=total, label=label)
