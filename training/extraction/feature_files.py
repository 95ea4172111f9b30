"""The text of a cohort's tables: features, standard errors, reliability, quality."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from predictor.features.feature_vector import FeatureDefinition
from predictor.scan.task_description import RUN_KINDS
from training.cohort.feature_file import INPUT_DIGEST, RECIPE_HASH
from training.cohort.participants import PARTICIPANT_ID
from training.extraction.reliability import RELIABILITY_COLUMNS, reliability_table
from training.extraction.visit_result import VisitResult

# Numbers of a run that the quality table shows; the rest stands in the participant's file.
QUALITY_COLUMNS = ("minutes_kept", "mean_framewise_displacement_mm", "share_censored", "median_temporal_snr")


def matrix_text(
    results: Sequence[VisitResult], definitions: Sequence[FeatureDefinition], rows: Sequence[NDArray[np.float64]]
) -> str:
    """Return a table with one row per participant and one column per feature, as .tsv."""
    header = [PARTICIPANT_ID, RECIPE_HASH, INPUT_DIGEST, *(definition.name for definition in definitions)]
    # One line at a time: the cells of ten thousand people as separate texts would take ten times the table.
    lines = (
        [result.participant_id, result.recipe_hash, result.input_digest, *map(_cell, row.tolist())]
        for result, row in zip(results, rows, strict=True)
    )
    return _tsv(chain([header], lines))


def reliability_text(results: Sequence[VisitResult], definitions: Sequence[FeatureDefinition]) -> str:
    """Return the table of `reliability_table` as .tsv."""
    table = reliability_table(
        [definition.name for definition in definitions],
        values=np.array([result.values for result in results]),
        standard_errors=np.array([result.standard_errors for result in results]),
        first_half=np.array([result.first_half for result in results]),
        second_half=np.array([result.second_half for result in results]),
    )
    rows = [
        [cell if isinstance(cell, str) else str(cell) if isinstance(cell, int) else _cell(cell) for cell in row]
        for row in table.itertuples(index=False, name=None)
    ]
    return _tsv([list(table.columns), *rows])


def reliability_document() -> dict[str, Any]:
    """Return reliability.json: what each column of reliability.tsv is."""
    return {name: {"Description": said, "Units": unit} for name, (said, unit) in RELIABILITY_COLUMNS.items()}


def quality_text(results: Sequence[VisitResult]) -> str:
    """Return the quality table as .tsv: status, reasons, and numbers of every run that anyone has."""
    runs = sorted({name for result in results for name in result.quality}, key=_order_of_run)
    columns = [(run, column) for run in runs for column in QUALITY_COLUMNS]
    lines = [[PARTICIPANT_ID, "status", "reasons", "n_missing_features", *(f"{c}__{r}" for r, c in columns)]]
    for result in results:
        measures = [_cell(result.quality.get(run, {}).get(column)) for run, column in columns]
        n_missing = str(int(np.isnan(result.values).sum()))
        codes = " ".join(result.reason_codes) or "n/a"
        lines.append([result.participant_id, result.status, codes, n_missing, *measures])
    return _tsv(lines)


def _order_of_run(name: str) -> tuple[int, int]:
    kind, _, number = name.partition("_")
    position = RUN_KINDS.index(kind) if kind in RUN_KINDS else len(RUN_KINDS)
    return position, int(number) if number.isdecimal() else 1


def _cell(value: float | None) -> str:
    """Return the shortest text that reads back as the same float."""
    return "n/a" if value is None or not np.isfinite(value) else repr(float(value))


def _tsv(rows: Iterable[Sequence[str]]) -> str:
    return "".join("\t".join(row) + "\n" for row in rows)
