"""Tab-separated tables as BIDS writes them, from bytes that nobody vouches for."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from predictor.errors import MissingColumnError, TableError

# BIDS writes "n/a"; pandas and R write the others.
MISSING_CELLS: Final = frozenset({"n/a", "N/A", "NA", "nan", "NaN", ""})

# Nothing measured is this large; squares of larger numbers would overflow later, without a place to name.
MAX_ABS_VALUE: Final = 1e30


@dataclass(frozen=True, slots=True)
class TableLimits:
    """What a table may weigh. A long fMRIPrep confounds table has 1,000 rows, 400 columns and 8 MB."""

    max_bytes: int = 64 * 2**20
    max_rows: int = 50_000
    max_columns: int = 5_000
    max_cells: int = 2_000_000


@dataclass(frozen=True, slots=True, eq=False)
class TsvTable:
    """Cells as text, by column; rows count from 1, the header is not counted."""

    columns: Mapping[str, tuple[str, ...]]
    n_rows: int
    where: str  # the part of the visit, such as "rest_confounds"

    def numbers(self, name: str, *, may_miss: Sequence[int] = ()) -> NDArray[np.float64]:
        """Return one column as finite numbers.

        Parameters
        ----------
        name
            A column of the table.
        may_miss
            Row indices (from 0) where "n/a" is allowed and becomes NaN.

        Returns
        -------
        ndarray of shape (n_rows,)

        Raises
        ------
        MissingColumnError
            If there is no such column.
        TableError
            If a cell is no finite number.
        """
        numbers = np.array([_number(cell) for cell in self.text(name)], dtype=np.float64)
        is_bad = ~(np.abs(numbers) <= MAX_ABS_VALUE)
        for row in may_miss:
            if row < self.n_rows and self.columns[name][row] in MISSING_CELLS:
                is_bad[row] = False
        if is_bad.any():
            raise self.cell_error(int(np.argmax(is_bad)), name)
        return numbers

    def lenient_numbers(self, name: str) -> NDArray[np.float64]:
        """Return one column as numbers, NaN wherever a cell is none; shape (n_rows,)."""
        numbers = np.array([_number(cell) for cell in self.text(name)], dtype=np.float64)
        numbers[~(np.abs(numbers) <= MAX_ABS_VALUE)] = np.nan
        return numbers

    def text(self, name: str) -> tuple[str, ...]:
        """Return one column as text; raises MissingColumnError."""
        if name not in self.columns:
            raise MissingColumnError(
                f"expected a column {name}, found {_listed(tuple(self.columns))}.", where=self.where
            )
        return self.columns[name]

    def cell_error(self, row: int, name: str, *, expected: str = "a finite number") -> TableError:
        """Return the error for one cell; it tells what kind of thing stands there, never the thing itself."""
        cell = self.columns[name][row]
        return TableError(
            f"expected {expected}, found {_kind_of(cell)} in row {row + 1}, column {name[:60]}.",
            where=f"{self.where}, row {row + 1}, column {name[:60]}",
        )


def parse_tsv(content: bytes, *, where: str, limits: TableLimits | None = None) -> TsvTable:
    """Return the cells of a tab-separated table with one header line.

    Parameters
    ----------
    content
        The file's bytes: UTF-8, with or without byte-order mark, any line ends.
    where
        The part of the visit, for messages.
    limits
        Largest accepted table.

    Raises
    ------
    TableError
        If the bytes are no such table: too large, empty, not UTF-8, compressed, ragged, or with a column twice.
    """
    _check_size(content, where, limits or TableLimits())
    lines = _lines(content, where)
    header = tuple(name.strip() for name in lines[0].split("\t"))
    _check_header(header, where)
    rows = [line.split("\t") for line in lines[1:]]
    for index, row in enumerate(rows):
        if len(row) != len(header):
            raise TableError(
                f"expected {len(header)} cells as in the header, found {len(row)} in row {index + 1}.",
                where=f"{where}, row {index + 1}",
            )
    if not rows:
        raise TableError("expected at least one row below the header, found none.", where=where)
    columns = {
        name: tuple(cell.strip() for cell in cells) for name, cells in zip(header, zip(*rows, strict=True), strict=True)
    }
    return TsvTable(columns, len(rows), where)


def parse_json_object(content: bytes, *, where: str, max_bytes: int = 16 * 2**20) -> dict[str, Any]:
    """Return the object of a JSON side-car.

    Raises
    ------
    TableError
        If the bytes are not one JSON object of reasonable size.
    """
    if len(content) > max_bytes:
        raise TableError(f"expected a side-car of at most {max_bytes} bytes, found {len(content)}.", where=where)
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:  # also bad UTF-8, endless digits, endless nesting
        raise TableError(
            "expected a JSON side-car, found text that is not valid JSON.",
            where=where,
            remedy="Send the .json file that stands beside the table or scan, unchanged.",
        ) from error
    if not isinstance(document, dict):
        raise TableError(f"expected a JSON object, found a {type(document).__name__}.", where=where)
    return document


def _check_size(content: bytes, where: str, limits: TableLimits) -> None:
    if len(content) > limits.max_bytes:
        raise TableError(f"expected at most {limits.max_bytes} bytes, found {len(content)}.", where=where)
    # Counted before anything is split, so that a hostile table costs no memory.
    n_rows = content.count(b"\n") + content.count(b"\r")
    n_cells = n_rows + content.count(b"\t")
    n_columns = content[: 64 * limits.max_columns].split(b"\n", 1)[0].count(b"\t") + 1
    # "\r\n" counts twice, hence the factor.
    if n_rows > 2 * limits.max_rows or n_cells > limits.max_cells or n_columns > limits.max_columns:
        raise TableError(
            f"expected at most {limits.max_rows} rows, {limits.max_columns} columns and {limits.max_cells} cells.",
            where=where,
        )


def _lines(content: bytes, where: str) -> list[str]:
    if content.startswith(b"\x1f\x8b"):
        raise TableError(
            "expected a plain text table, found a gzip file.", where=where, remedy="Unpack the table before sending it."
        )
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TableError(
            f"expected UTF-8 text, found byte {error.start} that is not.",
            where=where,
            remedy="Save the table as UTF-8.",
        ) from error
    # Not str.splitlines: it also breaks at characters that may stand inside a cell.
    lines = text.replace("\r\n", "\n").replace("\r", "\n").rstrip("\n").split("\n")
    if not lines[0].strip():
        raise TableError("expected a table with a header, found nothing.", where=where)
    return lines


def _check_header(header: tuple[str, ...], where: str) -> None:
    if len(header) == 1 and ("," in header[0] or ";" in header[0]):
        raise TableError(
            "expected columns separated by tabs, found commas or semicolons.",
            where=f"{where}, header",
            remedy="Save the table as tab-separated text (.tsv).",
        )
    if any(not name for name in header):
        raise TableError(
            f"expected a name for every column, column {header.index('') + 1} has none.", where=f"{where}, header"
        )
    if len(set(header)) != len(header):
        # By number: where the header is missing, its names are a person's cells.
        first = {name: number for number, name in reversed(list(enumerate(header, start=1)))}
        again, name = next(item for item in enumerate(header, start=1) if first[item[1]] < item[0])
        raise TableError(
            f"expected every column once, column {again} has the name of column {first[name]}.",
            where=f"{where}, header",
        )


def _number(cell: str) -> float:
    # float() would also take "1_000", which no table means.
    if "_" in cell:
        return np.nan
    try:
        return float(cell)
    except ValueError:
        return np.nan


def _kind_of(cell: str) -> str:
    if cell in MISSING_CELLS:
        return "a missing value"
    number = _number(cell)
    if np.isnan(number):
        return "text"
    return "a negative number" if -MAX_ABS_VALUE <= number < 0 else "an infinite or impossibly large number"


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(name[:60] for name in names[:12])
    return f"{shown}, ... ({len(names)} in all)" if len(names) > 12 else shown
