"""Visits as rows of ready features: a table that `krp extract` wrote, or anyone else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from predictor.errors import DuplicateParticipantError, TableError, UnknownParticipantError, ValueOutOfRangeError
from predictor.model.outcome_definition import Covariate, CovariateValue
from predictor.scan.tsv_table import MISSING_CELLS, TableLimits, TsvTable, parse_tsv

PARTICIPANT_COLUMNS = ("participant_id", "participant")
# Columns that say where a row comes from; everything else is a covariate or a feature.
RECIPE_HASH, INPUT_DIGEST = "recipe_hash", "input_digest"
OTHER_COLUMNS = ("session_id",)
LIMITS = TableLimits(max_columns=50_000, max_cells=20_000_000, max_bytes=512 * 2**20)


@dataclass(frozen=True, slots=True)
class FeatureRow:
    """One visit as a table has it."""

    place: str  # "row 3", as errors call it
    participant: str | None
    features: Mapping[str, float | None]
    covariates: Mapping[str, CovariateValue]
    recipe_hash: str | None
    input_digest: str | None


def read_feature_rows(path: Path, covariates: Sequence[Covariate]) -> tuple[FeatureRow, ...]:
    """Read a tab-separated table with one row per visit.

    Parameters
    ----------
    path
        The file. Columns: `participant_id`, features by name, any of the covariates, `recipe_hash`, `input_digest`;
        empty cells and n/a are missing values.
    covariates
        What the model wants to know besides features; their columns are not taken for features.

    Raises
    ------
    TableError
        If it is no table, a participant stands in it twice, or a cell should be a number and is not.
    """
    table = _read_table(path, where="table")
    participants = next((table.columns[name] for name in PARTICIPANT_COLUMNS if name in table.columns), None)
    _check_unique(participants, table)
    known = {covariate.name: covariate for covariate in covariates}
    reserved = {*PARTICIPANT_COLUMNS, *OTHER_COLUMNS, RECIPE_HASH, INPUT_DIGEST, *known}
    names = [name for name in table.columns if name not in reserved]
    rows = []
    for number in range(table.n_rows):
        place = f"row {number + 1}"
        cells = {name: column[number] for name, column in table.columns.items()}
        rows.append(
            FeatureRow(
                place=place,
                participant=participants[number] if participants else None,
                features={name: _number(cells[name], f"{place}, column {name[:120]}") for name in names},
                covariates={
                    name: covariate_value(cells[name], covariate, where=f"{place}, column {name}")
                    for name, covariate in known.items()
                    if name in cells
                },
                recipe_hash=_text(cells.get(RECIPE_HASH, "")),
                input_digest=_text(cells.get(INPUT_DIGEST, "")),
            )
        )
    return tuple(rows)


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
    try:
        if path.stat().st_size > LIMITS.max_bytes:
            raise TableError(f"expected at most {LIMITS.max_bytes} bytes, found more.", where=where)
        content = path.read_bytes()
    except OSError as error:
        raise TableError(
            f"the table cannot be read: {error.strerror}.", where=where, remedy="Check the file's name."
        ) from error
    return parse_tsv(content, where=where, limits=LIMITS)


def _check_unique(participants: Sequence[str] | None, table: TsvTable) -> None:
    # Several visits of one person are told apart by the session.
    visits = list(zip(participants or (), table.columns.get("session_id", ("",) * table.n_rows), strict=False))
    repeated = [number for number, visit in enumerate(visits) if visit in visits[:number]] if participants else []
    if repeated:
        raise DuplicateParticipantError("a visit stands in the table twice.", where=f"row {repeated[0] + 1}")


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
