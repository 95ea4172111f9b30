"""Features that somebody else computed: a table (participants x named features), or one connectivity matrix each."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from predictor.errors import MissingColumnError, SessionError, TableError, ValueOutOfRangeError
from predictor.features.feature_catalogue import STANDARD_ERROR_METHODS, feature_source
from predictor.features.feature_vector import FeatureDefinition
from predictor.scan.tsv_table import MISSING_CELLS
from training.cohort.participants import PARTICIPANT_ID, check_participants, read_table_bytes

READY = "ready"
# Columns that say where a row comes from; everything else is a feature.
SESSION_ID, RECIPE_HASH, INPUT_DIGEST = "session_id", "recipe_hash", "input_digest"
SOURCE_COLUMNS = (PARTICIPANT_ID, SESSION_ID, RECIPE_HASH, INPUT_DIGEST)
MATRIX_SUFFIXES = (".tsv", ".csv", ".npy")
LABELS_FILE = "labels"  # labels.tsv or labels.txt: one region per line, for matrices without a header
# Rounding in a text file; a matrix further from symmetry is directed, or not a connectivity matrix.
SYMMETRY_TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class ReadyFeatures:
    """Named numbers of a cohort; NaN where missing."""

    values: pd.DataFrame  # index participant_id
    sources: pd.DataFrame  # same index; recipe_hash and input_digest where the file tells
    definitions: tuple[FeatureDefinition, ...]
    digest: str


def read_ready_table(path: Path, *, sidecar: Mapping[str, object] | None = None) -> ReadyFeatures:
    """Read a .tsv or .csv table: a column participant_id, one column per feature.

    Parameters
    ----------
    path
        The table. Numbers are read exactly as they stand there.
    sidecar
        features.json as `write_definitions` makes it; without one, definitions are guessed from the names.

    Raises
    ------
    TableError
        If it is no table, or a row has no participant.
    MissingColumnError
        If there is no participant_id, or no feature.
    DuplicateParticipantError
        If someone stands in it twice.
    ValueOutOfRangeError
        If a cell is neither missing nor a finite number.
    """
    content = read_table_bytes(path)
    rows = _rows(content, path)
    header = next(rows)
    if PARTICIPANT_ID not in header:
        raise MissingColumnError(f"expected a column {PARTICIPANT_ID}.", where=path.name)
    names = [name for name in header if name not in SOURCE_COLUMNS]
    if not names:
        raise MissingColumnError("expected at least one feature beside participant_id.", where=path.name)
    places = [header.index(name) for name in names]
    known = {name: header.index(name) for name in (PARTICIPANT_ID, RECIPE_HASH, INPUT_DIGEST) if name in header}
    sources: dict[str, list[str]] = {name: [] for name in known}
    numbers: list[NDArray[np.float64]] = []
    for row in rows:  # ten thousand people's cells as text would take ten times their numbers
        for name, place in known.items():
            sources[name].append(row[place])
        numbers.append(_row_numbers([row[place] for place in places], names, len(numbers) + 1, path.name))
    participants = sources.pop(PARTICIPANT_ID)
    check_participants(participants, where=path.name)
    index = pd.Index(participants, name=PARTICIPANT_ID, dtype=object)
    return ReadyFeatures(
        values=pd.DataFrame(np.array(numbers), index=index, columns=names),
        sources=pd.DataFrame(sources, index=index, dtype=object),
        definitions=definitions_of(names, sidecar or {}),
        digest="sha256:" + hashlib.sha256(content).hexdigest(),
    )


def read_matrices(folder: Path) -> ReadyFeatures:
    """Read a folder with one square connectivity matrix per person, named sub-<label>....tsv, .csv or .npy.

    Text matrices carry the regions in a header, and may repeat them in a first column; for those without, and for
    .npy, labels.tsv or labels.txt in the folder names one region per line. A symmetric matrix gives its upper triangle
    as `ready__<region>__<region>`, a directed one both directions, row acting on column.

    Raises
    ------
    SessionError
        If there is no matrix.
    TableError
        If a matrix is not square, has other regions than the first, or is symmetric where others are not.
    DuplicateParticipantError
        If someone has two matrices.
    ValueOutOfRangeError
        If an entry off the diagonal is no finite number.
    """
    paths = sorted(path for path in folder.glob("sub-*") if path.suffix in MATRIX_SUFFIXES)
    if not paths:
        raise SessionError("expected matrices named sub-<label>... .tsv, .csv or .npy, found none.", where=folder.name)
    participants = [path.name.split("_")[0].split(".")[0] for path in paths]
    check_participants(participants, where=folder.name)
    given = _labels_file(folder)
    found = [_matrix(path, given) for path in paths]
    labels = found[0][0]
    for path, (own, _) in zip(paths, found, strict=True):
        if own != labels:
            raise TableError("the regions or their order differ from the first matrix.", where=path.name)
    stack = np.stack([matrix for _, matrix in found])
    rows, columns = _entries(stack, len(labels), folder.name)
    names = [f"{READY}__{labels[row]}__{labels[column]}" for row, column in zip(rows, columns, strict=True)]
    index = pd.Index(participants, name=PARTICIPANT_ID, dtype=object)
    digest = hashlib.sha256(json.dumps([labels, participants]).encode() + stack.tobytes()).hexdigest()
    return ReadyFeatures(
        values=pd.DataFrame(stack[:, rows, columns], index=index, columns=names),
        sources=pd.DataFrame(index=index),
        definitions=definitions_of(names, {}),
        digest="sha256:" + digest,
    )


def definitions_of(names: Sequence[str], sidecar: Mapping[str, object]) -> tuple[FeatureDefinition, ...]:
    """Return what each feature is: as the side-car says, else as its name tells (`kind__from__to`, `kind__region`)."""
    return tuple(_definition(name, sidecar.get(name)) for name in names)


def definitions_document(definitions: Sequence[FeatureDefinition]) -> dict[str, dict[str, Any]]:
    """Return features.json: BIDS' words for name, unit and levels, ours for the rest; the table's other columns too."""
    sources: dict[str, dict[str, Any]] = {
        PARTICIPANT_ID: {"Description": "person"},
        RECIPE_HASH: {"Description": "what was computed and how; the recipe itself stands in recipe.json"},
        INPUT_DIGEST: {"Description": "the bytes that the features were computed from"},
    }
    return sources | {
        definition.name: {
            "Description": definition.description,
            "Units": definition.unit,
            "Levels": {"n/a": "missing; missing_reasons in the participant's file says why"},
            "Source": feature_source(definition),
            "Family": definition.family,
            "Kind": definition.kind,
            "Circuit": definition.circuit,
            "StandardError": STANDARD_ERROR_METHODS.get(definition.family, "none"),
        }
        for definition in definitions
    }


def _definition(name: str, entry: object) -> FeatureDefinition:
    if isinstance(entry, Mapping):
        keys = ("Units", "Family", "Kind", "Circuit", "Description")
        unit, family, kind, circuit, description = (str(entry.get(key, "")) for key in keys)
        return FeatureDefinition(name, unit, family or READY, kind or READY, circuit, description)
    family, *regions = name.split("__")
    if not regions:
        return FeatureDefinition(name, "", READY, READY, "", "a ready feature")
    circuit = "-".join(region.removesuffix("_L").removesuffix("_R") for region in regions)
    return FeatureDefinition(name, "", family, family.split("_")[0], circuit, "a ready feature")


def _cells(content: bytes, path: Path) -> tuple[list[str], list[list[str]]]:
    header, *rows = _rows(content, path)
    return header, rows


def _rows(content: bytes, path: Path) -> Iterator[list[str]]:
    """Give the header and then every row, one at a time; each is as long as the header."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TableError("expected UTF-8 text.", where=path.name, remedy="Save the table as UTF-8.") from error
    delimiter = "," if path.suffix == ".csv" else "\t"
    rows = (row for row in csv.reader(io.StringIO(text), delimiter=delimiter) if row)
    header = [name.strip() for name in next(rows, [])]
    first = next(rows, None)
    if first is None:
        raise TableError("expected a header and at least one row.", where=path.name)
    if len(set(header)) != len(header):
        raise TableError("expected every column once, found one twice.", where=f"{path.name}, header")
    yield header
    for number, row in enumerate(chain([first], rows), start=1):
        if len(row) != len(header):
            raise TableError(f"expected {len(header)} cells, found {len(row)}.", where=f"{path.name}, row {number}")
        yield row


def _row_numbers(cells: Sequence[str], names: Sequence[str], row: int, file: str) -> NDArray[np.float64]:
    """Return one person's numbers, NaN where missing."""
    numbers = np.array([_number(cell.strip()) for cell in cells])
    if np.isinf(numbers).any():
        raise _not_a_number(row, names[int(np.argmax(np.isinf(numbers)))], file)
    return numbers


def _numbers(cells: Sequence[str], column: str, file: str) -> NDArray[np.float64]:
    numbers = np.array([_number(cell.strip()) for cell in cells])
    if np.isinf(numbers).any():
        raise _not_a_number(int(np.argmax(np.isinf(numbers))) + 1, column, file)
    return numbers


def _not_a_number(row: int, column: str, file: str) -> ValueOutOfRangeError:
    place = f"row {row}, column {column[:60]}"
    return ValueOutOfRangeError(f"expected a finite number or n/a in {place}.", where=f"{file}, {place}")


def _number(cell: str) -> float:
    """Return the number, NaN for a missing cell, infinity for anything else."""
    if cell in MISSING_CELLS:
        return np.nan
    try:
        number = float(cell)
    except ValueError:
        return np.inf
    return number if np.isfinite(number) and "_" not in cell else np.inf


def _labels_file(folder: Path) -> list[str] | None:
    for path in (folder / f"{LABELS_FILE}.tsv", folder / f"{LABELS_FILE}.txt"):
        if path.is_file():
            return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    return None


def _matrix(path: Path, given: list[str] | None) -> tuple[list[str], NDArray[np.float64]]:
    labels, matrix = _npy(path) if path.suffix == ".npy" else _text_matrix(path)
    labels = labels or given or []
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or len(matrix) < 2:
        raise TableError(f"expected a square matrix, found shape {matrix.shape}.", where=path.name)
    if len(labels) != len(matrix) or len(set(labels)) != len(labels):
        raise TableError(
            f"expected {len(matrix)} different region names, found {len(labels)}.",
            where=path.name,
            remedy="Give the matrix a header, or put labels.tsv with one region per line beside it.",
        )
    if not np.isfinite(matrix[~np.eye(len(matrix), dtype=bool)]).all():
        raise ValueOutOfRangeError("an entry off the diagonal is no finite number.", where=path.name)
    return labels, matrix


def _npy(path: Path) -> tuple[list[str], NDArray[np.float64]]:
    try:
        return [], np.asarray(np.load(path, allow_pickle=False), dtype=np.float64)
    except (OSError, ValueError, EOFError) as error:
        raise TableError("expected a numpy array of numbers.", where=path.name) from error


def _text_matrix(path: Path) -> tuple[list[str], NDArray[np.float64]]:
    header, rows = _cells(read_table_bytes(path), path)
    if not any(np.isinf(_number(cell)) for cell in header):
        return [], np.array([_numbers(row, "matrix", path.name) for row in [header, *rows]])
    if [row[0].strip() for row in rows] == header[1:]:
        header, rows = header[1:], [row[1:] for row in rows]
    return header, np.array([_numbers(row, "matrix", path.name) for row in rows])


def _entries(stack: NDArray[np.float64], n_regions: int, where: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    off_diagonal = ~np.eye(n_regions, dtype=bool)
    gap = np.abs(stack - stack.transpose(0, 2, 1))[:, off_diagonal].max(axis=1)
    is_symmetric = gap <= SYMMETRY_TOLERANCE
    if is_symmetric.all():
        rows, columns = np.triu_indices(n_regions, k=1)
    elif is_symmetric.any():
        raise TableError("some matrices are symmetric and some are not.", where=where)
    else:
        rows, columns = np.nonzero(off_diagonal)
    return rows.astype(np.int64), columns.astype(np.int64)
