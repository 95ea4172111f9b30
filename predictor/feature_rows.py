"""Visits as rows of ready features: a table that `krp extract` wrote, or anyone else."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from predictor.errors import (
    DuplicateParticipantError,
    MissingColumnError,
    PredictorError,
    TableError,
    UnknownFeatureError,
    UnknownParticipantError,
    ValueOutOfRangeError,
    one_error,
)
from predictor.model.outcome_definition import Covariate, CovariateValue
from predictor.scan.tsv_table import MISSING_CELLS, TableLimits, TsvTable, parse_tsv

PARTICIPANT_COLUMNS = ("participant_id", "participant")
# Columns that say where a row comes from; everything else is a covariate or a feature.
RECIPE_HASH, INPUT_DIGEST = "recipe_hash", "input_digest"
OTHER_COLUMNS = ("session_id",)
# kind__region or kind__from__to
_FEATURE_NAME = re.compile(r"[a-z]\w*__\w+")
# A cell of a feature is read as that of a number known without a scan.
_NUMBER = Covariate("feature", "number")
LIMITS = TableLimits(max_columns=50_000, max_cells=20_000_000, max_bytes=512 * 2**20)


@dataclass(frozen=True, slots=True)
class FeatureRow:
    """One visit as a table has it."""

    place: str  # "line 3" of a file or "row 2" of a request, as errors call it
    participant: str | None
    features: Mapping[str, float | None]
    covariates: Mapping[str, CovariateValue]
    recipe_hash: str | None
    input_digest: str | None


def read_feature_rows(path: Path, covariates: Sequence[Covariate]) -> tuple[FeatureRow, ...]:
    """Read a table with one row per visit.

    Parameters
    ----------
    path
        The file; `parse_feature_rows` says what may stand in it. Columns that it does not know are features.
    covariates
        What the model wants to know besides features; their columns are not taken for features.

    Raises
    ------
    TableError
        If it is no table, a visit stands in it twice, or a cell should be a number and is not; of several faults all
        are listed.
    """
    rows, faults = parse_feature_rows(_content_of(path, where="table"), covariates)
    if faults:
        raise one_error(faults)
    return tuple(rows)


def parse_feature_rows(
    content: bytes,
    covariates: Sequence[Covariate],
    *,
    feature_names: Collection[str] | None = None,
    max_rows: int = LIMITS.max_rows,
) -> tuple[list[FeatureRow], list[PredictorError]]:
    """Read a table as people keep it: tabs, commas or semicolons, quoted or not, one row per visit.

    Parameters
    ----------
    content
        The file, in UTF-8. Columns: `participant_id`, features by name, any of the covariates, `session_id`,
        `recipe_hash`, `input_digest`; empty cells and n/a are missing values.
    covariates
        What the model wants to know besides features.
    feature_names
        Features that may stand there; None: every other column is one.
    max_rows
        Most rows that are read.

    Returns
    -------
    rows, faults
        Rows that could be read, named by their line in the file; and everything that is wrong with the others.

    Raises
    ------
    TableError
        If it is no table, is too large, or its header is wrong; of several wrong columns all are listed.
    """
    header, lines = _header_and_lines(content, max_rows=max_rows)
    known = {covariate.name: covariate for covariate in covariates}
    reserved = {*PARTICIPANT_COLUMNS, *OTHER_COLUMNS, RECIPE_HASH, INPUT_DIGEST, *known}
    features = [name for name in header if name not in reserved]
    _check_header(header, features, feature_names)
    rows: list[FeatureRow] = []
    faults: list[PredictorError] = []
    visits: set[tuple[str, str]] = set()
    for number, cells in lines:
        row, found = _row(f"line {number}", header, cells, features, known)
        found += _repeated(row, dict(zip(header, cells, strict=False)), visits)
        faults += found
        if not found:
            rows.append(row)
    return rows, faults


def read_covariates(path: Path, covariates: Sequence[Covariate]) -> dict[str, dict[str, CovariateValue]]:
    """Read the model's covariates from participants.tsv, by participant ("sub-01").

    Raises
    ------
    TableError
        If it is no table, has no `participant_id`, names someone twice, or a cell should be a number and is not.
    """
    table = _read_table(path, where="participants.tsv")
    participants = table.text("participant_id")
    _check_unique(participants, table)
    present = [covariate for covariate in covariates if covariate.name in table.columns]
    return {
        participant: {
            covariate.name: covariate_value(
                table.columns[covariate.name][number],
                covariate,
                where=f"participants.tsv, row {number + 1}, column {covariate.name}",
            )
            for covariate in present
        }
        for number, participant in enumerate(participants)
    }


def covariates_of(
    participant: str | None, table: Mapping[str, Mapping[str, CovariateValue]]
) -> Mapping[str, CovariateValue]:
    """Return one participant's covariates; raises UnknownParticipantError when the table does not hold them."""
    if participant is None or participant not in table:
        raise UnknownParticipantError("participants.tsv has no row for a visit that is to be scored.")
    return table[participant]


def covariate_value(text: str, covariate: Covariate, *, where: str) -> CovariateValue:
    """Return what a cell or an argument says; None when it says that the value is missing.

    Raises
    ------
    ValueOutOfRangeError
        If the covariate is a number and the text is none.
    """
    words = text.strip()
    if words in MISSING_CELLS:
        return None
    return words if covariate.kind == "category" else _number(words, where)


def _read_table(path: Path, *, where: str) -> TsvTable:
    return parse_tsv(_content_of(path, where=where), where=where, limits=LIMITS)


def _content_of(path: Path, *, where: str) -> bytes:
    try:
        if path.stat().st_size > LIMITS.max_bytes:
            raise TableError(f"expected at most {LIMITS.max_bytes} bytes, found more.", where=where)
        return path.read_bytes()
    except OSError as error:
        raise TableError(
            f"the table cannot be read: {error.strerror}.", where=where, remedy="Check the file's name."
        ) from error


def _check_unique(participants: Sequence[str], table: TsvTable) -> None:
    # Several visits of one person are told apart by the session.
    visits: set[tuple[str, str]] = set()
    sessions = table.columns.get("session_id", ("",) * table.n_rows)
    for number, visit in enumerate(zip(participants, sessions, strict=True), start=1):
        if visit in visits:
            raise DuplicateParticipantError("a visit stands in the table twice.", where=f"row {number}")
        visits.add(visit)


def _header_and_lines(content: bytes, *, max_rows: int) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Header and numbered lines, the separator being the one that the header has most of; empty lines are left out."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TableError(
            "expected text in UTF-8.", remedy="Save the table as TSV or CSV, not as a workbook."
        ) from error
    separator = max("\t,;", key=text.split("\n", 1)[0].count)
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
        lines = [(reader.line_num, cells) for cells in reader]  # a row in quotation marks may take several lines
    except csv.Error as error:
        raise TableError("the table cannot be read; a quotation mark may be open.") from error
    numbered = [(number, cells) for number, cells in lines if any(cell.strip() for cell in cells)]
    if not numbered:
        raise TableError("expected a table, found an empty file.")
    header, rows = [name.strip() for name in numbered[0][1]], numbered[1:]
    if not rows:
        raise TableError("expected at least one row below the header, found none.")
    if len(rows) > max_rows:
        raise TableError(f"expected at most {max_rows} rows, found {len(rows)}.", remedy="Send the table in pieces.")
    if len(header) > LIMITS.max_columns or len(rows) * len(header) > LIMITS.max_cells:
        raise TableError(f"expected at most {LIMITS.max_columns} columns and {LIMITS.max_cells} cells, found more.")
    return header, rows


def _check_header(header: Sequence[str], features: Sequence[str], allowed: Collection[str] | None) -> None:
    repeated = [name for name, count in Counter(header).items() if count > 1]
    if repeated:
        raise TableError(
            f"{_shown(repeated[0], header.index(repeated[0]))} stands twice in the header.", where="line 1"
        )
    if not all(header):
        raise TableError("a column of the header has no name.", where="line 1")
    unknown = set() if allowed is None else set(features).difference(allowed)
    if unknown:
        raise one_error(
            [
                UnknownFeatureError(
                    "the model has no such feature or covariate.", where=f"line 1, {_shown(name, index)}"
                )
                for index, name in enumerate(header)
                if name in unknown
            ]
        )
    if not features:
        raise MissingColumnError(
            "expected at least one column with a feature of the model, found none.", where="line 1"
        )


def _shown(name: str, index: int) -> str:
    """Return a column's name if it can be that of a feature, else its number: without a header, it is a person's."""
    return f"column {name[:100] if _FEATURE_NAME.fullmatch(name) else index + 1}"


def _row(
    place: str,
    header: Sequence[str],
    cells: Sequence[str],
    features: Sequence[str],
    covariates: Mapping[str, Covariate],
) -> tuple[FeatureRow, list[PredictorError]]:
    """One row, and everything that is wrong with its cells."""
    faults: list[PredictorError] = []
    if len(cells) != len(header):
        faults.append(TableError(f"expected {len(header)} cells as in the header, found {len(cells)}.", where=place))
    by_name = dict(zip(header, cells, strict=False))

    def value(name: str, covariate: Covariate) -> CovariateValue:
        try:
            return covariate_value(by_name.get(name, ""), covariate, where=name)
        except PredictorError as error:
            error.where = f"{place}, column {name[:100]}"
            faults.append(error)
            return None

    numbers = {name: value(name, _NUMBER) for name in features}
    row = FeatureRow(
        place=place,
        participant=_text(next((by_name[name] for name in PARTICIPANT_COLUMNS if name in by_name), "")),
        features={name: number for name, number in numbers.items() if not isinstance(number, str)},
        covariates={name: value(name, covariate) for name, covariate in covariates.items() if name in by_name},
        recipe_hash=_text(by_name.get(RECIPE_HASH, "")),
        input_digest=_text(by_name.get(INPUT_DIGEST, "")),
    )
    return row, faults


def _repeated(row: FeatureRow, cells: Mapping[str, str], visits: set[tuple[str, str]]) -> list[PredictorError]:
    """Say so when a visit was there before; several visits of one person are told apart by the session."""
    if row.participant is None:
        return []
    visit = (row.participant, cells.get("session_id", "").strip())
    if visit in visits:
        return [DuplicateParticipantError("a visit stands in the table twice.", where=row.place)]
    visits.add(visit)
    return []


def _number(text: str, where: str) -> float | None:
    words = text.strip()
    if words in MISSING_CELLS:
        return None
    try:
        value = float(words)
    except ValueError:
        raise ValueOutOfRangeError("expected a number with a decimal point, found text.", where=where) from None
    if value - value != 0.0:
        raise ValueOutOfRangeError("expected a finite number, found one that is not.", where=where)
    return value


def _text(cell: str) -> str | None:
    return None if cell.strip() in MISSING_CELLS else cell.strip()
