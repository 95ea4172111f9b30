"""One visit of one person: its runs, from files or from bytes.

`build_run` is the only way into a Run, for files and for uploads alike, so both are checked in the same way.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from predictor.circuit.circuit import Circuit
from predictor.errors import PredictorError, RepetitionTimeError, SessionError
from predictor.record_card import PresentedRecord, RecordCard, counted
from predictor.scan.confounds import ConfoundsTable, read_confounds
from predictor.scan.dataset_files import read_small_file
from predictor.scan.events import EventsTable, read_events
from predictor.scan.nifti_stream import ScanLimits
from predictor.scan.region_signals import RegionRecording, read_region_signals
from predictor.scan.task_description import RUN_KINDS, RunKind, TaskDescription, run_name
from predictor.scan.tsv_table import TableLimits, parse_json_object
from predictor.scan.visit_files import RunFiles, VisitFiles, find_visits

__all__ = [
    "BaselineSession",
    "Run",
    "RunFiles",
    "RunKind",
    "VisitFiles",
    "build_run",
    "find_visits",
    "read_visit",
    "resolve_repetition_time",
]

_RUN_COLUMNS: Final = ("run", "volumes", "repetition time", "minutes", "regions", "confounds", "events")
# Nothing is scanned faster; a smaller number is a unit slip, such as 2 ms for 2 s.
SHORTEST_REPETITION_TIME_S: Final = 0.05
# Nothing is scanned more slowly; a larger number is in milliseconds.
LONGEST_REPETITION_TIME_S: Final = 100.0
# Headers keep the repetition time in single precision, side-cars in decimal.
REPETITION_TIME_TOLERANCE_S: Final = 1e-3


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Run(PresentedRecord):
    """One run: region signals and the tables that belong to them; rows, events and times fit each other."""

    kind: RunKind
    recording: RegionRecording  # its repetition time is the run's
    confounds: ConfoundsTable | None
    events: EventsTable | None  # None at rest, and where the events are not known
    repetition_time_s: float | None
    input_digest: str  # "sha256:..." over scan, tables and side-cars
    notes: tuple[str, ...] = ()  # what was decided while reading, in plain words
    number: int = 1  # among the visit's runs of this kind, in the order of their acquisition

    @property
    def name(self) -> str:
        """What the run is called within its visit: "rest", "rest_2", ..."""
        return run_name(self.kind, self.number)

    @property
    def n_volumes(self) -> int:
        """Number of volumes."""
        return int(self.recording.bold.shape[0])

    @property
    def minutes(self) -> float | None:
        """Length in minutes; None where the repetition time is unknown."""
        return None if self.repetition_time_s is None else self.n_volumes * self.repetition_time_s / 60

    def _one_line(self) -> str:
        tables = [name for name in ("confounds", "events") if getattr(self, name) is not None]
        regions = f"{len(self.recording.region_names)} regions"
        return ", ".join([self.name, *_length(self), regions, *tables])

    def _card(self) -> RecordCard:
        return RecordCard(f"Run {self._one_line()}", columns=_RUN_COLUMNS, rows=(_row_of(self),), remarks=self.notes)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class BaselineSession(PresentedRecord):
    """The runs of one visit, ordered by kind (rest, faces, conflict) and number. It carries no name."""

    runs: tuple[Run, ...]

    def __post_init__(self) -> None:
        names = [run.name for run in self.runs]
        if not names:
            raise SessionError("expected at least one run, found none.")
        in_order = [run_name(kind, position + 1) for kind in RUN_KINDS for position in range(len(self.of_kind(kind)))]
        if names != in_order:
            raise SessionError(
                f"expected the runs of each kind numbered from 1, as {', '.join(in_order)}; got {', '.join(names)}."
            )

    def of_kind(self, kind: RunKind) -> tuple[Run, ...]:
        """Return the runs of a kind in their order; empty if the visit has none."""
        return tuple(run for run in self.runs if run.kind == kind)

    @property
    def input_digest(self) -> str:
        """Return "sha256:..." over all runs."""
        return _digest({run.name: run.input_digest for run in self.runs})

    def _one_line(self) -> str:
        runs = (" ".join([run.name, _length(run)[-1]]) for run in self.runs)
        return f"{', '.join(runs)}; {len(self.runs[0].recording.region_names)} regions"

    def _card(self) -> RecordCard:
        return RecordCard(
            title=f"Visit with {counted(len(self.runs), 'run')}",
            columns=_RUN_COLUMNS,
            rows=tuple(_row_of(run) for run in self.runs),
            remarks=tuple(f"{run.name}: {note}" for run in self.runs for note in run.notes),
        )


def build_run(
    kind: RunKind,
    recording: RegionRecording,
    *,
    confounds_tsv: bytes | None,
    confounds_sidecar: bytes | None,
    sidecar: bytes | None,
    events_tsv: bytes | None,
    tasks: TaskDescription,
    number: int = 1,
    limits: TableLimits | None = None,
) -> Run:
    """Return a run whose parts fit each other.

    Parameters
    ----------
    kind
        What was done in the scanner.
    recording
        Region signals of the scan.
    confounds_tsv, confounds_sidecar, sidecar, events_tsv
        Bytes of the confounds table, its JSON, the scan's JSON and the events table; None where there is none. Events
        of a rest run are not used.
    tasks
        What the event names mean.
    number
        Which of the visit's runs of this kind it is, from 1.
    limits
        Largest accepted table.

    Raises
    ------
    TableError
        If a table or side-car cannot be read, with row and column; its subclasses say more: RowMismatchError,
        MissingColumnError, ConditionMissingError, EventsBeyondRunError.
    RepetitionTimeError
        If the repetition time is not one.
    """
    n_volumes = int(recording.bold.shape[0])
    name = run_name(kind, number)
    description = None if sidecar is None else parse_json_object(sidecar, where=f"{name}_sidecar")
    repetition_time_s, note = resolve_repetition_time(
        recording.repetition_time_s, None if description is None else description.get("RepetitionTime"), where=name
    )
    confounds = None
    if confounds_tsv is not None:
        confounds = read_confounds(
            confounds_tsv, confounds_sidecar, n_volumes=n_volumes, where=f"{name}_confounds", limits=limits
        )
    events = None
    if events_tsv is not None and kind != "rest":
        events = read_events(
            events_tsv,
            tasks.run(kind),
            n_volumes=n_volumes,
            repetition_time_s=repetition_time_s,
            where=f"{name}_events",
            limits=limits,
        )
    return Run(
        kind=kind,
        recording=replace(recording, repetition_time_s=repetition_time_s),
        confounds=confounds,
        events=events,
        repetition_time_s=repetition_time_s,
        input_digest=_digest(
            {
                "scan": recording.input_digest,
                "confounds": _digest_of_bytes(confounds_tsv),
                # Without its table it is not read, so it is no input.
                "confounds_sidecar": _digest_of_bytes(None if confounds is None else confounds_sidecar),
                "sidecar": _digest_of_bytes(sidecar),
                "events": _digest_of_bytes(events_tsv if kind != "rest" else None),
            }
        ),
        notes=() if note is None else (note,),
        number=number,
    )


def resolve_repetition_time(
    header_s: float | None, sidecar_s: object, *, where: str = "scan"
) -> tuple[float | None, str | None]:
    """Return the repetition time in seconds, and a note if header and side-car disagree.

    The side-car wins: BIDS makes it the authority, while NIfTI headers are often filled by converters that estimate the
    time (a real case: 1.79 for 2.0) or leave it zero. So a bad header beside a good side-car is a note, not an error.

    Parameters
    ----------
    header_s
        What the scan's header says; None: nothing.
    sidecar_s
        `RepetitionTime` of the side-car, as it was parsed; None: absent.
    where
        The part of the visit, for messages.

    Raises
    ------
    RepetitionTimeError
        If the one that counts is not a number of seconds: zero, negative, not finite, or evidently in milliseconds.
    """
    if sidecar_s is None:
        return (None, None) if header_s is None else (_checked_time(header_s, "header", where), None)
    seconds = _checked_time(sidecar_s, "side-car", f"{where}_sidecar")
    if header_s is None or header_s == 0 or abs(header_s - seconds) <= REPETITION_TIME_TOLERANCE_S:
        return seconds, None
    return (
        seconds,
        f"the header gives a repetition time of {header_s:g} s, the side-car {seconds:g} s; the side-car is used",
    )


def read_visit(
    files: VisitFiles,
    circuit: Circuit,
    tasks: TaskDescription,
    *,
    limits: ScanLimits | None = None,
    keep_mean_image: bool = False,
) -> BaselineSession:
    """Return the visit that lies in these files, with the runs' mean images if a report will show them.

    Raises
    ------
    PredictorError
        What `find_visits` found wrong with this visit, what the scan reader raises, and what `build_run` raises; each
        says the part of the visit.
    """
    if files.problem is not None:
        raise files.problem
    return BaselineSession(
        tuple(_read_run(run, circuit, tasks, limits, keep_mean_image=keep_mean_image) for run in files.runs)
    )


def _read_run(
    files: RunFiles, circuit: Circuit, tasks: TaskDescription, limits: ScanLimits | None, *, keep_mean_image: bool
) -> Run:
    try:
        recording = read_region_signals(
            files.scan,
            circuit,
            limits=limits or ScanLimits(),
            declared_space=files.space,
            keep_mean_image=keep_mean_image,
        )
    except PredictorError as error:
        error.located(files.name)
        raise
    run = build_run(
        files.kind,
        recording,
        confounds_tsv=_read(files.confounds, f"{files.name}_confounds"),
        confounds_sidecar=_read(files.confounds_sidecar, f"{files.name}_confounds_sidecar"),
        sidecar=_read(files.sidecar, f"{files.name}_sidecar"),
        events_tsv=_read(files.events, f"{files.name}_events"),
        tasks=tasks,
        number=files.number,
    )
    return replace(run, notes=(*files.notes, *run.notes))


def _length(run: Run) -> list[str]:
    """Volumes and, where the repetition time is known, minutes."""
    minutes = [] if run.minutes is None else [f"{run.minutes:.1f} min"]
    return [f"{run.n_volumes} volumes", *minutes]


def _row_of(run: Run) -> tuple[str, ...]:
    is_usable = np.asarray(np.isfinite(run.recording.bold).all(axis=0))
    return (
        run.name,
        str(run.n_volumes),
        "not known" if run.repetition_time_s is None else f"{run.repetition_time_s:g} s",
        "not known" if run.minutes is None else f"{run.minutes:.1f}",
        f"{int(is_usable.sum())} of {len(is_usable)} with signal",
        "no" if run.confounds is None else "yes",
        "none at rest" if run.kind == "rest" else "no" if run.events is None else "yes",
    )


def _read(path: Path | None, where: str) -> bytes | None:
    return None if path is None else read_small_file(path, where=where)


def _checked_time(value: object, source: str, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise RepetitionTimeError(
            f"expected a number of seconds in the {source}, found {type(value).__name__}.", where=where
        )
    # A huge JSON integer does not fit a float.
    seconds = float(value) if abs(value) < LONGEST_REPETITION_TIME_S * 1e9 else math.inf
    if SHORTEST_REPETITION_TIME_S <= seconds < LONGEST_REPETITION_TIME_S:
        return seconds
    guess = " That looks like milliseconds." if LONGEST_REPETITION_TIME_S <= seconds < math.inf else ""
    raise RepetitionTimeError(
        f"expected a repetition time of {SHORTEST_REPETITION_TIME_S:g} to {LONGEST_REPETITION_TIME_S:g} s, "
        f"found {seconds:g} in the {source}.{guess}",
        where=where,
    )


def _digest_of_bytes(content: bytes | None) -> str:
    return "absent" if content is None else f"sha256:{hashlib.sha256(content).hexdigest()}"


def _digest(parts: dict[str, str]) -> str:
    text = "\n".join(f"{name} {digest}" for name, digest in parts.items())
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
