"""The primary model fitted on everyone, with the models around it that say how far to trust it."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from predictor.model.bundle import ModelBundle
from predictor.model.learned_features import LearnedDeviations, summary_parts
from predictor.model.linear_model import LinearEnsemble, LinearResponseModel
from predictor.model.out_of_fold import OutOfFoldResiduals
from predictor.model.response_design import arm_names, linear_model_of
from predictor.model.training_range import describe_training
from training.config import ExperimentConfig
from training.estimators import TunedElasticNet
from training.evaluation.nested_cv import fit_fold
from training.evaluation.splits import Partition, stratified_folds, train_and_test
from training.training_table import MOTION_FEATURE, TrainingTable

RECORDED_PACKAGES = ("ketamine-response-predictor", "numpy", "scipy", "pandas", "scikit-learn", "nilearn")


def build_bundle(
    estimator: TunedElasticNet,
    table: TrainingTable,
    config: ExperimentConfig,
    *,
    card: Mapping[str, Any],
    n_jobs: int = 1,
) -> ModelBundle:
    """Fit the primary model on everyone, once per fold of one partition, and on bootstrap resamples.

    Fold models repeat the tuning, so that their residuals are those of the whole procedure; bootstrap models keep the
    penalties of the full fit, for a hundred more tunings would say little more about the spread of the coefficients.
    """
    inputs, outcome = table.model_inputs, table.outcome
    fitted: TunedElasticNet = clone(estimator).fit(inputs, outcome)
    folds = bundle_partition(table, config)
    fold_models = [
        linear_model_of(one.pipeline_)
        for one in Parallel(n_jobs=n_jobs)(
            delayed(fit_fold)(estimator, inputs, outcome, train) for train, _ in train_and_test(folds)
        )
    ]
    design = fitted.pipeline_.named_steps["design"]
    # Every fold learns from the same controls, so all models see the same learned features.
    raw = design.raw_inputs(fitted.pipeline_[:-2].transform(inputs) if table.reference else inputs)
    return ModelBundle(
        name=config.tracking.registered_model,
        outcome=table.outcome_definition,
        definitions=table.definitions,
        covariates=table.covariates,
        recipe=table.features.recipe,
        recipe_hashes=_recipe_hashes(table),
        model=linear_model_of(fitted.pipeline_),
        fold_models=LinearEnsemble.of(fold_models),
        out_of_fold=_residuals(fold_models, folds, raw, table),
        bootstrap_models=LinearEnsemble.of(_bootstrap_models(fitted, table, config, n_jobs=n_jobs)),
        training_range=describe_training(
            raw, n_features=len(table.definitions), background_mean=design.centre_, motion_mm=_motion_by_kind(table)
        ),
        deviations=_learned_deviations(fitted, table),
        trained_on=len(outcome),
        card=card,
        versions={"python": platform.python_version(), **{name: version(name) for name in RECORDED_PACKAGES}},
    )


def _learned_deviations(fitted: TunedElasticNet, table: TrainingTable) -> LearnedDeviations | None:
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
    n_folds = min(config.validation.n_folds, len(table.outcome))
    rng = np.random.default_rng(config.validation.seed)
    return stratified_folds(table.outcome, table.arms, n_folds=n_folds, rng=rng)


def _residuals(
    models: list[LinearResponseModel], folds: Partition, raw: NDArray[np.float64], table: TrainingTable
) -> OutOfFoldResiduals:
    """Prediction for every person in their own arm by the fold model that left them out."""
    levels = arm_names(table.covariates)
    arms = [0] * len(folds) if table.arms is None else [levels.index(arm) for arm in table.arms]
    arm_index = np.asarray(arms, dtype=np.int64)
    by_fold = np.stack([model.predict(raw) for model in models])  # (n_folds, n_people, n_arms)
    prediction = by_fold[folds, np.arange(len(folds)), arm_index]
    return OutOfFoldResiduals(
        fold_index=folds.astype(np.int64),
        arm_index=arm_index,
        prediction=prediction,
        residual=table.outcome - prediction,
    )


def _bootstrap_models(
    fitted: TunedElasticNet, table: TrainingTable, config: ExperimentConfig, *, n_jobs: int
) -> list[LinearResponseModel]:
    """Refits with the chosen penalties on resamples of people, drawn within arms."""
    rng = np.random.default_rng([config.validation.seed, 1])
    arms = np.zeros(len(table.outcome), dtype=str) if table.arms is None else np.asarray(table.arms)
    members = [np.flatnonzero(arms == arm) for arm in np.unique(arms)]
    draws = [
        np.concatenate([rng.choice(of_arm, size=len(of_arm)) for of_arm in members])
        for _ in range(config.validation.n_bootstrap_models)
    ]
    pipeline = fitted.with_penalties_fixed()
    fitted_pipelines: list[Pipeline] = Parallel(n_jobs=n_jobs)(
        delayed(fit_fold)(pipeline, table.model_inputs, table.outcome, rows) for rows in draws
    )
    return [linear_model_of(one) for one in fitted_pipelines]


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
