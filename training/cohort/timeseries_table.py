"""Cohorts of resting region signals in tables: one `*_timeseries.tsv[.gz]` per run, one column per region.

The tables become ordinary sessions, so that features come out of the same path as those of scans. What a table does
not know (coverage, temporal signal-to-noise, often the repetition time) is missing there, not guessed.

XCP-D drops censored volumes or fills them in, as its mode has it. Here both become the same: a volume on its place in
time, marked as censored, so that its value enters nothing.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from predictor.errors import PredictorError, RowMismatchError, TableError
from predictor.features.recipe import Recipe, region_table_recipe
from predictor.scan.confounds import CENSORED_COLUMN
from predictor.scan.region_signals import RegionRecording
from predictor.scan.session import BaselineSession, Run, build_run
from predictor.scan.task_description import run_name
from predictor.scan.tsv_table import MISSING_CELLS, TableLimits, TsvTable, parse_tsv
from training.cohort.participants import listed, read_table_bytes
from training.cohort.timeseries_files import TableFiles, TableVisitFiles, find_table_files, has_tables

__all__ = ["DEFAULT_CENSOR_MM", "TableVisit", "default_censor_mm", "find_table_visits", "has_tables", "table_recipe"]

# Volumes that moved more are left out, as the study of the RPN cohort did (Spisak et al. 2020); an option of extract.
DEFAULT_CENSOR_MM = 0.15
LIMITS = TableLimits()
_FRAMEWISE_DISPLACEMENT = "framewise_displacement"
# Columns of XCP-D's outliers table that say what was censored, the last step first.
_OUTLIER_COLUMNS = ("interpolation", "denoising", _FRAMEWISE_DISPLACEMENT)


@dataclass(frozen=True, slots=True)
class TableVisit:
    """One person's resting signals."""

    files: TableVisitFiles

    @property
    def participant_id(self) -> str:
        """The person, "sub-01"."""
        return self.files.participant_id

    @property
    def session_id(self) -> str | None:
        """The visit, "ses-baseline"."""
        return self.files.session_id

    @property
    def run_names(self) -> tuple[str, ...]:
        """Resting runs, by number: "rest", "rest_2"."""
        return tuple(run_name("rest", number) for number, _ in enumerate(self.files.runs, start=1))

    @property
    def problem(self) -> PredictorError | None:
        """What `read` would raise before it opens a file; None: nothing is wrong so far."""
        return self.files.problem

    @property
    def input_files(self) -> tuple[Path, ...]:
        """The tables, with what belongs to them."""
        return tuple(path for run in self.files.runs for path in run.paths)

    def read(self, recipe: Recipe, *, keep_mean_image: bool = False) -> BaselineSession:
        """Read the tables as resting runs; they have no images.

        Raises
        ------
        TableError
            If a table cannot be read, or its columns are not the recipe's regions.
        RowMismatchError
            If a table and its motion do not have the same volumes.
        SessionError
            If the visit has no session to use.
        """
        if self.files.problem is not None:
            raise self.files.problem
        return BaselineSession(
            tuple(_read_run(files, number, recipe) for number, files in enumerate(self.files.runs, start=1))
        )


def find_table_visits(
    folder: Path,
    *,
    participant_labels: Sequence[str] | None = None,
    session_label: str | None = None,
    atlas: str | None = None,
) -> tuple[TableVisit, ...]:
    """Find everyone's tables; see `find_table_files`.

    Raises
    ------
    SessionError, DuplicateParticipantError, UnknownParticipantError
        As `find_table_files`. Someone without a session to use gets a visit that raises SessionError when read.
    """
    found = find_table_files(folder, participant_labels=participant_labels, session_label=session_label, atlas=atlas)
    return tuple(TableVisit(files) for files in found)


def default_censor_mm(visits: Sequence[TableVisit]) -> float | None:
    """Return how much motion censors a volume unless someone says: None where XCP-D censored every run itself."""
    runs = [run for visit in visits for run in visit.files.runs]
    return None if runs and all(run.outliers is not None for run in runs) else DEFAULT_CENSOR_MM


def table_recipe(visits: Sequence[TableVisit], *, censor_framewise_displacement_mm: float | None) -> Recipe:
    """Return the recipe for these tables: all pairs of the first readable table's columns.

    Raises
    ------
    TableError
        If none can be read.
    """
    problem = TableError("expected at least one table, found none.")
    for files in (run for visit in visits for run in visit.files.runs):
        try:
            _, table = _read_signals(files.timeseries, where="rest_timeseries")
        except TableError as error:
            problem = error  # that person's own turn comes; it stops nobody else
            continue
        regions = tuple(table.columns)
        return region_table_recipe(regions, censor_framewise_displacement_mm=censor_framewise_displacement_mm)
    raise problem


def _read_run(files: TableFiles, number: int, recipe: Recipe) -> Run:
    where = run_name("rest", number)
    content, table = _read_signals(files.timeseries, where=f"{where}_timeseries")
    names = tuple(table.columns)
    if set(names) != set(recipe.circuit.region_names):
        odd = sorted(set(names) ^ set(recipe.circuit.region_names))
        raise TableError(
            f"the columns are not the cohort's regions; {listed(odd)} stand on one side only.",
            where=f"{where}_timeseries, header",
            remedy="Use tables made with one atlas and one version of the pipeline.",
        )
    bold = np.column_stack([_signal(table, name) for name in names])
    confounds = None if files.confounds is None else read_table_bytes(files.confounds)
    coverage = None if files.coverage is None else read_table_bytes(files.coverage)
    if files.outliers is not None:
        is_censored = _censored(read_table_bytes(files.outliers), len(bold), where=where)
        bold = _on_unbroken_grid(bold, is_censored)
        confounds = _with_censoring(confounds, is_censored, where=where)
    recording = RegionRecording(
        region_names=names,
        bold=bold,
        coverage=_coverage(coverage, names, bold, where=where),
        temporal_snr=np.full(len(names), np.nan),
        carpet=np.empty((len(bold), 0), dtype=np.float32),
        repetition_time_s=None,
        space="region table",
        input_digest="sha256:" + hashlib.sha256(content + (coverage or b"")).hexdigest(),
    )
    run = build_run(
        "rest",
        recording,
        confounds_tsv=confounds,
        confounds_sidecar=None,
        sidecar=None if files.sidecar is None else read_table_bytes(files.sidecar),
        events_tsv=None,
        tasks=recipe.tasks,
        number=number,
    )
    return replace(run, notes=(*files.notes, *run.notes))


def _signal(table: TsvTable, name: str) -> NDArray[np.float64]:
    """Return one region's signal; all NaN where the pipeline lost the region, an error where only some cells lack."""
    if all(cell in MISSING_CELLS for cell in table.columns[name]):
        return np.full(table.n_rows, np.nan)
    return table.numbers(name)


def _censored(content: bytes, n_rows: int, *, where: str) -> NDArray[np.bool_]:
    """Return which volumes XCP-D censored, shape (n_volumes,), by the column that fits the table of signals."""
    table = parse_tsv(content, where=f"{where}_outliers", limits=LIMITS)
    columns = [name for name in _OUTLIER_COLUMNS if name in table.columns] or list(table.columns)[:1]
    for name in columns:
        is_censored = np.asarray(table.numbers(name) != 0)
        if n_rows in (len(is_censored), int(np.count_nonzero(~is_censored))):
            return is_censored
    raise RowMismatchError(table.n_rows, n_rows, where=f"{where}_outliers")


def _on_unbroken_grid(bold: NDArray[np.float64], is_censored: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the signals with a row for every volume, a straight line where volumes were dropped."""
    if len(bold) == len(is_censored):
        return bold
    volumes, kept = np.arange(len(is_censored)), np.flatnonzero(~is_censored)
    return np.column_stack([np.interp(volumes, kept, signal) for signal in bold.T])


def _with_censoring(confounds: bytes | None, is_censored: NDArray[np.bool_], *, where: str) -> bytes:
    """Return a confounds table that marks the censored volumes, with framewise displacement where it is known."""
    columns = {CENSORED_COLUMN: [str(int(censored)) for censored in is_censored]}
    if confounds is not None:
        table = parse_tsv(confounds, where=f"{where}_confounds", limits=LIMITS)
        if table.n_rows != len(is_censored):
            raise RowMismatchError(table.n_rows, len(is_censored), where=f"{where}_confounds")
        if _FRAMEWISE_DISPLACEMENT in table.columns:
            columns[_FRAMEWISE_DISPLACEMENT] = list(table.columns[_FRAMEWISE_DISPLACEMENT])
    rows = ["\t".join(columns), *("\t".join(cells) for cells in zip(*columns.values(), strict=True))]
    return ("\n".join(rows) + "\n").encode()


def _coverage(
    content: bytes | None, names: Sequence[str], bold: NDArray[np.float64], *, where: str
) -> NDArray[np.float64]:
    """Return each region's share with data, shape (n_regions,): XCP-D's table, else 0 for lost regions and NaN."""
    unknown = np.where(np.isnan(bold).all(axis=0), 0.0, np.nan)
    if content is None:
        return unknown
    table = parse_tsv(content, where=f"{where}_coverage", limits=LIMITS)
    regions, *shares = table.columns
    if not shares:
        raise TableError("expected a column of names and one of shares.", where=f"{where}_coverage")
    share = dict(zip(table.columns[regions], table.lenient_numbers(shares[0]), strict=True))
    return np.array([share.get(name, other) for name, other in zip(names, unknown.tolist(), strict=True)])


def _read_signals(path: Path, *, where: str) -> tuple[bytes, TsvTable]:
    """Return the bytes of the file and the table in it."""
    content = read_table_bytes(path)
    return content, parse_tsv(_unpacked(content, where=where), where=where, limits=LIMITS)


def _unpacked(content: bytes, *, where: str) -> bytes:
    if not content.startswith(b"\x1f\x8b"):
        return content
    try:
        with gzip.GzipFile(fileobj=BytesIO(content)) as file:
            unpacked = file.read(LIMITS.max_bytes + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise TableError("the compressed table is damaged.", where=where, remedy="Copy the file again.") from error
    if len(unpacked) > LIMITS.max_bytes:
        raise TableError(f"expected a table of at most {LIMITS.max_bytes} bytes.", where=where)
    return unpacked
