"""The participants table: one row per person, with what is known about them besides the scan."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from predictor.errors import DuplicateParticipantError, TableError
from predictor.scan.tsv_table import MISSING_CELLS, TsvTable, parse_tsv

PARTICIPANT_ID = "participant_id"
SHOWN_NAMES = 5


def read_participants(path: Path) -> pd.DataFrame:
    """Read participants.tsv.

    Returns
    -------
    DataFrame indexed by participant_id
        A column whose every cell is a number or missing is float; any other is text. Missing cells are NaN.

    Raises
    ------
    TableError
        If the file cannot be read or is no table, or a row has no participant.
    MissingColumnError
        If there is no column participant_id.
    DuplicateParticipantError
        If someone stands in it twice.
    """
    table = parse_tsv(read_table_bytes(path), where="participants.tsv")
    names = table.text(PARTICIPANT_ID)
    check_participants(names, where="participants.tsv")
    columns = {name: _typed(table, name) for name in table.columns if name != PARTICIPANT_ID}
    people = pd.Index(names, name=PARTICIPANT_ID, dtype=object)
    # The columns are numbered from 0; giving the names as their index at once would empty them.
    return pd.DataFrame(columns, index=range(len(names))).set_axis(people)


def check_participants(names: Sequence[str], *, where: str) -> None:
    """Refuse missing and repeated participants.

    Raises
    ------
    TableError
        If a cell is empty.
    DuplicateParticipantError
        If someone stands there twice.
    """
    seen: set[str] = set()
    for row, name in enumerate(names, start=1):
        if name in MISSING_CELLS:
            raise TableError("expected a participant, found an empty cell.", where=f"{where}, row {row}")
        if name in seen:
            raise DuplicateParticipantError(f"{name} stands in the table twice.", where=f"{where}, row {row}")
        seen.add(name)


def read_table_bytes(path: Path) -> bytes:
    """Return a table's bytes; raises TableError naming the file, not its folder."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise TableError(
            f"the table cannot be read: {error.strerror}.",
            where=path.name,
            remedy="Check the path; those of an experiment file count from the folder in which krp is called.",
        ) from error


def listed(names: Sequence[str]) -> str:
    """Return the first names, and how many there are in all."""
    shown = ", ".join(names[:SHOWN_NAMES])
    return f"{shown}, ... ({len(names)} in all)" if len(names) > SHOWN_NAMES else shown


def _typed(table: TsvTable, name: str) -> pd.Series:
    cells = table.text(name)
    numbers = table.lenient_numbers(name)
    is_missing = np.array([cell in MISSING_CELLS for cell in cells])
    if not (np.isnan(numbers) & ~is_missing).any():
        return pd.Series(numbers)
    return pd.Series(
        [np.nan if missing else cell for cell, missing in zip(cells, is_missing, strict=True)], dtype=object
    )
