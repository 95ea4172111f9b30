"""A multipart request as one visit: scan bytes go to the region reader as they arrive, never to disk."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from predictor.circuit.circuit import Circuit
from predictor.errors import BundleIncompatibleError, PartMissingError, PartUnknownError, PredictorError
from predictor.scan.nifti_header import ScanLimits
from predictor.scan.region_signals import RegionReader, RegionRecording
from predictor.scan.session import BaselineSession, Run, build_run
from predictor.scan.task_description import RUN_KINDS, RunKind, TaskDescription
from serving.model_store import LoadedModel
from serving.multipart_form import MultipartForm, PartHead, PartSink, SmallPart
from serving.settings import Settings

TABLES_OF_A_RUN = ("confounds", "confounds_sidecar", "sidecar", "events")
TABLE_PARTS = tuple(
    f"{kind}_{table}" for kind in RUN_KINDS for table in TABLES_OF_A_RUN if (kind, table) != ("rest", "events")
)
MAX_FIELD_BYTES = 64 * 1024
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
        Largest table or side-car.
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
        self._max_bytes = dict.fromkeys(TABLE_PARTS, max_table_bytes) | dict.fromkeys(field_names, MAX_FIELD_BYTES)
        self._recordings: dict[RunKind, RegionRecording] = {}
        self._small_parts: dict[str, SmallPart] = {}
        self._form = MultipartForm(content_type, self._open_part)

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
        runs = tuple(self._run(kind) for kind in RUN_KINDS if kind in self._recordings)
        fields = {name: bytes(part.content) for name, part in self._small_parts.items() if name not in TABLE_PARTS}
        return UploadedVisit(BaselineSession(runs), fields)

    def _open_part(self, head: PartHead) -> PartSink:
        for kind in RUN_KINDS:
            if head.name == kind:
                return _ScanPart(self._reader(head), kind, self._recordings)
        if head.name not in self._max_bytes:
            raise PartUnknownError(f"no part is called {head.printable}.")
        self._small_parts[head.name] = SmallPart(self._max_bytes[head.name])
        return self._small_parts[head.name]

    def _reader(self, head: PartHead) -> RegionReader:
        match = _SPACE_ENTITY.search(head.file_name or "")
        return RegionReader(self._circuit, limits=self._limits, declared_space=match.group(1) if match else None)

    def _check_parts(self) -> None:
        if not self._recordings:
            raise PartMissingError("expected a scan in one of the parts rest, faces or conflict, found none.")
        for kind in RUN_KINDS:
            orphans = [name for name in TABLE_PARTS if name.startswith(f"{kind}_") and name in self._small_parts]
            if orphans and kind not in self._recordings:
                raise PartMissingError(f"{orphans[0]} was sent without the scan {kind}.", where=f"part {kind}")

    def _run(self, kind: RunKind) -> Run:
        try:
            return build_run(
                kind,
                self._recordings[kind],
                confounds_tsv=self._table(kind, "confounds"),
                confounds_sidecar=self._table(kind, "confounds_sidecar"),
                sidecar=self._table(kind, "sidecar"),
                events_tsv=self._table(kind, "events"),
                tasks=self._tasks,
            )
        except PredictorError as error:
            raise error.located(f"part {kind}") from error

    def _table(self, kind: RunKind, table: str) -> bytes | None:
        part = self._small_parts.get(f"{kind}_{table}")
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

    def __init__(self, reader: RegionReader, kind: RunKind, recordings: dict[RunKind, RegionRecording]) -> None:
        self.feed = reader.feed
        self._reader = reader
        self._kind: RunKind = kind
        self._recordings = recordings

    def finish(self) -> None:
        self._recordings[self._kind] = self._reader.finish()
