from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from predictor.errors import ConfigError, TrainingError
from predictor.model.outcome_definition import OutcomeDefinition
from training.config import ExperimentConfig
from training.evaluation.metrics import measure, r2_against_training_mean
from training.evaluation.splits import GROUP_COLUMN, train_and_test
from training.experiment_folds import make_manifest
from training.judged_models import (
    chance_level,
    judge_all,
    make_estimators,
    model_outcomes,
    power_beside_baselines,
    try_intervals,
)
from training.training_table import TrainingTable

COMPETITION = ("ridge", "elastic_net", "pls")


def small(config: ExperimentConfig, *, n_permutations: int = 9, **model: Any) -> ExperimentConfig:
    validation = replace(config.validation, n_repeats=1, n_folds=3, n_permutations=n_permutations)
    return replace(config, validation=validation, model=replace(config.model, **model))


def run(table: TrainingTable, config: ExperimentConfig) -> tuple[Any, Any]:
    manifest, estimators = make_manifest(table, config), make_estimators(table, config)
    models = judge_all(estimators, table, manifest, config, n_jobs=1)
    return models, chance_level(estimators, table, models, manifest, config, n_jobs=1)


def with_noise(table: TrainingTable, seed: int = 0) -> TrainingTable:
    return replace(table, outcome=np.random.default_rng(seed).standard_normal(len(table.outcome)))


def test_a_competition_puts_the_best_model_first_and_takes_p_of_the_maximum(
    training_table: TrainingTable, config: ExperimentConfig
) -> None:
    models, test = run(training_table, small(config, primary="", candidates=COMPETITION))
    by_name = {model.name: model.metrics.r2 for model in models}
    assert models[0].role == "winner"
    assert by_name[models[0].name] == max(by_name[name] for name in COMPETITION)
    assert [model.role for model in models].count("candidate") == 2
    assert test.competitors == COMPETITION
    assert test.p_value == 1 / 10


def test_the_maximum_over_models_is_never_below_the_null_of_one(
    training_table: TrainingTable, config: ExperimentConfig
) -> None:
    null = with_noise(training_table)
    alone = small(config, primary="ridge", candidates=())
    never_stop = replace(alone.validation, permutations_stop_after=0)
    _, of_ridge = run(null, replace(alone, validation=never_stop))
    competing = small(config, compete=True, primary="ridge", candidates=("elastic_net",))
    _, of_best = run(null, replace(competing, validation=never_stop))
    assert (of_best.null_r2 >= of_ridge.null_r2 - 1e-6).all()


def test_models_without_compiled_code_stop_early_on_noise(
    training_table: TrainingTable, config: ExperimentConfig
) -> None:
    slow = small(config, n_permutations=60, primary="pls", candidates=())
    slow = replace(slow, validation=replace(slow.validation, permutations_stop_after=3))
    _, test = run(with_noise(training_table), slow)
    assert test.stopped_early
    assert test.n_exceeding == 3
    assert test.p_value == 3 / len(test.null_r2)


def test_the_compiled_statistic_is_that_of_the_fitted_models(
    training_table: TrainingTable, config: ExperimentConfig
) -> None:
    models, test = run(training_table, small(config, candidates=()))
    assert test.observed_r2 == pytest.approx(r2_against_training_mean(models[0].predicted), abs=1e-6)


def test_classifiers_are_judged_by_whether_people_responded(
    training_table: TrainingTable, config: ExperimentConfig
) -> None:
    models, _ = run(training_table, small(config, n_permutations=0, candidates=("logistic_elastic_net",)))
    responder = models[1]
    assert set(responder.predicted.outcome) == {0.0, 1.0}
    assert responder.gain_of_primary is None
    assert responder.assessment.responders.auc > 0.7


def test_a_classifier_without_a_response_rule_is_refused(
    training_table: TrainingTable, config: ExperimentConfig
) -> None:
    no_rule = replace(training_table, outcome_definition=OutcomeDefinition("improvement", "percent", "higher"))
    asked = small(config, candidates=("svm_linear",))
    with pytest.raises(ConfigError, match="no rule"):
        model_outcomes(no_rule, make_manifest(no_rule, asked), asked)


def test_one_class_only_is_refused_for_classifiers(training_table: TrainingTable, config: ExperimentConfig) -> None:
    never = OutcomeDefinition("improvement", "percent", "higher", 500.0, "at least 500 percent")
    nobody = replace(training_table, outcome_definition=never)
    asked = small(config, candidates=("svm_linear",))
    with pytest.raises(TrainingError, match="one class only"):
        model_outcomes(nobody, make_manifest(nobody, asked), asked)


def test_tuning_keeps_families_together(training_table: TrainingTable, config: ExperimentConfig) -> None:
    groups = tuple(f"family {row // 3}" for row in range(len(training_table.outcome)))
    table = replace(training_table, groups=groups, inputs=training_table.inputs.assign(**{GROUP_COLUMN: list(groups)}))
    estimator = make_estimators(table, config)["elastic_net"]
    compiled = estimator.compiled_problem(table.model_inputs)
    rows = np.arange(9, 60)
    for inner in (
        compiled.inner_folds(table.outcome[rows], rows),
        estimator._inner_partition(table.model_inputs.iloc[rows], table.outcome[rows]),
    ):
        for train, test in train_and_test(inner):
            assert not {groups[row] for row in rows[train]} & {groups[row] for row in rows[test]}


def test_families_do_not_become_inputs_of_the_model(training_table: TrainingTable, config: ExperimentConfig) -> None:
    groups = tuple(f"family {row // 3}" for row in range(len(training_table.outcome)))
    table = replace(training_table, groups=groups, inputs=training_table.inputs.assign(**{GROUP_COLUMN: list(groups)}))
    fitted = make_estimators(table, config)["elastic_net"].fit(table.model_inputs, table.outcome)
    assert GROUP_COLUMN not in fitted.pipeline_.named_steps["design"].input_names_


def test_power_is_stated_beside_the_best_baseline(training_table: TrainingTable, config: ExperimentConfig) -> None:
    models, _ = run(training_table, small(config, n_permutations=0, candidates=()))
    power = power_beside_baselines(models)
    assert power.baseline_r2 == max(model.metrics.r2 for model in models if model.role == "baseline")
    assert power.n_participants == 60


def test_intervals_are_tried_on_people_outside_everything_that_made_them(
    training_table: TrainingTable, config: ExperimentConfig
) -> None:
    found = try_intervals(
        make_estimators(training_table, small(config))["elastic_net"], training_table, small(config), n_jobs=1
    )
    assert found is not None
    assert found.n_people == 60
    assert set(found.by_arm) == {"ketamine", "midazolam"}


def test_groups_of_people_reach_every_models_intervals(training_table: TrainingTable, config: ExperimentConfig) -> None:
    groups = tuple(f"family {row // 2}" for row in range(60))
    inputs = training_table.inputs.assign(**{GROUP_COLUMN: np.array(groups, dtype=object)})
    table = replace(training_table, groups=groups, inputs=inputs)
    models, _ = run(table, small(config, n_permutations=0))
    for model in models:
        assert model.predicted.groups is not None
        assert len(np.unique(model.predicted.groups)) == 30
    alone = measure(replace(models[0].predicted, groups=None), seed=config.validation.seed)
    assert models[0].metrics.r2 == alone.r2
    assert models[0].metrics.r2_interval != alone.r2_interval
