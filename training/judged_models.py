"""All models of an experiment on the same folds, and the chance level of the one that counts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from predictor import console
from predictor.errors import TrainingError
from predictor.model.outcome_definition import OutcomeDefinition
from training.config import ExperimentConfig
from training.evaluation.assessment import evaluate
from training.evaluation.baselines import make_baselines
from training.evaluation.conformal import RealisedCoverage, realised_coverage
from training.evaluation.elastic_net_cv import nested_elastic_net, permute_elastic_net
from training.evaluation.metrics import compare, r2_against_training_mean
from training.evaluation.nested_cv import OutOfFold, cross_validate
from training.evaluation.permutation import (
    Judge,
    PermutationTest,
    Refitted,
    competition_test,
    permutation_test,
)
from training.evaluation.power import PowerStatement, state_power
from training.evaluation.split_manifest import SplitManifest, check_training_sets
from training.evaluation.splits import Partition, PartitionMaker, codes
from training.experiment_folds import partition_maker
from training.final_model import bundle_partition
from training.model_result import ModelResult, Role
from training.models.estimators import make_estimator, model_outcome
from training.models.model_names import CLASSIFIERS
from training.models.tuned_elastic_net import CompiledProblem, TunedElasticNet
from training.training_table import TrainingTable

Floats = NDArray[np.float64]


def make_estimators(table: TrainingTable, config: ExperimentConfig) -> dict[str, Any]:
    """Primary and candidates by name, unfitted, the primary first."""
    return {
        name: make_estimator(
            name,
            covariates=table.covariates,
            arm_interactions=config.covariates.interactions,
            model=config.model,
            validation=config.validation,
            features=[definition.name for definition in (*table.definitions, *table.learned)],
            unweighted=table.unweighted,
            harmonization=table.harmonization,
            deviation=table.reference.step if table.reference else None,
            minimum_reliability=config.features.minimum_reliability,
        )
        for name in config.model.names
    }


def model_outcomes(table: TrainingTable, manifest: SplitManifest, config: ExperimentConfig) -> dict[str, Floats]:
    """Return what each model is fitted to: the outcome, or for classifiers whether people responded.

    Raises
    ------
    ConfigError
        If a classifier is asked for, and the outcome is no response and has no rule for one.
    TrainingError
        If the people outside a fold all responded, or none did.
    """
    outcomes = {name: model_outcome(name, table.outcome_definition, table.outcome) for name in config.model.names}
    for name, outcome in outcomes.items():
        if name in CLASSIFIERS:
            check_training_sets(manifest.partitions, outcome, participants=manifest.participants, arms=table.arms)
    return outcomes


def judge_all(
    estimators: Mapping[str, Any],
    table: TrainingTable,
    manifest: SplitManifest,
    config: ExperimentConfig,
    *,
    n_jobs: int,
) -> tuple[ModelResult, ...]:
    """Cross-validate primary, candidates and baselines on the folds of the manifest.

    Returns
    -------
    tuple of ModelResult
        The primary first, or the winner of a competition: the model with the highest R2 in the first repeat.

    Raises
    ------
    ConfigError, TrainingError
        See `model_outcomes`; and if a model was judged on other folds than those of the manifest.
    """
    outcomes, partitions = model_outcomes(table, manifest, config), manifest.partitions
    predicted: dict[str, OutOfFold] = {}
    to_judge = console.progress(
        estimators.items(), total=len(estimators), label="Cross-validate models", name_of=_name_for_people
    )
    for name, estimator in to_judge:
        predicted[name] = cross_validate(estimator, table.model_inputs, outcomes[name], partitions, n_jobs=n_jobs)
    baselines = make_baselines(
        table.inputs, covariates=(*table.covariates, *table.demographic), motion_columns=table.motion_columns
    )
    for baseline in baselines:
        columns = table.inputs[list(baseline.columns)]
        predicted[baseline.name] = cross_validate(baseline.estimator, columns, table.outcome, partitions)
    groups = None if table.groups is None else codes(table.groups)
    for name, one in predicted.items():
        manifest.verify(name, one)
        predicted[name] = replace(one, groups=groups)
    first = config.model.primary
    if config.model.is_competition:
        first = max(config.model.competitors, key=lambda name: _statistic(predicted[name]))
    in_order = {first: predicted.pop(first), **predicted}
    n_inputs = {baseline.name: len(baseline.columns) for baseline in baselines}
    return tuple(_result(name, in_order, table, config, n_inputs=n_inputs.get(name)) for name in in_order)


def chance_level(
    estimators: Mapping[str, Any],
    table: TrainingTable,
    models: tuple[ModelResult, ...],
    manifest: SplitManifest,
    config: ExperimentConfig,
    *,
    n_jobs: int,
) -> PermutationTest | None:
    """Permutation test of the primary, or of the best of all models when they compete; None if not asked for.

    The statistic is the R2 of one repeat, on both sides. Elastic nets whose columns the compiled code takes draw all
    permutations; other models stop early.
    """
    validation = config.validation
    if validation.n_permutations == 0:
        return None
    common: dict[str, Any] = {
        "strata": table.strata,
        "groups": table.groups,
        "make_partition": partition_maker(table, config),
        "n_permutations": validation.n_permutations,
        "seed": validation.seed,
        "n_jobs": n_jobs,
        "show": partial(shown, label="Permute outcomes"),
    }
    observed, stop_after = _statistic(models[0].predicted), validation.permutations_stop_after
    inputs, outcome = table.model_inputs, table.outcome
    if config.model.is_competition:
        judges = {name: judge_of(estimators[name], inputs) for name in config.model.competitors}
        return competition_test(judges, outcome, observed_r2=observed, stop_after=stop_after, **common)
    primary = estimators[models[0].name]
    compiled = compiled_problem(primary, inputs)
    if compiled is None:
        return permutation_test(primary, inputs, outcome, observed_r2=observed, stop_after=stop_after, **common)
    how: dict[str, Any] = {"inner_folds": compiled.inner_folds, "grid": compiled.grid}
    # Judged by the very code that judges the permutations; the fitted models agree with it to the solver's tolerance.
    observed = CompiledJudge(compiled)(outcome, manifest.partitions[0])
    return permute_elastic_net(compiled.columns, outcome, observed_r2=observed, **how, **common)


@dataclass(frozen=True, slots=True, eq=False)
class CompiledJudge:
    """Judges an elastic net whose columns the compiled code takes."""

    problem: CompiledProblem

    def __call__(self, outcome: Floats, folds: Partition) -> float:
        """R2 of one cross-validation."""
        problem = self.problem
        return r2_against_training_mean(
            nested_elastic_net(problem.columns, outcome, folds, inner_folds=problem.inner_folds, grid=problem.grid)
        )


def power_beside_baselines(models: tuple[ModelResult, ...]) -> PowerStatement:
    """Return what this many people can find, alone and beyond the best baseline."""
    baselines = [model for model in models if model.role == "baseline"]
    best = max(baselines, key=lambda model: model.metrics.r2)
    n_people = len(models[0].predicted.outcome)
    return state_power(n_people, baseline_r2=best.metrics.r2, n_baseline_terms=best.n_inputs or 0)


def try_intervals(
    estimator: Any, table: TrainingTable, config: ExperimentConfig, *, n_jobs: int
) -> RealisedCoverage | None:
    """Coverage of the bundle's kind of interval on people left out of everything; None with too few of them."""
    folds = bundle_partition(table, config)
    arms, n_folds = table.arms, len(np.unique(folds))
    make_partition = PartitionMaker(None if arms is None else tuple(arms), n_folds, table.groups)
    try:
        return realised_coverage(
            estimator, table.model_inputs, table.outcome, folds,
            make_partition=make_partition, seed=config.validation.seed, n_jobs=n_jobs,
            show=partial(shown, label="folds within folds"),
        )  # fmt: skip
    except TrainingError as error:
        console.say(f"prediction intervals were not tried out: {error}")
        return None


def shown(items: Iterable[Any], total: int, *, label: str) -> Iterator[Any]:
    """Pass the items through under a progress bar."""
    return console.progress(items, total=total, label=label)


def _name_for_people(named: tuple[str, Any]) -> str:
    return named[0].replace("_", " ")


def judge_of(estimator: Any, inputs: pd.DataFrame) -> Judge:
    """Return what cross-validates a model for one outcome: compiled code where it takes the columns."""
    compiled = compiled_problem(estimator, inputs)
    return Refitted(estimator, inputs) if compiled is None else CompiledJudge(compiled)


def compiled_problem(estimator: Any, inputs: pd.DataFrame) -> CompiledProblem | None:
    """Return the cohort as the compiled elastic net takes it; None for other models and designs."""
    return estimator.compiled_problem(inputs) if isinstance(estimator, TunedElasticNet) else None


def _statistic(predicted: OutOfFold) -> float:
    return r2_against_training_mean(predicted.repeat(0))


def _result(
    name: str,
    predicted: Mapping[str, OutOfFold],
    table: TrainingTable,
    config: ExperimentConfig,
    *,
    n_inputs: int | None,
) -> ModelResult:
    """Judge one model, and compare it with the first."""
    first, seed, definition = next(iter(predicted)), config.validation.seed, table.outcome_definition
    is_of_response = name in CLASSIFIERS
    if is_of_response:
        definition = OutcomeDefinition(f"response by {definition.name}", "probability", "higher")
    gain = None if name == first or is_of_response else compare(predicted[first], predicted[name], seed=seed)
    if n_inputs is not None:
        role: Role = "baseline"
    elif name != first:
        role = "candidate"
    else:
        role = "winner" if config.model.is_competition else "primary"
    return ModelResult(name, role, predicted[name], evaluate(predicted[name], definition, seed=seed), gain, n_inputs)
