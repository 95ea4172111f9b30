"""What an experiment writes into the log book, and what it hands to the promotion gate."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import distributions, version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from predictor.model.bundle import ModelBundle
from training.audit import AuditReport
from training.config import ExperimentConfig
from training.evaluation.baselines import impossible_baselines
from training.evaluation.conformal import RealisedCoverage
from training.evaluation.fold_scores import fold_scores
from training.evaluation.permutation import PermutationTest
from training.evaluation.power import PowerStatement
from training.evaluation.split_manifest import SplitManifest
from training.evaluation.treatment_effect import BenefitAnalysis
from training.log_book.tracking import RunLog, document_text, table_text
from training.model_result import ModelResult
from training.report.cohort_record import is_synthetic
from training.report.experiment_record import ExperimentRecord
from training.report.record_facts import permutation_document
from training.shelf.left_out_baselines import left_out_baselines
from training.training_table import TrainingTable

RECORD = "experiment.json"
REPORT = "report.html"


def log_experiment(log: RunLog, config: ExperimentConfig, table: TrainingTable, manifest: SplitManifest) -> float:
    """Write down what is about to be done; returns when that was finished (Unix time, s)."""
    log.entries(
        tags={
            "primary": "none: models compete" if config.model.is_competition else config.model.primary,
            "config_digest": config.digest,
            "code_version": code_version(),
            "splits_digest": manifest.digest,
            "outcome": table.outcome_definition.name,
            "research_use_only": "yes",
            "synthetic": "yes" if is_synthetic(config) else "no",
        },
        params={
            "outcome": table.outcome_definition.name,
            "n_participants": len(table.outcome),
            "n_features": len(table.definitions),
            "covariates": ", ".join(covariate.name for covariate in table.covariates),
            **{f"validation.{name}": value for name, value in asdict(config.validation).items()},
            **{f"model.{name}": value for name, value in asdict(config.model).items()},
        },
    )
    log.data_set(name=config.cohort.name or config.name, digest=table.features.digest, source=config.cohort.features)
    log.files(
        {
            "experiment.toml": config.source,
            "splits.tsv": table_text(manifest.table()),
            "splits.json": document_text(manifest.document()),
            "environment.json": document_text(environment()),
        }
    )
    return time.time()


def log_model(run: RunLog, model: ModelResult, participants: Sequence[str]) -> None:
    """Write down one model's numbers, folds, and everyone's out-of-fold predictions.

    Parameters
    ----------
    participants
        Names of the people, in the order of the predictions.
    """
    metrics = model.metrics
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
        values["gain_of_primary_upper"] = model.gain_of_primary.corrected_interval.upper
    run.entries(tags={"role": model.role}, metrics=values | model.assessment.values())
    run.files(
        {
            "assessment.json": document_text(model.assessment.document()),
            "folds.tsv": table_text(fold_scores(model.predicted)),
            "out_of_fold_predictions.tsv": table_text(_predictions(model, participants)),
        }
    )


def log_findings(
    log: RunLog,
    models: Sequence[ModelResult],
    *,
    permutation: PermutationTest | None,
    audit: AuditReport,
    benefit: BenefitAnalysis,
    power: PowerStatement,
    coverage: RealisedCoverage | None,
) -> None:
    """Write down what was found besides the models' own runs, the null distribution too, so that p can be checked."""
    values, facts = headline(models, permutation)
    if coverage:
        values |= {"coverage_promised": coverage.promised, "coverage_realised": coverage.realised}
    log.entries(metrics=values, tags=facts)
    found = {"permutation": permutation_document(permutation), "audit": audit.document(), "power": power.document()}
    found |= {"benefit": benefit.document()} | ({"coverage": coverage.document()} if coverage else {})
    files = {f"{name}.json": document_text(document) for name, document in found.items()}
    if permutation:
        files["permutation_null.tsv"] = table_text(pd.DataFrame({"null_r2": permutation.null_r2}))
    if len(benefit.people):
        files["benefit_people.tsv"] = table_text(benefit.people)
    log.files(files)


def log_record(
    log: RunLog,
    record: ExperimentRecord,
    bundle: ModelBundle | None,
    *,
    previous: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Write down what people read: the record, the report and its figures, the model card and the TRIPOD+AI table.

    Parameters
    ----------
    log
        The experiment's run.
    record
        What the experiment was and found.
    bundle
        The primary model with its card; None where models competed.
    previous
        Earlier versions of the registered model, for the card's change log.
    """
    # Imported here, so that training does not wait for the template engine and the figures before it starts.
    from training.report.experiment_figures import drawn_figures, report_figures
    from training.report.experiment_report import report_page

    drawn = drawn_figures(record.document, record.predictions)
    files = {RECORD: document_text(record.document), REPORT: report_page(record, previous=previous, drawn=drawn)}
    files |= {f"figures/{name}.svg": text for name, text in report_figures(record, drawn=drawn).items()}
    if bundle:
        files |= {"card.md": bundle.card_text, "card.json": document_text(bundle.card)}
        files |= {"tripod_ai.md": bundle.tripod_ai_text, "tripod_ai.json": document_text({"items": bundle.tripod_ai})}
    log.files(files)


def _predictions(model: ModelResult, participants: Sequence[str]) -> pd.DataFrame:
    predicted, n_repeats = model.predicted, len(model.predicted.prediction)
    return pd.DataFrame(
        {
            "participant_id": np.tile(np.asarray(participants, dtype=str), n_repeats),
            "repeat": np.repeat(np.arange(n_repeats), len(participants)),
            "fold": predicted.fold_index.ravel(),
            "outcome": np.tile(predicted.outcome, n_repeats),
            "prediction": predicted.prediction.ravel(),
            "training_mean": predicted.training_mean.ravel(),
        }
    )


def gate_measurements(
    config: ExperimentConfig,
    table: TrainingTable,
    models: Sequence[ModelResult],
    permutation: PermutationTest | None,
    audit: AuditReport,
    logged_at: float,
    fitting_at: float,
) -> dict[str, Any]:
    """Return what the promotion gate will ask for."""
    comparisons = {one.name: one.gain_of_primary for one in models if one.role == "baseline" and one.gain_of_primary}
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
        "baselines": _baselines_not_compared(config, table),
        "permutation": permutation_document(permutation),
        "fold_isolation": audit.gate_document(),
        "measured": dict(config.cohort.measured),
    }


def _baselines_not_compared(config: ExperimentConfig, table: TrainingTable) -> dict[str, dict[str, str]]:
    """Return baselines that the cohort does not allow, and those that the file only passes over, with the reason."""
    known = (*table.covariates, *table.demographic)
    impossible = impossible_baselines(table.inputs, covariates=known, motion_columns=table.motion_columns)
    people = [str(name) for name in table.inputs.index]
    left_out = left_out_baselines(tuple(impossible), Path(config.cohort.participants), people)
    return {"impossible": impossible, "left_out": left_out}


def headline(
    models: Sequence[ModelResult], permutation: PermutationTest | None
) -> tuple[dict[str, float | None], dict[str, str]]:
    """Return numbers of the first model, and facts beside them, for lists of experiments.

    The gain is over the best baseline, the one with the highest R2: its error minus the first model's.
    """
    first = models[0].metrics
    values: dict[str, float | None] = {
        "r2": first.r2,
        "r2_lower": first.r2_interval.lower,
        "r2_upper": first.r2_interval.upper,
        "mae": first.mae,
        "permutation_p": permutation.p_value if permutation else None,
    }
    facts = {"first_model": models[0].name}
    baselines = [model for model in models if model.gain_of_primary and model.role == "baseline"]
    if baselines:
        best = max(baselines, key=lambda model: model.metrics.r2)
        gain = best.gain_of_primary
        assert gain is not None, "chosen among those that were compared"
        interval = gain.corrected_interval
        values |= {"gain": gain.difference, "gain_lower": interval.lower, "gain_upper": interval.upper}
        values["best_baseline_r2"] = best.metrics.r2
        facts["best_baseline"] = best.name
    return values, facts


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


def environment() -> dict[str, Any]:
    """Python, the kind of machine (not its name), and all installed packages by name."""
    # Read once each, for they are parsed anew whenever they are asked for.
    described = sorted((one.metadata for one in distributions()), key=lambda one: str(one["Name"]))
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "system": platform.system(),
        "machine": platform.machine(),
        "processors": os.cpu_count(),
        "packages": {str(one["Name"]): one["Version"] for one in described},
    }
