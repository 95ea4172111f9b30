"""A whole experiment on one screen: cohort -> folds -> models -> chance level -> bundle -> registry."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from predictor import console
from predictor.errors import TrainingError
from predictor.model.bundle import ModelBundle
from predictor.model.out_of_fold import MIN_PEOPLE
from training.audit import AuditReport, audit_table, check_table
from training.cohort.participants import listed
from training.config import ExperimentConfig
from training.evaluation.conformal import RealisedCoverage
from training.evaluation.fold_isolation import FoldIsolation
from training.evaluation.permutation import PermutationTest
from training.evaluation.power import PowerStatement
from training.evaluation.split_manifest import SplitManifest
from training.evaluation.treatment_effect import BenefitAnalysis, analyse_benefit
from training.experiment_folds import make_manifest, make_partitions
from training.final_model import build_bundle, bundle_partition
from training.judged_models import (
    chance_level,
    judge_all,
    make_estimators,
    model_outcomes,
    power_beside_baselines,
    shown,
    try_intervals,
)
from training.log_book.experiment_log import (
    gate_measurements,
    log_experiment,
    log_findings,
    log_model,
    log_record,
    version_tags,
)
from training.log_book.tracking import RunLog, Store, open_store, start_run
from training.model_result import ModelResult
from training.read_ahead import read_ahead
from training.report.experiment_record import ExperimentRecord, record_experiment
from training.report.model_card import with_reading_matter
from training.shelf.registry import RegisteredVersion, check_shelf, register_bundle
from training.shelf.version_history import previous_versions
from training.training_table import TrainingTable, read_training_table
from training.workers import one_thread_each

__all__ = ["ExperimentResult", "make_estimators", "make_partitions", "run_experiment", "run_on_table"]


@dataclass(frozen=True, slots=True, eq=False)
class ExperimentResult:
    """Everything that an experiment found; the primary model, or the winner of a competition, comes first."""

    models: tuple[ModelResult, ...]
    manifest: SplitManifest
    permutation: PermutationTest | None  # None: the experiment asked for no permutations
    audit: AuditReport  # of the first model
    benefit: BenefitAnalysis  # prognosis or benefit of the treatment
    power: PowerStatement
    coverage: RealisedCoverage | None  # of prediction intervals; None: too few people to try them out
    bundle: ModelBundle | None  # None: models competed, so there is none that was named before fitting
    registered: RegisteredVersion | None  # None: likewise
    record: ExperimentRecord  # what report, card and comparison are made from
    run_id: str
    seconds: float

    @property
    def primary(self) -> ModelResult:
        """The model that was named before fitting, or the winner."""
        return self.models[0]

    @property
    def fold_isolation(self) -> FoldIsolation:
        """Proof that held-out people do not reach the first model's fit."""
        return self.audit.isolation


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
    """Run an experiment on a cohort that is read already; see `run_experiment`.

    Raises
    ------
    TrainingError
        If people are too few for prediction intervals, or a model cannot be fitted; nothing is logged then.
    RegisteredNameError
        If the registered name stands for another outcome, or for no analysis where this is one.
    TrackingError
        If the store cannot be reached or written.
    """
    start = time.monotonic()
    if len(table.outcome) < MIN_PEOPLE:  # said now, not when everything is fitted
        raise TrainingError(f"expected at least {MIN_PEOPLE} participants, got {len(table.outcome)}.", where="[cohort]")
    n_jobs = n_jobs or os.cpu_count() or 1
    manifest = make_manifest(table, config)
    estimators = make_estimators(table, config)
    outcomes = model_outcomes(table, manifest, config)  # refuses what could not be fitted, before anything is logged
    store = _opened_store(table, config)
    with (
        start_run(store, config.name, name=config.name) as log,
        one_thread_each(),
        console.steps(_n_steps(config)),
    ):
        logged_at = log_experiment(log, config, table, manifest)
        read_ahead(n_jobs=n_jobs)
        fitting_at = time.time()
        models = judge_all(estimators, table, manifest, config, n_jobs=n_jobs)
        _log_models(models, manifest, config, store=store, log=log)
        first, name = estimators[models[0].name], models[0].name
        found: dict[str, Any] = {
            "permutation": chance_level(estimators, table, models, manifest, config, n_jobs=n_jobs),
            "power": power_beside_baselines(models),
            **_examined(first, name, outcomes[name], table, manifest, config, n_jobs=n_jobs),
        }
        log_findings(log, models, **found)
        bundle, registered = _fitted_on_everyone(first, table, config, n_jobs=n_jobs), None
        with console.step("Write report and card, register"):
            seconds = time.monotonic() - start
            record = record_experiment(config, table, manifest, models=models, bundle=bundle, seconds=seconds, **found)
            # Everything that people read stands in the log book before there is a version that could be used.
            bundle = _write_up(record, bundle, store=store, log=log)
            if bundle:
                permutation, audit = found["permutation"], found["audit"]
                measured = gate_measurements(config, table, models, permutation, audit, logged_at, fitting_at)
                registered = _registered(bundle, measured, table, config, store=store, log=log)
    return ExperimentResult(
        models=models,
        manifest=manifest,
        bundle=bundle,
        registered=registered,
        record=record,
        run_id=log.run_id,
        seconds=time.monotonic() - start,
        **found,
    )


def _opened_store(table: TrainingTable, config: ExperimentConfig) -> Store:
    """Return the log book, once it is known that the primary model could stand on its shelf."""
    store = open_store(config.tracking.store, artifacts=config.tracking.artifacts or None)
    if not config.model.is_competition:
        check_shelf(config.tracking.registered_model, table.outcome_definition.name, store=store)
    return store


def _log_models(
    models: tuple[ModelResult, ...], manifest: SplitManifest, config: ExperimentConfig, *, store: Store, log: RunLog
) -> None:
    for model in models:
        with start_run(store, config.name, name=model.name, parent=log) as run:
            log_model(run, model, manifest.participants)


def _fitted_on_everyone(
    first: Any, table: TrainingTable, config: ExperimentConfig, *, n_jobs: int
) -> ModelBundle | None:
    """Return the bundle of the primary model; None if models competed."""
    if config.model.is_competition:
        return None
    with console.step("Fit the primary model on everyone"):
        return build_bundle(first, table, config, card={}, n_jobs=n_jobs)


def _registered(
    bundle: ModelBundle,
    measured: Mapping[str, Any],
    table: TrainingTable,
    config: ExperimentConfig,
    *,
    store: Store,
    log: RunLog,
) -> RegisteredVersion:
    """Register the primary model, and note in the run which version it became."""
    registered = register_bundle(bundle, measured, store=store, run=log, tags=version_tags(table, config))
    log.tags({"registered_model": registered.name, "registered_version": registered.version})
    return registered


def _n_steps(config: ExperimentConfig) -> int:
    """Count what the screen shows of an experiment, one after the other."""
    always = 5  # judging, proof of isolation, benefit, intervals, writing up
    return always + (config.validation.n_permutations > 0) + (not config.model.is_competition)


def _write_up(record: ExperimentRecord, bundle: ModelBundle | None, *, store: Store, log: RunLog) -> ModelBundle | None:
    """Log what people read; returns the bundle with its card and TRIPOD+AI table."""
    previous = previous_versions(store, bundle.name) if bundle else []
    complete = with_reading_matter(bundle, record.document, previous=previous) if bundle else None
    log_record(log, record, complete, previous=previous)
    return complete


def _examined(
    first: Any,
    name: str,
    fitted_to: Any,
    table: TrainingTable,
    manifest: SplitManifest,
    config: ExperimentConfig,
    *,
    n_jobs: int,
) -> dict[str, Any]:
    """Return what is asked about the model that counts only: audit, benefit and coverage."""
    with console.step("Prove that held-out people reach no fit"):
        audit = _audit(name, table, manifest, config, n_jobs=n_jobs)
    with console.step("Tell benefit from prognosis"):
        benefit = _benefit(first, fitted_to, table, manifest, config, n_jobs=n_jobs)
    with console.step("Try prediction intervals out"):
        coverage = try_intervals(first, table, config, n_jobs=n_jobs)
    return {"audit": audit, "benefit": benefit, "coverage": coverage}


def _benefit(
    first: Any, fitted_to: Any, table: TrainingTable, manifest: SplitManifest, config: ExperimentConfig, *, n_jobs: int
) -> BenefitAnalysis:
    """Tell benefit from prognosis by the model that counts, on the folds on which it was judged."""
    seed = config.validation.seed
    return analyse_benefit(table, first, manifest.partitions, seed=seed, fitted_to=fitted_to, n_jobs=n_jobs, show=shown)


def _audit(
    first: str, table: TrainingTable, manifest: SplitManifest, config: ExperimentConfig, *, n_jobs: int
) -> AuditReport:
    """Audit the model that counts.

    Ten folds prove as much about its steps as leaving each person out would; duplicates are held against the folds on
    which the models are judged.
    """
    folds, make_first = bundle_partition(table, config), partial(_only, first, config=config)
    proof = audit_table(table, config, partitions=folds, make_models=make_first, only_primary=True, n_jobs=n_jobs)
    return replace(proof, findings=check_table(table, config, manifest.partitions))


def _only(name: str, table: TrainingTable, *, config: ExperimentConfig) -> dict[str, Any]:
    return {name: make_estimators(table, config)[name]}
