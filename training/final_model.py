"""The primary model fitted on everyone, with the models around it that say how far to trust it."""

from __future__ import annotations

import platform
from collections.abc import Mapping
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
from predictor.model.response_design import arm_names, linear_model_of
from predictor.model.training_range import describe_training
from training.config import ExperimentConfig
from training.evaluation.nested_cv import fit_fold
from training.evaluation.resampling import UnitResampler
from training.evaluation.splits import Partition, stratified_folds, train_and_test
from training.locked.locked_reference import locked_document
from training.models.estimators import TunedElasticNet, TunedRegressor
from training.training_table import MOTION_FEATURE, TrainingTable

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
    """
    inputs, outcome = table.model_inputs, table.outcome
    fitted: TunedElasticNet | TunedRegressor = clone(estimator).fit(inputs, outcome)
    folds = bundle_partition(table, config)
    fitted_folds = Parallel(n_jobs=n_jobs)(
        delayed(fit_fold)(estimator, inputs, outcome, train) for train, _ in train_and_test(folds)
    )
    fold_models = [linear_model_of(one.pipeline_) for one in fitted_folds]
    design, raw = fitted.pipeline_.named_steps["design"], _raw_inputs(fitted.pipeline_, inputs)
    model = linear_model_of(fitted.pipeline_)
    return ModelBundle(
        name=config.tracking.registered_model,
        outcome=table.outcome_definition,
        definitions=table.definitions,
        covariates=table.covariates,
        recipe=table.features.recipe,
        recipe_hashes=_recipe_hashes(table),
        model=model,
        fold_models=LinearEnsemble.of(fold_models),
        out_of_fold=_residuals(fold_models, [_raw_inputs(one.pipeline_, inputs) for one in fitted_folds], folds, table),
        bootstrap_models=LinearEnsemble.of(_bootstrap_models(fitted, table, config, n_jobs=n_jobs)),
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
    models: list[LinearResponseModel], raw: list[NDArray[np.float64]], folds: Partition, table: TrainingTable
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
    fitted: TunedElasticNet | TunedRegressor, table: TrainingTable, config: ExperimentConfig, *, n_jobs: int
) -> list[LinearResponseModel]:
    """Refits with the chosen penalties on resamples of people, drawn within arms; of groups as wholes, where there are.

    Harmonisation is not learned anew: at scoring, all models get the inputs as the whole cohort's harmonises them, and
    a resample may hold too few people of a site.
    """
    rng = np.random.default_rng([config.validation.seed, 1])
    resampler = UnitResampler.within(len(table.outcome), strata=table.arms, groups=table.groups)
    draws = [resampler.draw(rng) for _ in range(config.validation.n_bootstrap_models)]
    pipeline, inputs = fitted.with_penalties_fixed(), table.model_inputs
    if table.harmonization:
        inputs = fitted.pipeline_.named_steps["harmonization"].transform(inputs)
        pipeline = pipeline[1:]
    fitted_pipelines: list[Pipeline] = Parallel(n_jobs=n_jobs)(
        delayed(fit_fold)(pipeline, inputs, table.outcome, rows) for rows in draws
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
