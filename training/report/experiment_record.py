"""The one record of an experiment from which report, card, checklist, methods text and comparison are made.

Its document is JSON-able and holds aggregates only: nothing in it is a point, a row or a prediction of one person.
Those stand in `predictions`, apart, so that they can be left out as a whole.
"""

from __future__ import annotations

import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
import pandas as pd

from predictor.errors import TableError
from predictor.model.bundle import ModelBundle
from training.audit import AuditReport
from training.cohort.participants import read_participants
from training.config import ExperimentConfig
from training.evaluation.conformal import RealisedCoverage
from training.evaluation.permutation import PermutationTest
from training.evaluation.power import PowerStatement
from training.evaluation.small_cells import FEWEST_SHOWN
from training.evaluation.split_manifest import SplitManifest
from training.evaluation.treatment_effect import BenefitAnalysis
from training.model_result import ModelResult
from training.report.cohort_record import cohort_document, data_flow, features_document, is_synthetic, shown_include
from training.report.model_record import (
    age_and_sex_labels,
    benefit_groups,
    calibration_bins,
    coefficient_rows,
    contribution_document,
    subgroups,
)
from training.report.record_facts import (
    limits,
    limits_of_benefit,
    limits_of_groups,
    limits_of_intervals,
    permutation_document,
    validation_sentence,
)
from training.training_table import TrainingTable

RECORD_SCHEMA = 1
PACKAGE = "ketamine-response-predictor"
# Versions that can change a number.
PACKAGES_THAT_MATTER = (PACKAGE, "numpy", "scipy", "pandas", "scikit-learn", "nilearn", "mlflow")
DUPLICATES = "duplicates"
ELSEWHERE = "(kept elsewhere)"


@dataclass(frozen=True, slots=True, eq=False)
class ExperimentRecord:
    """Everything that may be told about an experiment."""

    document: Mapping[str, Any]  # JSON-able, aggregates only
    # Out-of-fold rows: model, participant_id, repeat, fold, outcome, prediction, training_mean; None: not to be shown
    predictions: pd.DataFrame | None


def record_experiment(
    config: ExperimentConfig,
    table: TrainingTable,
    manifest: SplitManifest,
    *,
    models: Sequence[ModelResult],
    permutation: PermutationTest | None,
    audit: AuditReport,
    benefit: BenefitAnalysis,
    power: PowerStatement,
    coverage: RealisedCoverage | None,
    bundle: ModelBundle | None,
    seconds: float | None = None,
) -> ExperimentRecord:
    """Gather what an experiment was and what it found.

    Parameters
    ----------
    config, table, manifest
        The experiment, its cohort and its folds.
    models
        All models, the first one (primary or winner) first.
    permutation, audit, benefit, power, coverage
        What was found beside the models' own numbers; None where it was not asked for or not possible.
    bundle
        The final model, with or without a card; None where models competed.
    seconds
        How long it took so far.

    Returns
    -------
    ExperimentRecord
        Its document holds aggregates only; the out-of-fold predictions stand beside it.
    """
    document = {
        "schema": RECORD_SCHEMA,
        "research_use_only": True,
        "name": config.name,
        "is_synthetic": is_synthetic(config),
        "config": config_document(config),
        "config_digest": config.digest,
        "code_version": version(PACKAGE),
        "data_flow": data_flow(table, config, manifest),
        "cohort": cohort_document(table, config),
        "features": features_document(table),
        "outcome": table.outcome_definition.document(),
        "folds": manifest.document(),
        "validation": validation_sentence(config),
        "models": [_model_document(one) for one in models],
        "permutation": permutation_document(permutation)
        | {"null_r2": [] if permutation is None else permutation.null_r2.tolist()},
        "audit": _audit_document(audit),
        "benefit": benefit.document() | {"groups": benefit_groups(benefit, table)},
        "power": power.document(),
        "coverage": coverage_document(coverage) if coverage else None,
        **_first_model(models[0], bundle, table, config),
        "limits": [
            *_limits(table, config, models, permutation),
            *limits_of_groups(table),
            *limits_of_intervals(coverage),
            *limits_of_benefit(benefit),
        ],
        "environment": _environment(),
        "seconds": seconds,
    }
    return ExperimentRecord(_plain(document), prediction_rows(models, table))


def config_document(config: ExperimentConfig) -> dict[str, Any]:
    """Every section as a plain dict, without names of people.

    Of absolute paths only the file's name is kept, for a folder's name can be a person's.
    """
    document = asdict(config)
    del document["source"]
    document["cohort"]["include"] = shown_include(config)
    for section, key in (("cohort", "features"), ("cohort", "participants")):
        document[section][key] = _without_folder(document[section][key])
    if "://" in document["tracking"]["store"]:
        document["tracking"]["store"] = ELSEWHERE  # an address may carry a password
    else:
        document["tracking"]["store"] = _without_folder(document["tracking"]["store"])
    if config.multiverse:  # its alternatives may hold paths; which they are is enough
        document["multiverse"] = {axis: list(config.multiverse.names(axis)) for axis in config.multiverse.axes}
    return document


def prediction_rows(models: Sequence[ModelResult], table: TrainingTable) -> pd.DataFrame:
    """One row per model, repeat and person: what was predicted out of fold, and what was found."""
    return pd.concat([_rows_of(model, table) for model in models], ignore_index=True)


def _rows_of(model: ModelResult, table: TrainingTable) -> pd.DataFrame:
    predicted = model.predicted
    n_repeats, n_people = predicted.prediction.shape
    return pd.DataFrame(
        {
            "model": model.name,
            "participant_id": np.tile(table.inputs.index.astype(str).to_numpy(), n_repeats),
            "repeat": np.repeat(np.arange(n_repeats), n_people),
            "fold": predicted.fold_index.ravel(),
            "outcome": np.tile(predicted.outcome, n_repeats),
            "prediction": predicted.prediction.ravel(),
            "training_mean": predicted.training_mean.ravel(),
        }
    )


def _model_document(model: ModelResult) -> dict[str, Any]:
    assessment = model.assessment.document()
    groups = assessment["response_groups"]
    if isinstance(groups, list) and any(group["n_people"] < FEWEST_SHOWN for group in groups):
        reason = f"groups of fewer than {FEWEST_SHOWN} people would show single ones."
        assessment["response_groups"] = {"not_reported": reason}
    return {
        "name": model.name,
        "role": model.role,
        "n_inputs": model.n_inputs,
        "assessment": assessment,
        "gain_of_primary": asdict(model.gain_of_primary) if model.gain_of_primary else None,
    }


def _first_model(
    first: ModelResult, bundle: ModelBundle | None, table: TrainingTable, config: ExperimentConfig
) -> dict[str, Any]:
    """Return how the model that counts errs, what it weighs, and for whom; weights of the final model only."""
    rows, n_rest = coefficient_rows(bundle) if bundle else (None, 0)
    return {
        "calibration_bins": calibration_bins(first.predicted),
        "coefficients": rows,
        "n_coefficients_not_shown": n_rest,
        "shap": contribution_document(bundle, table) if bundle else None,
        "subgroups": subgroups(first.predicted, table, _labels(table, config)),
    }


def _limits(
    table: TrainingTable, config: ExperimentConfig, models: Sequence[ModelResult], permutation: PermutationTest | None
) -> list[str]:
    """Return what the first model's numbers do not carry, beginning with what weighs most."""
    beaten = {one.name: one.gain_of_primary for one in models if one.role == "baseline" and one.gain_of_primary}
    found = limits(table, config, metrics=models[0].metrics, comparisons=beaten, permutation=permutation)
    if models[0].role == "winner":
        found.insert(0, "The first model won on these very folds: its R2 is too high on average.")
    if table.left_out:
        found.append(f"{len(table.left_out)} included people without usable features were left out; they may differ.")
    return found


def _audit_document(audit: AuditReport) -> dict[str, Any]:
    """Return the audit without the names of people who look the same."""
    document = audit.document()
    for finding in document["findings"]:
        if finding["step"] == DUPLICATES:
            finding["message"] = finding["message"].partition(": ")[0] + "."
    return document


def coverage_document(coverage: RealisedCoverage) -> dict[str, Any]:
    """Return the coverage; without its arms where one is so small that its share would tell of single people."""
    document = coverage.document()
    if any(one.n_people < FEWEST_SHOWN for one in coverage.by_arm.values()):
        document |= {"by_arm": {}, "lacking": []}
    return document


def _labels(table: TrainingTable, config: ExperimentConfig) -> dict[str, list[str]]:
    """Sex and age band of everyone, from participants.tsv if it is at hand."""
    try:
        people = read_participants(Path(config.cohort.participants))
    except TableError:
        people = table.inputs
    return age_and_sex_labels(table, people)


def _environment() -> dict[str, str]:
    return {"python": platform.python_version(), **{name: version(name) for name in PACKAGES_THAT_MATTER}}


def _without_folder(path: str) -> str:
    for kind in (PurePosixPath, PureWindowsPath):
        if kind(path).is_absolute():
            return kind(path).name
    return path


def _plain(value: Any) -> Any:
    """Return the value as JSON has it: lists, dicts with text keys, None for numbers that are not finite."""
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
