"""Everything that can be checked about leakage in one experiment: the fits, the folds, and the table itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from training.cohort.baseline_inputs import not_available_at_baseline
from training.config import ExperimentConfig
from training.evaluation.batch_independence import BatchIndependence, check_batch_independence
from training.evaluation.duplicates import across_folds, find_same_people
from training.evaluation.fold_isolation import FitSteps, FoldIsolation, StepState, fitted_steps, prove_fold_isolation
from training.evaluation.leak_checks import (
    NOT_SEEN,
    carries_outcome,
    carries_outcome_jointly,
    encodes_outcome,
    gaps_carry_outcome,
    measured_late,
)
from training.evaluation.leak_finding import TITLES, LeakFinding
from training.evaluation.nested_cv import fit_fold
from training.evaluation.preparation_traces import (
    adjusted_before,
    decorrelated_before,
    imputed_before,
    ranked_before,
    scaled_before,
)
from training.evaluation.splits import train_and_test
from training.experiment_folds import make_partitions
from training.judged_models import make_estimators, shown
from training.models.estimators import model_outcome
from training.training_table import TrainingTable, read_training_table

FEATURES_FILE, PARTICIPANTS_FILE = "features.tsv", "participants.tsv"
# From the cohort's table, as it enters the experiment, to unfitted models by name, the primary first.
MakeEstimators = Callable[[TrainingTable], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class ModelAudit:
    """What was proven about one model."""

    isolation: FoldIsolation
    batch: BatchIndependence

    @property
    def passed(self) -> bool:
        """Whether neither the fit nor a prediction depends on who must not matter."""
        return self.isolation.passed and self.batch.passed

    @property
    def leaking_step(self) -> str | None:
        """The step that leaks."""
        return self.isolation.leaking_step or self.batch.leaking_step


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What was found; the primary model comes first."""

    models: Mapping[str, ModelAudit]
    findings: tuple[LeakFinding, ...]
    n_people: int
    n_partitions: int

    @property
    def passed(self) -> bool:
        """Whether no leak was found, and no input of unknown time; declared analyses and what needs a look may pass."""
        return not self.leaking_steps and all(model.passed for model in self.models.values())

    @property
    def leaking_steps(self) -> tuple[str, ...]:
        """Every step that leaks, or whose time is not declared, fits first."""
        of_models = [model.leaking_step for model in self.models.values() if model.leaking_step]
        return tuple(dict.fromkeys([*of_models, *(one.step for one in self.findings if one.fails)]))

    @property
    def isolation(self) -> FoldIsolation:
        """Proof for the primary model."""
        return next(iter(self.models.values())).isolation

    def gate_document(self) -> dict[str, Any]:
        """Return what the promotion gate asks for: the proof for the primary, failed by any other leak too."""
        proof = asdict(self.isolation)
        leaking = self.leaking_steps[0] if self.leaking_steps else None
        return proof | {"leaking_step": proof["leaking_step"] or leaking, "passed": self.passed}

    def document(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        return {
            "passed": self.passed,
            "leaking_steps": list(self.leaking_steps),
            "n_people": self.n_people,
            "n_partitions": self.n_partitions,
            "models": {
                name: {
                    "passed": one.passed,
                    "fold_isolation": asdict(one.isolation),
                    "batch_independence": asdict(one.batch),
                }
                for name, one in self.models.items()
            },
            "findings": [finding.document() for finding in self.findings],
            "not_seen": NOT_SEEN,
        }

    def lines(self) -> Iterator[str]:
        """Yield the report for the screen."""
        plural = "" if self.n_partitions == 1 else "s"
        yield f"{self.n_people} people, {self.n_partitions} partition{plural} into folds"
        for name, model in self.models.items():
            yield f"  {name.replace('_', ' '):<24}  {model_line(model)}"
        for severity, title in TITLES.items():
            for finding in self.findings:
                if finding.severity == severity:
                    yield f"  {title}  {finding.line()}"
        if not self.findings:
            yield f"  {'table':<24}  no duplicates, nothing that carries the outcome or was prepared on everyone"
        yield NOT_SEEN


def audit(config: ExperimentConfig, *, only_primary: bool = False, n_jobs: int = 1) -> AuditReport:
    """Read an experiment's cohort and audit it; see `audit_table`.

    Raises
    ------
    TableError, TrainingError, ConfigError
        If the cohort cannot carry the experiment.
    """
    return audit_table(read_training_table(config), config, only_primary=only_primary, n_jobs=n_jobs)


def audit_table(
    table: TrainingTable,
    config: ExperimentConfig,
    *,
    partitions: NDArray[np.intp] | None = None,
    make_models: MakeEstimators | None = None,
    only_primary: bool = False,
    n_jobs: int = 1,
) -> AuditReport:
    """Poison held-out people where they enter, refit everything, and look at the table with its own checks.

    Parameters
    ----------
    table, config
        The cohort and the experiment.
    partitions
        Folds to prove, one row per repeat; those of the experiment unless given. Duplicates are held against these too.
    make_models
        From the table to unfitted models; the experiment's own unless given. It is called anew with every poisoned
        table, so that what learns while models are put together is seen as well.
    only_primary
        Leave the candidates out.
    n_jobs
        Processes.
    """
    folds = make_partitions(table, config) if partitions is None else np.atleast_2d(partitions)
    build = make_models or partial(make_estimators, config=config)
    names = list(build(table))[: 1 if only_primary else None]
    models = {name: _audit_model(name, table, build, folds, n_jobs=n_jobs) for name in names}
    return AuditReport(models, check_table(table, config, folds), len(table.outcome), len(folds))


def check_table(
    table: TrainingTable, config: ExperimentConfig, partitions: NDArray[np.intp]
) -> tuple[LeakFinding, ...]:
    """Leaks that stand in the table itself; leaks first."""
    people = [str(name) for name in table.inputs.index]
    measured = table.features.values.loc[table.inputs.index]
    digests = table.features.input_digests
    covariates = [c.name for c in (*table.covariates, *table.demographic)]
    told = [c.name for c in (*table.covariates, *table.demographic) if c.role != "arm"]
    arms = [c.name for c in table.covariates if c.role == "arm"]
    of_people = [name for name in table.motion_columns if name not in measured]
    features = [definition.name for definition in table.definitions]
    known = _with_words(table.inputs[list(dict.fromkeys([*covariates, *of_people]))], table)
    weighed = [*features, *told, *of_people]
    findings = [
        *across_folds(find_same_people(measured, input_digests=digests), people, partitions),
        *carries_outcome(known, table.outcome, [*arms, *told, *of_people], step="covariates", where=PARTICIPANTS_FILE),
        *carries_outcome(table.inputs, table.outcome, features, step="features", where=FEATURES_FILE),
        *gaps_carry_outcome(table.inputs[features], table.outcome, where=FEATURES_FILE),
        *encodes_outcome(known, table.outcome, where=PARTICIPANTS_FILE),
        *encodes_outcome(table.inputs[features], table.outcome, where=FEATURES_FILE),
        *carries_outcome_jointly(known, table.outcome, covariates, where=PARTICIPANTS_FILE),
        *measured_late(
            weighed,
            measured={name: str(time) for name, time in config.cohort.measured.items()},
            suspicious=not_available_at_baseline(weighed),
            where="[cohort] measured",
        ),
        *_prepared_before(table, measured[features], known),
    ]
    return tuple(sorted(findings, key=lambda finding: list(TITLES).index(finding.severity)))


def table_steps(table: TrainingTable, make_models: MakeEstimators, name: str) -> FitSteps:
    """Way from the cohort's table to one fitted model, for `prove_fold_isolation`; models are made from each table."""

    def fit_steps(
        inputs: pd.DataFrame, outcome: NDArray[np.float64], train: NDArray[np.intp]
    ) -> Mapping[str, StepState]:
        whole = with_people(table, inputs, outcome)
        return fitted_steps(make_models(whole)[name], whole.model_inputs, model_outcome_of(whole, name), train)

    return fit_steps


def with_people(table: TrainingTable, inputs: pd.DataFrame, outcome: NDArray[np.float64]) -> TrainingTable:
    """Return the table with other numbers for the same people, also where it keeps the features as they were read."""
    shared = [name for name in table.features.values.columns if name in inputs]
    values, people = table.features.values.copy(), inputs.index
    values.loc[people, shared] = inputs[shared]
    # Features that the models do not read would be a way round the poison: whose row changed has none of them.
    changed = (inputs[shared].to_numpy() != table.inputs[shared].to_numpy()) & inputs[shared].notna().to_numpy()
    others = [name for name in values.columns if name not in inputs]
    values.loc[people[changed.any(axis=1)], others] = np.nan
    return replace(table, inputs=inputs, outcome=outcome, features=replace(table.features, values=values))


def model_outcome_of(table: TrainingTable, name: str) -> NDArray[np.float64]:
    """Return what a model is fitted to: the outcome, or whether people responded."""
    return model_outcome(name, table.outcome_definition, table.outcome)


def model_line(model: ModelAudit) -> str:
    """One model's proof in a line."""
    proof = model.isolation
    if not proof.is_reproducible:
        return (
            f"not proven: {proof.leaking_step} ({proof.leaking_attribute}) differs between two fits of the same people"
        )
    if proof.leaking_step:
        return f"LEAK: step {proof.leaking_step} ({proof.leaking_attribute}) saw held-out people of fold {proof.fold}"
    if not proof.passed:
        return "not proven: the model shows nothing that it has learned"
    if model.batch.leaking_step:
        return f"LEAK: step {model.batch.leaking_step} treats a person by who else is scored"
    return f"passed: {proof.n_values_compared:,} fitted values unchanged in {proof.n_folds} folds"


def _audit_model(
    name: str, table: TrainingTable, make_models: MakeEstimators, folds: NDArray[np.intp], *, n_jobs: int
) -> ModelAudit:
    categories = [c.name for c in (*table.covariates, *table.demographic) if c.kind == "category"]
    isolation = prove_fold_isolation(
        table_steps(table, make_models, name),
        table.inputs,
        table.outcome,
        folds,
        categories=categories,
        n_jobs=n_jobs,
        show=partial(shown, label=f"Poison held-out people, {name.replace('_', ' ')}"),
    )
    train, _ = next(train_and_test(folds[0]))
    fitted = fit_fold(make_models(table)[name], table.model_inputs, model_outcome_of(table, name), train)
    return ModelAudit(isolation, check_batch_independence(fitted, table.model_inputs, categories=categories))


def _prepared_before(table: TrainingTable, features: pd.DataFrame, known: pd.DataFrame) -> list[LeakFinding]:
    """Traces of steps that were done on everyone, before the table reached us."""
    everyone = table.features.values[features.columns]
    scaled = scaled_before(features) or scaled_before(everyone)
    ranked = ranked_before(features) or ranked_before(everyone)
    imputed = imputed_before(features, known) or imputed_before(everyone)
    components = decorrelated_before(features) or decorrelated_before(everyone)
    return [*scaled, *ranked, *imputed, *components, *adjusted_before(features, known)]


def _with_words(known: pd.DataFrame, table: TrainingTable) -> pd.DataFrame:
    """Return the columns with categories as words, also those that are written as numbers."""
    categories: Sequence[str] = [
        c.name for c in (*table.covariates, *table.demographic) if c.kind == "category" and c.name in known
    ]
    return known.astype(dict.fromkeys(categories, str)).astype(dict.fromkeys(categories, object))
