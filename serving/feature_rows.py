"""Visits as rows of ready features: read from a table, scored together or not at all."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence

from predictor.errors import MissingColumnError, PredictorError, TableError, UnknownFeatureError
from predictor.feature_rows import (
    INPUT_DIGEST,
    OTHER_COLUMNS,
    PARTICIPANT_COLUMNS,
    RECIPE_HASH,
    FeatureRow,
    covariate_value,
)
from predictor.model.answer import answer_bytes
from predictor.model.bundle import ModelBundle
from predictor.model.outcome_definition import Covariate, CovariateValue
from predictor.pipeline import score_features
from predictor.scan.tsv_table import MISSING_CELLS
from serving.error_handlers import one_error
from serving.model_store import LoadedModel
from serving.schemas import PredictionRow

OTHER = (*PARTICIPANT_COLUMNS, *OTHER_COLUMNS, RECIPE_HASH, INPUT_DIGEST)
# A cell of a feature is read as that of a number known without a scan.
_NUMBER = Covariate("feature", "number")


def rows_of_request(rows: Sequence[PredictionRow]) -> list[FeatureRow]:
    """Return the rows of a request, counted from 1."""
    return [
        FeatureRow(f"row {number}", row.participant, row.features, row.covariates, row.recipe_hash, None)
        for number, row in enumerate(rows, start=1)
    ]


def score_rows(rows: Sequence[FeatureRow], model: LoadedModel) -> tuple[list[bytes | None], list[PredictorError]]:
    """Score every row.

    Returns
    -------
    answers, faults
        The answer's bytes in the order of the rows, None where the row is wrong; and what is wrong with those.
    """
    answers: list[bytes | None] = []
    faults: list[PredictorError] = []
    for row in rows:
        try:
            answer = score_features(
                row.features,
                row.covariates,
                model.bundle,
                recipe_hash=row.recipe_hash,
                input_digest=row.input_digest,
                promoted=model.version.is_promoted,
            )
            answers.append(answer_bytes(answer))
        except PredictorError as error:
            error.where = _placed(row.place, error.where)
            answers.append(None)
            faults.append(error)
    return answers, faults


def read_feature_rows(
    content: bytes, bundle: ModelBundle, *, max_rows: int
) -> tuple[list[FeatureRow], list[PredictorError]]:
    """Read a table of features as people keep it: TSV or CSV, one row per visit.

    Parameters
    ----------
    content
        The file. Columns: `participant_id`, any of the model's features and covariates, `recipe_hash`. Empty cells and
        n/a are missing values.

    Returns
    -------
    rows, faults
        Rows that could be read, named by their line in the file; and what is wrong with the others.

    Raises
    ------
    TableError
        If the file is no table, has columns that the model does not know, or too many rows.
    """
    header, lines = _cells(content)
    _check_columns(header, bundle)
    if not lines:
        raise TableError("expected at least one row below the header, found none.")
    if len(lines) > max_rows:
        raise TableError(f"expected at most {max_rows} rows, found {len(lines)}.", remedy="Send the table in pieces.")
    rows: list[FeatureRow] = []
    faults: list[PredictorError] = []
    for number, cells in lines:
        row, found = _row(f"line {number}", header, cells, bundle)
        faults += found
        if not found:
            rows.append(row)
    return rows, faults


def template_of(bundle: ModelBundle) -> str:
    """Return an empty table with the columns that the model takes, tab-separated."""
    covariates = [covariate.name for covariate in bundle.covariates if covariate.role != "arm"]
    columns = ["participant_id", *covariates, *(item.name for item in bundle.definitions), RECIPE_HASH]
    return "\t".join(columns) + "\n"


def _cells(content: bytes) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Header and numbered lines, the separator being the one that the header has most of."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TableError(
            "expected text in UTF-8.", remedy="Save the table as TSV or CSV, not as a workbook."
        ) from error
    first_line = text.split("\n", 1)[0]
    separator = max("\t,;", key=first_line.count)
    try:
        lines = list(csv.reader(io.StringIO(text), delimiter=separator, strict=True))
    except csv.Error as error:
        raise TableError("the table cannot be read; a quotation mark may be open.") from error
    numbered = [(number, cells) for number, cells in enumerate(lines, start=1) if any(cell.strip() for cell in cells)]
    if not numbered:
        raise TableError("expected a table, found an empty file.")
    return [name.strip() for name in numbered[0][1]], numbered[1:]


def _check_columns(header: Sequence[str], bundle: ModelBundle) -> None:
    features = {definition.name for definition in bundle.definitions}
    known = features | {covariate.name for covariate in bundle.covariates} | set(OTHER)
    repeated = sorted({name for name in header if header.count(name) > 1})
    if repeated:
        raise TableError(f"the column {repeated[0][:100]} stands twice in the header.", where="line 1")
    unknown = [name for name in header if name not in known]
    if unknown:
        faults = [
            UnknownFeatureError("the model has no such feature or covariate.", where=f"line 1, column {name[:100]}")
            for name in unknown
        ]
        raise one_error(faults)
    if not features & set(header):
        raise MissingColumnError(
            "expected at least one column with a feature of the model, found none.", where="line 1"
        )


def _row(
    place: str, header: Sequence[str], cells: Sequence[str], bundle: ModelBundle
) -> tuple[FeatureRow, list[PredictorError]]:
    """One row, and everything that is wrong with its cells."""
    faults: list[PredictorError] = []
    if len(cells) != len(header):
        faults.append(TableError(f"expected {len(header)} cells, found {len(cells)}.", where=place))
    by_name = dict(zip(header, cells, strict=False))

    def value(covariate: Covariate, name: str) -> CovariateValue:
        try:
            return covariate_value(by_name[name], covariate, where=f"{place}, column {name}")
        except PredictorError as error:
            faults.append(error)
            return None

    numbers = {name: value(_NUMBER, name) for name in bundle.feature_names if name in by_name}
    features = {name: number for name, number in numbers.items() if not isinstance(number, str)}
    covariates = {item.name: value(item, item.name) for item in bundle.covariates if item.name in by_name}
    participant = next((by_name[name] for name in PARTICIPANT_COLUMNS if name in by_name), None)
    recipe_hash, input_digest = _text(by_name, RECIPE_HASH), _text(by_name, INPUT_DIGEST)
    return FeatureRow(place, participant, features, covariates, recipe_hash, input_digest), faults


def _text(cells: Mapping[str, str], column: str) -> str | None:
    words = cells.get(column, "").strip()
    return None if words in MISSING_CELLS else words


def _placed(place: str, column: str) -> str:
    if not column:
        return place
    return f"{place}, {column}" if column.startswith("column ") else f"{place}, column {column}"
