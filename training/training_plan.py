"""What training an experiment would do, without logging anything: people, folds, models, leaks, expected time."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from predictor.console import duration, table
from predictor.record_card import counted
from training.audit import check_table
from training.config import ExperimentConfig
from training.evaluation.baselines import make_baselines
from training.evaluation.cross_fitted_learners import LEARNERS
from training.evaluation.leak_finding import TITLES, LeakFinding
from training.evaluation.nested_cv import fit_fold
from training.evaluation.permutation import Judge
from training.evaluation.split_manifest import SplitManifest
from training.evaluation.splits import train_and_test
from training.experiment_folds import make_manifest
from training.judged_models import judge_of, make_estimators, model_outcomes
from training.training_table import TrainingTable, read_training_table

# Importing, opening the store, logging, report and card: measured, and nearly the same for every experiment.
FIXED_SECONDS: Final = 10.0
# A proof of fold isolation fits every fold with sound and with poisoned people.
FITS_PER_AUDITED_FOLD: Final = 2
# What starting processes takes, and what their tasks lose by waiting for each other.
PARALLEL_LOSS: Final = 1.3


@dataclass(frozen=True, slots=True, eq=False)
class TrainingPlan:
    """What would be trained, on whom, and how long that would take."""

    config: ExperimentConfig
    table: TrainingTable
    manifest: SplitManifest
    seconds_per_fit: Mapping[str, float]  # by model, one fold with its tuning
    seconds_per_judgement: float  # one cross-validation of the first model, as permutations are judged
    findings: tuple[LeakFinding, ...]
    n_jobs: int

    @property
    def seconds(self) -> float:
        """Expected time of the whole experiment."""
        validation, first = self.config.validation, next(iter(self.seconds_per_fit.values()))
        n_fits = sum(len(np.unique(folds)) for folds in self.manifest.partitions)
        judged = n_fits * sum(self.seconds_per_fit.values())
        permuted = validation.n_permutations * self.seconds_per_judgement
        of_bundle = min(validation.n_folds, len(self.table.outcome))
        # Intervals are tried out by folds within folds; benefit takes every learner through the folds of the judging.
        around = FITS_PER_AUDITED_FOLD * of_bundle + len(LEARNERS) * n_fits + of_bundle**2 + of_bundle + 1
        return FIXED_SECONDS + PARALLEL_LOSS * (judged + permuted + around * first) / self.n_jobs

    @property
    def is_safe(self) -> bool:
        """Whether nothing in the table itself would fail an audit."""
        return not any(finding.fails for finding in self.findings)

    def lines(self) -> Iterator[str]:
        """Yield the plan for the screen."""
        yield f"{self.config.name}: {self.table.outcome_definition.name}, {self.table.outcome_definition.unit}"
        yield table([*self._people(), *self._models(), *self._leaks()])
        for finding in self.findings:
            yield f"    {TITLES[finding.severity]}  {finding.line()}"
        processes = counted(self.n_jobs, "process", "processes")
        yield f"expected: about {duration(self.seconds)} with {processes}, on a machine that does nothing else"

    def _people(self) -> Iterator[tuple[str, str]]:
        cohort, arms = self.table, self.table.arms
        by_arm = f" ({_counts(arms)})" if arms else ""
        left_out = f"; {len(cohort.left_out)} left out, without usable features" if cohort.left_out else ""
        yield "people", f"{len(cohort.outcome)}{by_arm}{left_out}"
        if cohort.reference:
            yield "controls", f"{cohort.reference.n_people}, apart from folds and outcomes"
        weighed = cohort.weighted_definitions
        yield "features", f"{len(weighed)} ({_counts([definition.family for definition in weighed])})"
        told = ", ".join(f"{one.name} ({one.role})" for one in cohort.covariates)
        yield "told besides", told or "nothing"

    def _models(self) -> Iterator[tuple[str, str]]:
        validation, model, partitions = self.config.validation, self.config.model, self.manifest.partitions
        n_folds = [len(np.unique(folds)) for folds in partitions]
        yield "folds", f"{validation.scheme}, {len(partitions)} x {n_folds[0]}; tuned in {validation.inner_folds} more"
        if model.is_competition:
            yield "models", f"{', '.join(model.names)}: they compete, so nothing is registered"
        else:
            yield "primary", f"{model.primary}, registered as {self.config.tracking.registered_model}"
            others = [name for name in model.names if name != model.primary]
            yield "candidates", ", ".join(others) or "none"
        yield "baselines", ", ".join(_baselines(self.table)) or "none"
        stop = validation.permutations_stop_after
        early = f", fewer once {stop} did as well (not with compiled models)" if stop else ""
        yield "permutations", f"{validation.n_permutations}{early}" if validation.n_permutations else "none"

    def _leaks(self) -> Iterator[tuple[str, str]]:
        verdict = "nothing that gives the outcome or held-out people away" if self.is_safe else "would fail `krp audit`"
        yield "leaks", f"{verdict}; training proves the fits themselves"


def plan_training(config: ExperimentConfig, *, n_jobs: int | None = None) -> TrainingPlan:
    """Return what `run_experiment` would do; fits one fold of every model, writes nothing.

    Raises
    ------
    TableError, TrainingError, ConfigError
        If the cohort cannot carry the experiment: what training itself would say.
    """
    cohort = read_training_table(config)
    manifest = make_manifest(cohort, config)
    estimators = make_estimators(cohort, config)
    outcomes = model_outcomes(cohort, manifest, config)
    train, _ = next(train_and_test(manifest.partitions[0]))
    inputs = cohort.model_inputs
    seconds = {name: _seconds(fit_fold, one, inputs, outcomes[name], train) for name, one in estimators.items()}
    judge: Judge = judge_of(next(iter(estimators.values())), inputs)
    judged = _seconds(judge, cohort.outcome, manifest.partitions[0]) if config.validation.n_permutations else 0.0
    findings = check_table(cohort, config, manifest.partitions)
    return TrainingPlan(config, cohort, manifest, seconds, judged, findings, n_jobs or os.cpu_count() or 1)


def _seconds(action: Any, *arguments: Any) -> float:
    """Return what a call takes of a processor once it is warm; the first one may import and compile.

    Not the clock's time: on a busy machine a single call may wait for others many times as long as it computes.
    """
    action(*arguments)
    start = time.process_time()
    action(*arguments)
    return time.process_time() - start


def _baselines(cohort: TrainingTable) -> list[str]:
    known = (*cohort.covariates, *cohort.demographic)
    return [one.name for one in make_baselines(cohort.inputs, covariates=known, motion_columns=cohort.motion_columns)]


def _counts(labels: list[str]) -> str:
    return ", ".join(f"{label} {n}" for label, n in Counter(labels).items())
