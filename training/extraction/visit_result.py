"""One participant's result on disk: features with standard errors and halves, quality, designs of the task runs."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from predictor.errors import TableError
from predictor.features.feature_vector import FeatureDefinition, FeatureVector
from predictor.scan.quality import QualityReport
from training.cohort.feature_file import INPUT_DIGEST, RECIPE_HASH
from training.cohort.participants import PARTICIPANT_ID, read_table_bytes
from training.cohort.visit import CohortVisit

EXTRACT_AGAIN = "Remove the file and run `krp extract DIR OUT participant` again."
# Mappings from feature name to number or null; every feature stands in each of them.
VALUES, STANDARD_ERRORS, FIRST_HALF, SECOND_HALF = "values", "standard_errors", "first_half", "second_half"
INPUT_FILES = "input_files"  # by name: bytes of every file that the result was made of
NUMBERS = (VALUES, STANDARD_ERRORS, FIRST_HALF, SECOND_HALF)
_KINDS = {
    PARTICIPANT_ID: str,
    RECIPE_HASH: str,
    INPUT_DIGEST: str,
    **dict.fromkeys(NUMBERS, dict),
    "missing_reasons": dict,
    "status": str,
    "reasons": list,
    "quality": dict,
    "designs": dict,
}
# What is no number of a run's quality.
_BY_REGION = ("coverage", "temporal_snr")
_TEXTS_OF_RUN = ("confound_strategy", "fallback_reason", "notes")


@dataclass(frozen=True, slots=True, eq=False)
class VisitResult:
    """What the cohort's tables need of one participant; arrays follow the recipe's order of features."""

    participant_id: str
    recipe_hash: str
    input_digest: str
    values: NDArray[np.float64]  # (n_features,), NaN where missing; so the others
    standard_errors: NDArray[np.float64]
    first_half: NDArray[np.float64]
    second_half: NDArray[np.float64]
    status: str  # "ok", "flagged" or "refused"
    reason_codes: tuple[str, ...]  # sorted
    quality: Mapping[str, Mapping[str, Any]]  # run name -> numbers


def result_path(out: Path, participant_id: str) -> Path:
    """Return where a participant's result stands."""
    return out / participant_id / f"{participant_id}_features.json"


def result_document(
    visit: CohortVisit, vector: FeatureVector, report: QualityReport, designs: Mapping[str, Any]
) -> dict[str, Any]:
    """Return a participant's result as plain values.

    Parameters
    ----------
    visit
        Whose it is.
    vector
        Features with standard errors and halves.
    report
        Quality of the visit's runs.
    designs
        By task run: how well its conditions can be told apart.
    """
    reasons = zip(vector.names, vector.missing_reasons, strict=True)
    first_half, second_half = vector.halves_by_name()
    return {
        PARTICIPANT_ID: visit.participant_id,
        "session_id": visit.session_id,
        RECIPE_HASH: vector.recipe_hash,
        INPUT_DIGEST: vector.input_digest,
        INPUT_FILES: input_sizes(visit),
        VALUES: vector.by_name(),
        STANDARD_ERRORS: vector.standard_errors_by_name(),
        FIRST_HALF: first_half,
        SECOND_HALF: second_half,
        "missing_reasons": {name: reason for name, reason in reasons if reason is not None},
        "status": "refused" if report.is_refused else "flagged" if report.reasons else "ok",
        "reasons": [reason.document() for reason in report.reasons],
        "quality": report.document(),
        "designs": dict(designs),
    }


def input_sizes(visit: CohortVisit) -> dict[str, int]:
    """Return the bytes of a visit's input files by name; those that are not there are left out."""
    sizes: dict[str, int] = {}
    for file in visit.input_files:
        with suppress(OSError):
            sizes[file.name] = file.stat().st_size
    return sizes


def read_document(path: Path) -> dict[str, Any]:
    """Return the document of a participant's file.

    Raises
    ------
    TableError
        If the file is damaged, holds another person's result, or was written by an older version.
    """
    document = read_object(path)
    if not _is_whole(document):
        raise TableError("the file is no whole result of this version.", where=path.name, remedy=EXTRACT_AGAIN)
    if document[PARTICIPANT_ID] != path.parent.name:
        raise TableError("the file holds another participant's result.", where=path.name, remedy=EXTRACT_AGAIN)
    return document


def result_of(document: Mapping[str, Any], definitions: Sequence[FeatureDefinition]) -> VisitResult:
    """Return what the tables need of a document that `read_document` accepted.

    Raises
    ------
    TableError
        If it lacks one of the features.
    """
    numbers = {key: _in_order(document[key], definitions, document[PARTICIPANT_ID]) for key in NUMBERS}
    return VisitResult(
        participant_id=document[PARTICIPANT_ID],
        recipe_hash=document[RECIPE_HASH],
        input_digest=document[INPUT_DIGEST],
        **numbers,
        status=document["status"],
        reason_codes=tuple(sorted({str(reason["code"]) for reason in document["reasons"]})),
        quality=document["quality"],
    )


def read_object(path: Path) -> dict[str, Any]:
    """Return the JSON object of a file that we wrote; raises TableError if it is none."""
    try:
        document = json.loads(read_table_bytes(path))
    except ValueError as error:
        raise TableError("the file is not valid JSON.", where=path.name, remedy="Extract it again.") from error
    if not isinstance(document, dict):
        raise TableError("expected a JSON object.", where=path.name, remedy="Extract it again.")
    return document


def json_text(document: Mapping[str, Any]) -> str:
    """Return a document as text that reads back the same; floats keep every digit."""
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _is_whole(document: Mapping[str, Any]) -> bool:
    """Whether every part is there and of the kind that tables and pages are made of."""
    return (
        all(isinstance(document.get(key), kind) for key, kind in _KINDS.items())
        and all(isinstance(one, dict) and _has_texts(one) for one in document["reasons"])
        and all(isinstance(run, dict) and _is_run(run) for run in document["quality"].values())
    )


def _has_texts(reason: Mapping[str, Any]) -> bool:
    return all(isinstance(reason.get(key), str) for key in ("code", "severity", "detail"))


def _is_run(run: Mapping[str, Any]) -> bool:
    by_region = [run.get(key) or {} for key in _BY_REGION]
    numbers = [value for key, value in run.items() if key not in (*_BY_REGION, *_TEXTS_OF_RUN)]
    return all(isinstance(one, dict) for one in by_region) and all(
        _is_number(value) for value in chain(numbers, *(one.values() for one in by_region))
    )


def _is_number(value: object) -> bool:
    """Whether it is null, or a number that fits a float."""
    return value is None or type(value) is float or (type(value) is int and abs(value) <= sys.float_info.max)


def _in_order(
    numbers: Mapping[str, Any], definitions: Sequence[FeatureDefinition], participant_id: str
) -> NDArray[np.float64]:
    """Return the features' numbers, NaN for null."""
    if not all(d.name in numbers and _is_number(numbers[d.name]) for d in definitions):
        raise TableError("the file lacks features of its recipe.", where=participant_id, remedy=EXTRACT_AGAIN)
    return np.array([np.nan if numbers[d.name] is None else numbers[d.name] for d in definitions], dtype=np.float64)
