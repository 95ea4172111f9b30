"""What an experiment writes into the log book, and what it hands to the promotion gate."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import distributions, version
from typing import Any

import numpy as np
import pandas as pd

from training.audit import AuditReport
from training.config import ExperimentConfig
from training.evaluation.conformal import RealisedCoverage
from training.evaluation.metrics import PairedComparison
from training.evaluation.permutation import PermutationTest
from training.evaluation.power import PowerStatement
from training.evaluation.split_manifest import SplitManifest
from training.evaluation.treatment_effect import BenefitAnalysis
from training.model_card import permutation_document
from training.model_result import ModelResult
from training.tracking import RunLog
from training.training_table import TrainingTable


def log_experiment(log: RunLog, config: ExperimentConfig, table: TrainingTable, manifest: SplitManifest) -> float:
    """Write down what is about to be done; returns when that was finished (Unix time, s)."""
    log.text(config.source, "experiment.toml")
    log.tags(
        {
            "primary": "none: models compete" if config.model.is_competition else config.model.primary,
            "config_digest": config.digest,
            "code_version": code_version(),
            "splits_digest": manifest.digest,
        }
    )
    log.params(
        {
            "outcome": table.outcome_definition.name,
            "n_participants": len(table.outcome),
            "n_features": len(table.definitions),
            "covariates": ", ".join(covariate.name for covariate in table.covariates),
            **{f"validation.{name}": value for name, value in asdict(config.validation).items()},
            **{f"model.{name}": value for name, value in asdict(config.model).items()},
        }
    )
    log.data_set(name=config.cohort.name or config.name, digest=table.features.digest, source=config.cohort.features)
    log.table(manifest.table(), "splits.tsv")
    log.document(manifest.document(), "splits.json")
    log.document(environment(), "environment.json")
    return time.time()


def log_model(run: RunLog, model: ModelResult, table: TrainingTable) -> None:
    """Write down one model's numbers and everyone's out-of-fold predictions."""
    metrics = model.metrics
    run.tags({"role": model.role})
    values: dict[str, float | None] = {
        "r2": metrics.r2,
        "r2_lower": metrics.r2_interval.lower,
        "r2_upper": metrics.r2_interval.upper,
        "mae": metrics.mae,
        "rmse": metrics.rmse,
        "pearson_r": metrics.pearson_r,
    }
    if model.gain_of_primary:
        values["gain_of_primary"] = model.gain_of_primary.difference
        values["gain_of_primary_lower"] = model.gain_of_primary.corrected_interval.lower
    run.metrics(values | model.assessment.values())
    run.document(model.assessment.document(), "assessment.json")
    n_repeats = len(model.predicted.prediction)
    predictions = pd.DataFrame(
        {
            "participant_id": np.tile(table.inputs.index.astype(str).to_numpy(), n_repeats),
            "repeat": np.repeat(np.arange(n_repeats), len(table.outcome)),
            "fold": model.predicted.fold_index.ravel(),
            "outcome": np.tile(model.predicted.outcome, n_repeats),
            "prediction": model.predicted.prediction.ravel(),
            "training_mean": model.predicted.training_mean.ravel(),
        }
    )
    run.table(predictions, "out_of_fold_predictions.tsv")
    if model.predicted.choices:
        run.table(pd.DataFrame(model.predicted.choices), "tuning_choices.tsv")


def log_findings(
    log: RunLog,
    primary: ModelResult,
    *,
    permutation: PermutationTest | None,
    audit: AuditReport,
    benefit: BenefitAnalysis,
    power: PowerStatement,
    coverage: RealisedCoverage | None,
) -> None:
    """Write down what was found besides the models' own runs, the null distribution too, so that p can be checked."""
    log.metrics(headline(primary, permutation))
    log.document(permutation_document(permutation), "permutation.json")
    if permutation:
        log.table(pd.DataFrame({"null_r2": permutation.null_r2}), "permutation_null.tsv")
    log.document(audit.document(), "audit.json")
    log.document(benefit.document(), "benefit.json")
    if len(benefit.people):
        log.table(benefit.people, "benefit_people.tsv")
    log.document(power.document(), "power.json")
    if coverage:
        log.document(coverage.document(), "coverage.json")
        log.metrics({"coverage_promised": coverage.promised, "coverage_realised": coverage.realised})


def gate_measurements(
    config: ExperimentConfig,
    models: Sequence[ModelResult],
    comparisons: Mapping[str, PairedComparison],
    permutation: PermutationTest | None,
    audit: AuditReport,
    logged_at: float,
    fitting_at: float,
) -> dict[str, Any]:
    """Return what the promotion gate will ask for."""
    return {
        "primary": {
            "named_in_config": config.model.primary,
            "model": models[0].name,
            "config_digest": config.digest,
            "config_logged_at_s": logged_at,
            "fitting_started_at_s": fitting_at,
        },
        "comparisons": {
            name: {
                "difference": one.difference,
                "lower": one.corrected_interval.lower,
                "upper": one.corrected_interval.upper,
                "level": one.corrected_interval.level,
            }
            for name, one in comparisons.items()
        },
        "permutation": permutation_document(permutation),
        "fold_isolation": audit.gate_document(),
        "declared_times": {name: str(time) for name, time in config.cohort.measured.items()},
    }


def headline(primary: ModelResult, permutation: PermutationTest | None) -> dict[str, float | None]:
    """Return the primary's numbers, for lists of experiments."""
    return {
        "r2": primary.metrics.r2,
        "mae": primary.metrics.mae,
        "permutation_p": permutation.p_value if permutation else None,
    }


def version_tags(table: TrainingTable, config: ExperimentConfig) -> dict[str, str]:
    """Return what a registered version must say about where it comes from."""
    return {
        "outcome": table.outcome_definition.name,
        "cohort_digest": table.features.digest,
        "config_digest": config.digest,
        "code_version": code_version(),
        "primary": config.model.primary,
    }


def code_version() -> str:
    """Version of this package."""
    return version("ketamine-response-predictor")


def environment() -> dict[str, str]:
    """Installed packages by name."""
    return {
        str(one.metadata["Name"]): one.version for one in sorted(distributions(), key=lambda d: str(d.metadata["Name"]))
    }
