"""Cohorts of resting region signals in tables: one `*_timeseries.tsv[.gz]` per person, one column per region.

The tables become ordinary sessions, so that features come out of the same path as those of scans. What a table does
not know (coverage, temporal signal-to-noise, often the repetition time) is missing there, not guessed.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np

from predictor.errors import DuplicateParticipantError, SessionError, TableError, UnknownParticipantError
from predictor.features.recipe import Recipe, region_table_recipe
from predictor.scan.region_signals import RegionRecording
from predictor.scan.session import BaselineSession, build_run
from predictor.scan.tsv_table import TableLimits, TsvTable, parse_tsv
from training.cohort.participants import listed, read_table_bytes

# Volumes that moved more are left out, as the study of the RPN cohort did (Spisak et al. 2020); an option of extract.
DEFAULT_CENSOR_MM = 0.15
LIMITS = TableLimits()
_CONFOUNDS = "desc-confounds_"
_SUFFIXES = ("_timeseries.tsv.gz", "_timeseries.tsv")
# Entities that name the kind of table or image; the confounds of the same run do not have them.
_TABLE_ENTITIES = ("space", "cohort", "res", "den", "atlas", "seg", "desc", "stat")


@dataclass(frozen=True, slots=True)
class TableVisit:
    """One person's resting signals."""

    participant_id: str
    session_id: str | None
    timeseries: Path
    confounds: Path | None
    sidecar: Path | None

    @property
    def input_files(self) -> tuple[Path, ...]:
        """The table, with confounds and side-car where there are any."""
        return tuple(path for path in (self.timeseries, self.confounds, self.sidecar) if path is not None)

    def read(self, recipe: Recipe) -> BaselineSession:
        """Read the table as one resting run.

        Raises
        ------
        TableError
            If the table cannot be read, or its columns are not the recipe's regions.
        """
        content, table = _read_signals(self.timeseries)
        names = tuple(table.columns)
        if set(names) != set(recipe.circuit.region_names):
            odd = sorted(set(names) ^ set(recipe.circuit.region_names))
            raise TableError(
                f"the columns are not the cohort's regions; {listed(odd)} stand on one side only.",
                where="rest_timeseries, header",
                remedy="Use tables made with one atlas and one version of the pipeline.",
            )
        recording = RegionRecording(
            region_names=names,
            bold=np.column_stack([table.numbers(name) for name in names]),
            coverage=np.full(len(names), np.nan),
            temporal_snr=np.full(len(names), np.nan),
            carpet=np.empty((table.n_rows, 0), dtype=np.float32),
            repetition_time_s=None,
            space="region table",
            input_digest="sha256:" + hashlib.sha256(content).hexdigest(),
        )
        run = build_run(
            "rest",
            recording,
            confounds_tsv=None if self.confounds is None else read_table_bytes(self.confounds),
            confounds_sidecar=None,
            sidecar=None if self.sidecar is None else read_table_bytes(self.sidecar),
            events_tsv=None,
            tasks=recipe.tasks,
        )
        return BaselineSession((run,))


def find_table_visits(folder: Path, *, participant_labels: Sequence[str] | None = None) -> tuple[TableVisit, ...]:
    """Find everyone's table, however deep it lies (such as in one folder per site).

    Raises
    ------
    SessionError
        If there are no such tables.
    DuplicateParticipantError
        If someone has two: several runs or atlases in one folder.
    UnknownParticipantError
        If a label has no table.
    """
    paths = sorted(path for path in folder.rglob("sub-*_timeseries.tsv*") if _is_signals(path))
    if not paths:
        raise SessionError(
            "expected tables named sub-<label>_..._timeseries.tsv or .tsv.gz, found none.", where=folder.name
        )
    visits: dict[str, TableVisit] = {}
    for path in paths:
        visit = _visit(path)
        if visit.participant_id in visits:
            raise DuplicateParticipantError(
                f"{visit.participant_id} has two tables of region signals.",
                where=path.name,
                remedy="Keep one run, one atlas and the baseline session in the folder.",
            )
        visits[visit.participant_id] = visit
    return tuple(visits[name] for name in _wanted(visits, participant_labels))


def has_tables(folder: Path) -> bool:
    """Whether the folder holds tables of region signals, at any depth."""
    return any(_is_signals(path) for path in folder.rglob("sub-*_timeseries.tsv*"))


def table_recipe(visits: Sequence[TableVisit], *, censor_framewise_displacement_mm: float | None) -> Recipe:
    """Return the recipe for these tables: all pairs of the first readable table's columns.

    Raises
    ------
    TableError
        If none can be read.
    """
    problem = TableError("expected at least one table, found none.")
    for visit in visits:
        try:
            _, table = _read_signals(visit.timeseries)
        except TableError as error:
            problem = error  # that person's own turn comes; it stops nobody else
            continue
        regions = tuple(table.columns)
        return region_table_recipe(regions, censor_framewise_displacement_mm=censor_framewise_displacement_mm)
    raise problem


def _is_signals(path: Path) -> bool:
    return path.name.endswith(_SUFFIXES) and _CONFOUNDS not in path.name and path.is_file()


def _wanted(visits: dict[str, TableVisit], labels: Sequence[str] | None) -> list[str]:
    if labels is None:
        return sorted(visits)
    wanted = list(dict.fromkeys("sub-" + label.removeprefix("sub-") for label in labels))
    unknown = [name for name in wanted if name not in visits]
    if unknown:
        raise UnknownParticipantError(
            f"the folder has no table of {listed(unknown)}; it has {len(visits)} others.", where="participant label"
        )
    return wanted


def _visit(path: Path) -> TableVisit:
    stem = next(path.name.removesuffix(suffix) for suffix in _SUFFIXES if path.name.endswith(suffix))
    parts = stem.split("_")
    session = next((part for part in parts if part.startswith("ses-")), None)
    run_stem = "_".join(part for part in parts if part.partition("-")[0] not in _TABLE_ENTITIES)
    confounds = path.with_name(f"{run_stem}_{_CONFOUNDS}timeseries.tsv")
    sidecar = path.with_name(f"{stem}_timeseries.json")
    return TableVisit(parts[0], session, path, _existing(confounds), _existing(sidecar))


def _existing(path: Path) -> Path | None:
    return path if path.is_file() else None


def _read_signals(path: Path) -> tuple[bytes, TsvTable]:
    """Return the bytes of the file and the table in it."""
    content = read_table_bytes(path)
    return content, parse_tsv(_unpacked(content), where="rest_timeseries", limits=LIMITS)


def _unpacked(content: bytes) -> bytes:
    if not content.startswith(b"\x1f\x8b"):
        return content
    try:
        with gzip.GzipFile(fileobj=BytesIO(content)) as file:
            unpacked = file.read(LIMITS.max_bytes + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise TableError(
            "the compressed table is damaged.", where="rest_timeseries", remedy="Copy the file again."
        ) from error
    if len(unpacked) > LIMITS.max_bytes:
        raise TableError(f"expected a table of at most {LIMITS.max_bytes} bytes.", where="rest_timeseries")
    return unpacked
