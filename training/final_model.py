"""The primary model fitted on everyone, with the models around it that say how far to trust it."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from predictor.model.bundle import ModelBundle
from predictor.model.learned_features import LearnedDeviations, summary_parts
from predictor.model.linear_model import LinearEnsemble, LinearResponseModel
from predictor.model.out_of_fold import OutOfFoldResiduals
from predictor.model.response_design import arm_names
from predictor.model.response_model import ModelEnsemble
from predictor.model.training_range import describe_training
from predictor.model.tree_model import TreeEnsemble, TreeResponseModel
from training.config import ExperimentConfig
from training.evaluation.nested_cv import fit_fold
from training.evaluation.resampling import UnitResampler
from training.evaluation.splits import Partition, stratified_folds, train_and_test
from training.locked.locked_reference import locked_document
from training.models.estimators import TunedElasticNet, TunedRegressor
from training.models.fitted_trees import response_model_of
from training.training_table import MOTION_FEATURE, TrainingTable

ServedModel = LinearResponseModel | TreeResponseModel

# Every answer asks every question of every bootstrap model: 100,000 nodes take a third of a millisecond. A forest of
# 120 people has 2,400, so 42 such forests are made where 100 are asked for; boosted trees, 550, keep their 100.
MOST_BOOTSTRAP_NODES = 100_000
# The ends of a 90 % interval need a few models beyond them, whatever an answer takes.
FEWEST_BOOTSTRAP_MODELS = 40
# Contributions by ten forests would take two to three milliseconds of every answer, to say how many agree on a sign.
MOST_EXPLAINED_NODES = 12_000

RECORDED_PACKAGES = ("ketamine-response-predictor", "numpy", "scipy", "pandas", "scikit-learn", "nilearn")


def build_bundle(
    estimator: TunedElasticNet | TunedRegressor,
    table: TrainingTable,
    config: ExperimentConfig,
    *,
    card: Mapping[str, Any],
    n_jobs: int = 1,
) -> ModelBundle:
    """Fit the primary model on everyone, once per fold of one partition, and on bootstrap resamples.

    Fold models repeat the tuning, so that their residuals are those of the whole procedure; bootstrap models keep the
    penalties of the full fit, for a hundred more tunings would say little more about the spread of the coefficients.
    Of models with many nodes, fewer bootstrap models are made, and fold models are not asked for contributions; see
    `MOST_BOOTSTRAP_NODES` and `MOST_EXPLAINED_NODES`.
    """
    inputs, outcome = table.model_inputs, table.outcome
    fitted: TunedElasticNet | TunedRegressor = clone(estimator).fit(inputs, outcome)
    folds = bundle_partition(table, config)
    training_rows = [train for train, _ in train_and_test(folds)]
    fitted_folds = Parallel(n_jobs=n_jobs)(
        delayed(fit_fold)(estimator, inputs, outcome, train) for train in training_rows
    )
    raw_by_fold = [_raw_inputs(one.pipeline_, inputs) for one in fitted_folds]
    fold_models = [
        response_model_of(one.pipeline_, own[train])
        for one, own, train in zip(fitted_folds, raw_by_fold, training_rows, strict=True)
    ]
    design, raw = fitted.pipeline_.named_steps["design"], _raw_inputs(fitted.pipeline_, inputs)
    model = response_model_of(fitted.pipeline_, raw)
    n_models = n_bootstrap_models(model, config)
    return ModelBundle(
        name=config.tracking.registered_model,
        outcome=table.outcome_definition,
        definitions=table.definitions,
        covariates=table.covariates,
        recipe=table.features.recipe,
        recipe_hashes=_recipe_hashes(table),
        model=model,
        fold_models=_ensemble(fold_models, is_explained=True),
        out_of_fold=_residuals(fold_models, raw_by_fold, folds, table),
        bootstrap_models=_ensemble(
            _bootstrap_models(fitted, table, config, n_models=n_models, n_jobs=n_jobs), is_explained=False
        ),
        training_range=describe_training(
            raw, n_features=len(table.definitions), background_mean=design.centre_, motion_mm=_motion_by_kind(table)
        ),
        deviations=_learned_deviations(fitted, table),
        harmonization=fitted.pipeline_.named_steps["harmonization"].correction_ if table.harmonization else None,
        unseen_site_policy=table.harmonization.unseen_site if table.harmonization else "flag",
        trained_on=len(outcome),
        card=card,
        locked_test=locked_document(table, raw, model),
        versions={"python": platform.python_version(), **{name: version(name) for name in RECORDED_PACKAGES}},
    )


def n_bootstrap_models(model: ServedModel, config: ExperimentConfig) -> int:
    """How many bootstrap models are made: as many as asked for, fewer where they have many nodes."""
    n_asked = config.validation.n_bootstrap_models
    if isinstance(model, LinearResponseModel):
        return n_asked
    return min(n_asked, max(FEWEST_BOOTSTRAP_MODELS, MOST_BOOTSTRAP_NODES // len(model.trees.column)))


def _ensemble(models: Sequence[ServedModel], *, is_explained: bool) -> ModelEnsemble:
    """Put models of one kind together; those with trees are explained only while their nodes are few.

    Where covariates explain everything, the trees of one fold may be leaves; they are trees all the same.
    """
    linear = [model for model in models if isinstance(model, LinearResponseModel)]
    with_trees = [model for model in models if isinstance(model, TreeResponseModel)]
    if not with_trees:
        return LinearEnsemble.of(linear)
    n_nodes = sum(len(model.trees.column) for model in with_trees)
    return TreeEnsemble.of(with_trees, is_counted=is_explained and n_nodes <= MOST_EXPLAINED_NODES)


def _raw_inputs(pipeline: Pipeline, inputs: pd.DataFrame) -> NDArray[np.float64]:
    """Return inputs as the pipeline's model takes them: harmonised, with learned features, not imputed or scaled."""
    before = pipeline[:-2]
    return np.asarray(pipeline.named_steps["design"].raw_inputs(before.transform(inputs) if len(before) else inputs))


def _learned_deviations(fitted: TunedElasticNet | TunedRegressor, table: TrainingTable) -> LearnedDeviations | None:
    """Freeze the comparison with controls."""
    if table.reference is None:
        return None
    step = fitted.pipeline_.named_steps["deviation"]
    parts = summary_parts(step.judge(table.model_inputs).z, threshold=step.threshold)
    return LearnedDeviations(
        reference=step.reference_model_,
        definitions=table.learned,
        threshold=step.threshold,
        background=parts.mean(axis=0),
    )


def bundle_partition(table: TrainingTable, config: ExperimentConfig) -> Partition:
    """Folds from which prediction intervals are made: K-fold whatever the scheme that judges the model."""
    n_units = len(table.outcome) if table.groups is None else len(set(table.groups))
    rng = np.random.default_rng(config.validation.seed)
    n_folds = min(config.validation.n_folds, n_units)
    return stratified_folds(table.outcome, table.fold_strata, n_folds=n_folds, rng=rng, groups=table.groups)


def _residuals(
    models: Sequence[ServedModel], raw: list[NDArray[np.float64]], folds: Partition, table: TrainingTable
) -> OutOfFoldResiduals:
    """Prediction for every person in their own arm by the fold model that left them out.

    Every fold's model gets the inputs as its own fold made them; only harmonisation makes them differ.
    """
    levels = arm_names(table.covariates)
    arms = [0] * len(folds) if table.arms is None else [levels.index(arm) for arm in table.arms]
    arm_index = np.asarray(arms, dtype=np.int64)
    by_fold = np.stack(
        [model.predict(one) for model, one in zip(models, raw, strict=True)]
    )  # (n_folds, n_people, n_arms)
    prediction = by_fold[folds, np.arange(len(folds)), arm_index]
    return OutOfFoldResiduals(
        fold_index=folds.astype(np.int64),
        arm_index=arm_index,
        prediction=prediction,
        residual=table.outcome - prediction,
    )


def _bootstrap_models(
    fitted: TunedElasticNet | TunedRegressor,
    table: TrainingTable,
    config: ExperimentConfig,
    *,
    n_models: int,
    n_jobs: int,
) -> list[ServedModel]:
    """Refits with the chosen penalties on resamples of people, drawn within arms; of groups as wholes, where there are.

    Harmonisation is not learned anew: at scoring, all models get the inputs as the whole cohort's harmonises them, and
    a resample may hold too few people of a site.
    """
    rng = np.random.default_rng([config.validation.seed, 1])
    resampler = UnitResampler.within(len(table.outcome), strata=table.arms, groups=table.groups)
    draws = [resampler.draw(rng) for _ in range(n_models)]
    pipeline, inputs = fitted.with_penalties_fixed(), table.model_inputs
    if table.harmonization:
        inputs = fitted.pipeline_.named_steps["harmonization"].transform(inputs)
        pipeline = pipeline[1:]
    fitted_pipelines: list[Pipeline] = Parallel(n_jobs=n_jobs)(
        delayed(fit_fold)(pipeline, inputs, table.outcome, rows) for rows in draws
    )
    return [
        response_model_of(one, _raw_inputs(one, inputs.iloc[rows]))
        for one, rows in zip(fitted_pipelines, draws, strict=True)
    ]


def _recipe_hashes(table: TrainingTable) -> tuple[str, ...]:
    """Recipes with which the training people's features were made."""
    hashes = table.features.recipe_hashes.reindex(table.inputs.index).dropna()
    return tuple(sorted({str(one) for one in hashes}))


def _motion_by_kind(table: TrainingTable) -> dict[str, NDArray[np.float64]]:
    """Mean framewise displacement (mm) of the training visits by kind of run."""
    return {
        column.removeprefix(f"{MOTION_FEATURE}__"): table.inputs[column].to_numpy(dtype=np.float64)
        for column in table.motion_columns
        if column.startswith(MOTION_FEATURE)
    }
