"""A multipart request as one visit: scan bytes go to the region reader as they arrive, never to disk."""

from __future__ import annotations

import re
import weakref
from collections.abc import Collection
from dataclasses import dataclass

from predictor.circuit.circuit import Circuit
from predictor.errors import (
    BundleIncompatibleError,
    PartMissingError,
    PartTooLargeError,
    PartUnknownError,
    PredictorError,
)
from predictor.scan.nifti_header import ScanLimits
from predictor.scan.region_signals import RegionReader, RegionRecording
from predictor.scan.session import BaselineSession, Run, build_run
from predictor.scan.task_description import RUN_KINDS, RunKind, TaskDescription, parse_run_name, run_name
from serving.model_store import LoadedModel
from serving.multipart_form import MultipartForm, PartHead, PartSink, SmallPart
from serving.settings import Settings

TABLES_OF_A_RUN = ("confounds", "confounds_sidecar", "sidecar", "events")
# Longest series of runs of one kind; it bounds what one request can make the service keep.
MAX_RUNS_OF_A_KIND = 20
TABLE_PARTS = tuple(
    f"{kind}_{table}" for kind in RUN_KINDS for table in TABLES_OF_A_RUN if (kind, table) != ("rest", "events")
)
MAX_FIELD_BYTES = 64 * 1024
# All tables of a visit together, in tables of the largest size: they are held in memory, and there may be hundreds.
MAX_LARGEST_TABLES = 4
# The only thing a file name is used for.
_SPACE_ENTITY = re.compile(r"(?:^|_)space-([A-Za-z0-9]{1,60})_")


@dataclass(frozen=True, slots=True, eq=False)
class UploadedVisit:
    """What one request held."""

    session: BaselineSession
    fields: dict[str, bytes]  # `covariates`, or the fields of the page's form


class ScanUpload:
    """Push parser of one visit.

    Call `feed` with bytes as they arrive and `finish` after the last; both do the work of reading scans, so call
    them in a worker thread. Memory: one volume of the scan at work, the tables, and region signals.

    Parameters
    ----------
    content_type
        The request's Content-Type header with its boundary.
    circuit, tasks, limits
        What is measured in the scans, what the tasks are called, how large a scan may be.
    max_table_bytes
        Largest table or side-car; all of them together may have four times as much.
    field_names
        Other parts that are taken as they are, at most 64 KiB each.
    """

    def __init__(
        self,
        content_type: str,
        *,
        circuit: Circuit,
        tasks: TaskDescription,
        limits: ScanLimits,
        max_table_bytes: int,
        field_names: Collection[str] = ("covariates",),
    ) -> None:
        self._circuit = circuit
        self._tasks = tasks
        self._limits = limits
        self._max_table_bytes = max_table_bytes
        self._field_names = frozenset(field_names)
        self._recordings: dict[tuple[RunKind, int], RegionRecording] = {}
        self._small_parts: dict[str, SmallPart] = {}
        upload = weakref.proxy(self)  # the form is this object's own: what is given up goes at once, volume and all
        self._form = MultipartForm(content_type, lambda head: upload._open_part(head))

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the body.

        Raises
        ------
        RequestError
            If a part is unknown, repeated or too large, or the body is no multipart form.
        ScanError
            If a scan cannot be read; raised as soon as its bytes show it.
        """
        self._form.feed(chunk)
        limit = MAX_LARGEST_TABLES * self._max_table_bytes
        if sum(len(part.content) for part in self._small_parts.values()) > limit:
            raise PartTooLargeError(
                f"expected at most {limit} bytes in all tables together.",
                where="all tables",
                remedy="Check that the right files were sent as tables and side-cars, or send fewer runs.",
            )

    def finish(self) -> UploadedVisit:
        """Build the visit from everything that arrived.

        Raises
        ------
        UploadTruncatedError
            If the closing boundary is missing.
        PartMissingError
            If there is no scan, or a table without its scan.
        TableError, ScanError
            If tables and scans do not fit.
        """
        self._form.finish()
        self._check_parts()
        runs = tuple(
            self._run(kind, number)
            for wanted in RUN_KINDS
            for kind, number in sorted(self._recordings)
            if kind == wanted
        )
        fields = {name: bytes(part.content) for name, part in self._small_parts.items() if name in self._field_names}
        return UploadedVisit(BaselineSession(runs), fields)

    def _open_part(self, head: PartHead) -> PartSink:
        run = _run_of(head.name)
        if run is not None:
            return _ScanPart(self._reader(head), run, self._recordings)
        self._small_parts[head.name] = SmallPart(self._max_bytes(head))
        return self._small_parts[head.name]

    def _max_bytes(self, head: PartHead) -> int:
        if head.name in self._field_names:
            return MAX_FIELD_BYTES
        if _run_of_table(head.name) is None:
            raise PartUnknownError(f"no part is called {head.printable}.")
        return self._max_table_bytes

    def _reader(self, head: PartHead) -> RegionReader:
        match = _SPACE_ENTITY.search(head.file_name or "")
        return RegionReader(self._circuit, limits=self._limits, declared_space=match.group(1) if match else None)

    def _check_parts(self) -> None:
        if not self._recordings:
            raise PartMissingError("expected a scan in one of the parts rest, faces or conflict, found none.")
        for kind, number in self._recordings:
            if number > 1 and (kind, number - 1) not in self._recordings:
                before, name = run_name(kind, number - 1), run_name(kind, number)
                raise PartMissingError(f"{name} was sent without {before}.", where=f"part {before}")
        for part in self._small_parts:
            run = None if part in self._field_names else _run_of_table(part)
            if run is not None and run not in self._recordings:
                name = run_name(*run)
                raise PartMissingError(f"{part} was sent without the scan {name}.", where=f"part {name}")

    def _run(self, kind: RunKind, number: int) -> Run:
        name = run_name(kind, number)
        try:
            return build_run(
                kind,
                self._recordings[kind, number],
                confounds_tsv=self._table(name, "confounds"),
                confounds_sidecar=self._table(name, "confounds_sidecar"),
                sidecar=self._table(name, "sidecar"),
                events_tsv=self._table(name, "events"),
                tasks=self._tasks,
                number=number,
            )
        except PredictorError as error:
            error.located(f"part {name}")
            raise

    def _table(self, run: str, table: str) -> bytes | None:
        part = self._small_parts.get(f"{run}_{table}")
        return None if part is None else bytes(part.content)


def upload_for(
    content_type: str, model: LoadedModel, settings: Settings, *, field_names: Collection[str] = ("covariates",)
) -> ScanUpload:
    """Return a parser for the scans that a model takes.

    Raises
    ------
    BundleIncompatibleError
        If the model takes no scans.
    """
    recipe = model.bundle.recipe
    if recipe is None or not model.takes_scans:
        raise BundleIncompatibleError(
            "the current model was trained on tables, so it takes no scans.",
            remedy="Send features to /v1/predictions, or serve a model that was trained on scans.",
        )
    return ScanUpload(
        content_type,
        circuit=recipe.circuit,
        tasks=recipe.tasks,
        limits=ScanLimits(),
        max_table_bytes=settings.max_table_bytes,
        field_names=field_names,
    )


class _ScanPart:
    """Hands a scan's bytes to its reader, and keeps what comes out."""

    def __init__(
        self, reader: RegionReader, run: tuple[RunKind, int], recordings: dict[tuple[RunKind, int], RegionRecording]
    ) -> None:
        self.feed = reader.feed
        self._reader = reader
        self._run = run
        self._recordings = recordings

    def finish(self) -> None:
        self._recordings[self._run] = self._reader.finish()


def _run_of(name: str) -> tuple[RunKind, int] | None:
    """Return which run's scan a part is, None if it is none."""
    run = parse_run_name(name)
    return run if run is not None and run[1] <= MAX_RUNS_OF_A_KIND else None


def _run_of_table(name: str) -> tuple[RunKind, int] | None:
    """Return whose table a part is, None if it is none."""
    for table in TABLES_OF_A_RUN:
        run = _run_of(name.removesuffix(f"_{table}"))
        if run is not None and name == f"{run_name(*run)}_{table}" and f"{run[0]}_{table}" in TABLE_PARTS:
            return run
    return None
