"""Where the files of each visit lie in a BIDS-derivatives tree."""

from __future__ import annotations

import fnmatch
import glob
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from predictor.errors import PredictorError, ScanSpaceError, SessionError, UnknownParticipantError
from predictor.record_card import PresentedRecord, RecordCard
from predictor.scan.bids_name import parse_bids_name
from predictor.scan.task_description import (
    RUN_KINDS,
    RunKind,
    TaskDescription,
    canonical_name,
    load_task_description,
    run_name,
)

# fMRIPrep's output folder, where it usually lies below the folder that people name.
_DERIVATIVES_FOLDERS: Final = (
    "",
    "fmriprep",
    "fmriprep_like",
    "derivatives/fmriprep",
    "derivatives/fmriprep_like",
)
_PREFERRED_SPACE: Final = "MNI152NLin2009cAsym"
_EXTENSIONS: Final = ("nii", "nii.gz")
# Entities that a scan in MNI space has, and the tables and raw files of the same run have not.
_IMAGE_ENTITIES: Final = frozenset({"space", "cohort", "res", "den", "hemi", "desc", "label"})
# Entities that tell apart versions of the same acquisition: it must not count twice.
_VERSION_ENTITIES: Final = frozenset({"rec", "echo", "part"})


@dataclass(frozen=True, slots=True)
class RunFiles:
    """Files of one run; None where there is none."""

    kind: RunKind
    scan: Path
    confounds: Path | None
    confounds_sidecar: Path | None
    sidecar: Path | None
    events: Path | None
    space: str | None  # the BIDS `space` entity
    notes: tuple[str, ...] = ()  # such as what else was found and left out
    number: int = 1  # among the visit's runs of this kind

    @property
    def name(self) -> str:
        """What the run is called within its visit: "rest", "rest_2", ..."""
        return run_name(self.kind, self.number)


@dataclass(frozen=True, slots=True, repr=False)
class VisitFiles(PresentedRecord):
    """Files of one visit, runs ordered by kind and number; or what is wrong with it."""

    participant_id: str  # "sub-01"
    session_id: str | None  # "ses-baseline"
    runs: tuple[RunFiles, ...]
    problem: PredictorError | None = None  # read_visit raises it, so that one bad visit does not stop a cohort

    def _one_line(self) -> str:
        found = ", ".join(run.name for run in self.runs) or (self.problem.code if self.problem else "no runs")
        return f"{' '.join(filter(None, [self.participant_id, self.session_id]))}: {found}"

    def _card(self) -> RecordCard:
        problem = () if self.problem is None else (f"{self.problem.code}: {self.problem}",)
        return RecordCard(
            title=f"Files of {self._one_line()}",
            columns=("run", "scan", "confounds", "events"),
            # File names only: where the data lie is nobody's business who reads the notebook.
            rows=tuple(
                (run.name, *(path.name if path else "none" for path in (run.scan, run.confounds, run.events)))
                for run in self.runs
            ),
            remarks=problem,
        )


@dataclass(frozen=True, slots=True)
class _RawTrees:
    """Where files of a run may lie that its folder lacks; the roots, with a folder for everyone, are listed once."""

    roots: tuple[Path, Path]  # the raw dataset, the derivatives
    listed: dict[Path, list[str]] = field(default_factory=dict)

    def matching(self, folder: Path, pattern: str) -> list[Path]:
        """Return what a folder holds by that name."""
        if folder not in self.roots:
            return list(folder.glob(pattern))
        if folder not in self.listed:
            self.listed[folder] = []
            with suppress(OSError):
                self.listed[folder] = [name for name in os.listdir(folder) if name.endswith((".tsv", ".json"))]
        return [folder / name for name in fnmatch.filter(self.listed[folder], pattern)]


@dataclass(frozen=True, slots=True)
class FoundScan:
    """A preprocessed scan and what its name says."""

    path: Path
    entities: Mapping[str, str | None]

    @property
    def task(self) -> str:
        """The BIDS `task` entity, empty without one."""
        return self.entities.get("task") or ""

    @property
    def space(self) -> str | None:
        """The BIDS `space` entity."""
        return self.entities.get("space")

    @property
    def is_usable(self) -> bool:
        """Whether it is in MNI space, and no phase image."""
        return (self.space or "").startswith("MNI") and self.entities.get("part") != "phase"


def find_visits(
    derivatives_dir: Path | str,
    *,
    bids_dir: Path | str | None = None,
    tasks: TaskDescription | None = None,
    participant_labels: Sequence[str] | None = None,
    keep_problems: bool = False,
) -> tuple[VisitFiles, ...]:
    """Return the visits of a BIDS-derivatives tree, sorted by participant and session.

    Scans are `*_desc-preproc_bold.nii[.gz]` in MNI space: every acquisition of a task once, in MNI152NLin2009cAsym
    where it is there. Of several tasks of a kind the one that the task description prefers is taken, and a note says
    so. Events come from the raw tree, by matching entities.

    Parameters
    ----------
    derivatives_dir
        fMRIPrep's output folder, or the dataset that holds it under `derivatives/`.
    bids_dir
        The raw dataset; None: the folder given first, if it is one.
    tasks
        Which task labels mean which run; None: the common names.
    participant_labels
        With or without "sub-"; None: everyone.
    keep_problems
        Return visits even if every one of them has a problem.

    Returns
    -------
    tuple of VisitFiles
        A visit without usable scan carries its `problem`.

    Raises
    ------
    SessionError
        If the folder holds no preprocessed scans, or no visit has a run that the task description knows.
    ScanSpaceError
        If the only scans are not in MNI space.
    UnknownParticipantError
        If a label is not in the folder.
    """
    derivatives_dir, bids_dir = Path(derivatives_dir), None if bids_dir is None else Path(bids_dir)
    tasks = tasks or load_task_description()
    if bids_dir is not None and not bids_dir.is_dir():
        raise SessionError("expected a folder with the raw dataset, found none there.", where=bids_dir.name)
    root, scans = find_scans(derivatives_dir, participant_labels=participant_labels)
    by_participant: dict[str | None, list[FoundScan]] = {}
    for scan in scans:
        by_participant.setdefault(scan.entities.get("sub"), []).append(scan)
    trees = _RawTrees((bids_dir or derivatives_dir, root))
    visits = tuple(
        _visit(participant, session, of_session, tasks, trees)
        for participant in _wanted_participants(root, participant_labels)
        for session, of_session in _by_session(by_participant.get(participant, []))
    )
    problems = [visit.problem for visit in visits if visit.problem is not None]
    if visits and len(problems) == len(visits) and not keep_problems:
        raise problems[0]
    return visits


def find_scans(folder: Path, *, participant_labels: Sequence[str] | None = None) -> tuple[Path, list[FoundScan]]:
    """Return the derivatives folder at or below the one that was named, and the preprocessed scans in it.

    Parameters
    ----------
    folder
        fMRIPrep's output folder, or the dataset that holds it.
    participant_labels
        Look in the folders of these participants only: thousands of jobs that take one each must not all walk through
        the whole tree. Where they have no scan, and for None, everyone's are returned.

    Raises
    ------
    SessionError
        If there is no such folder, or it holds no preprocessed scans.
    """
    if not folder.is_dir():
        raise SessionError("expected a folder of fMRIPrep outputs, found none there.", where=folder.name)
    roots = [folder / name for name in _DERIVATIVES_FOLDERS]
    labels = None if participant_labels is None else _plain_labels(participant_labels)
    for wanted in (labels, None) if labels else (None,):
        for root in roots:
            scans = _scans_in(root, wanted)
            if scans:
                return root, scans
    _check_readable(roots)
    raise SessionError(
        "expected files named sub-<label>_..._desc-preproc_bold.nii.gz in func folders, found none.", where=folder.name
    )


def _check_readable(roots: Sequence[Path]) -> None:
    """Name a folder that may not be read: in a search, it looks as if it were empty."""
    places = (place for root in roots for place in (root, *root.glob("sub-*")) if place.is_dir())
    closed = next((place for place in places if not os.access(place, os.R_OK | os.X_OK)), None)
    if closed is not None:
        raise SessionError(
            "expected folders that may be read, found one that may not.",
            where=closed.name,
            remedy="Ask the owner of the folder for the right to read it and what is in it.",
        )


def _scans_in(root: Path, labels: Sequence[str] | None) -> list[FoundScan]:
    """Return the preprocessed scans of some participants, or of all, in the order of their paths."""
    people = ["sub-*"] if labels is None else [f"sub-{glob.escape(label)}" for label in labels]
    patterns = [f"{person}/{place}/sub-*_bold.nii*" for person in people for place in ("func", "ses-*/func")]
    paths = sorted(str(path) for one in patterns for path in root.glob(one))
    named = [(Path(path), parse_bids_name(path)) for path in paths]
    # "nii*" also finds what a broken download left behind.
    return [
        FoundScan(path, name.entities)
        for path, name in named
        if name.extension in _EXTENSIONS and name.entities.get("desc") == "preproc"
    ]


def _plain_labels(labels: Sequence[str]) -> list[str]:
    given = [labels] if isinstance(labels, str) else labels  # one label is as good as a list of one, and so is 12
    return list(dict.fromkeys(str(label).removeprefix("sub-") for label in given))


def _is_name(label: str) -> bool:
    return bool(label) and Path(label).name == label


def _wanted_participants(root: Path, labels: Sequence[str] | None) -> list[str]:
    wanted = None if labels is None else _plain_labels(labels)
    if wanted is not None and all(_is_name(label) and (root / f"sub-{label}").is_dir() for label in wanted):
        return wanted
    known = sorted(path.name.removeprefix("sub-") for path in root.glob("sub-*") if path.is_dir())
    if wanted is None:
        return known
    unknown = [label for label in wanted if label not in known]
    if unknown:
        raise UnknownParticipantError(
            f"the derivatives folder has no participant {', '.join(unknown)}; it has {len(known)} others.",
            where="participant label",
        )
    return wanted


def _by_session(scans: list[FoundScan]) -> list[tuple[str | None, list[FoundScan]]]:
    """Return (session, scans) of one participant; one entry without scans if there are none."""
    by_session: dict[str | None, list[FoundScan]] = {}
    for scan in scans:
        by_session.setdefault(scan.entities.get("ses"), []).append(scan)
    return sorted(by_session.items(), key=lambda item: item[0] or "") or [(None, [])]


def _visit(
    participant: str, session: str | None, scans: list[FoundScan], tasks: TaskDescription, trees: _RawTrees
) -> VisitFiles:
    named = VisitFiles(f"sub-{participant}", None if session is None else f"ses-{session}", ())
    try:
        runs = tuple(run for kind, found in _scans_by_kind(scans, tasks) for run in _runs(kind, found, tasks, trees))
    except PredictorError as problem:
        return VisitFiles(named.participant_id, named.session_id, (), problem)
    return VisitFiles(named.participant_id, named.session_id, runs)


def _scans_by_kind(scans: list[FoundScan], tasks: TaskDescription) -> list[tuple[RunKind, list[FoundScan]]]:
    """Return the usable scans of each kind that the visit has."""
    if not scans:
        raise SessionError("expected a file named *_desc-preproc_bold.nii.gz, found none for this participant.")
    known = [scan for scan in scans if tasks.kind_of_task(scan.task) is not None]
    if not known:
        found = ", ".join(sorted({scan.task for scan in scans if scan.task})) or "none"
        raise SessionError(
            f"no run is known as rest, faces or conflict; tasks found: {found}.",
            where="task",
            remedy='Write a task description, for example [faces] tasks = ["your task"], and pass it with --tasks.',
        )
    in_mni = [scan for scan in known if scan.is_usable]
    if not in_mni:
        spaces = ", ".join(sorted({scan.space or "the scanner's own space" for scan in known}))
        raise ScanSpaceError(f"expected a scan in {_PREFERRED_SPACE} or another MNI space, found only {spaces}.")
    by_kind = [(kind, [scan for scan in in_mni if tasks.kind_of_task(scan.task) == kind]) for kind in RUN_KINDS]
    return [(kind, found) for kind, found in by_kind if found]


def _runs(kind: RunKind, scans: list[FoundScan], tasks: TaskDescription, trees: _RawTrees) -> list[RunFiles]:
    """Return every acquisition of the preferred task, one image of each."""
    labels = sorted({canonical_name(scan.task) for scan in scans}, key=tasks.run(kind).tasks.index)
    left_out = [f"the task {label} was found too and is not used" for label in labels[1:]]
    acquisitions: dict[tuple[tuple[str, str | None], ...], list[FoundScan]] = {}
    for scan in sorted(scans, key=_preference):
        if canonical_name(scan.task) == labels[0]:
            acquisitions.setdefault(acquisition_of(scan), []).append(scan)
    return [
        _run(kind, number, found[0], (*left_out, *_version_notes(found)), trees)
        for number, found in enumerate(acquisitions.values(), start=1)
    ]


def _preference(scan: FoundScan) -> tuple[int, tuple[tuple[str, str], ...], bool, str, str]:
    """Sort key: runs in their order; of one run the preferred space, then the finest image."""
    run = scan.entities.get("run") or "0"
    others = tuple((name, label or "") for name, label in acquisition_of(scan) if name != "run")
    space = scan.space or ""
    return (int(run) if run.isdecimal() else 0, others, space != _PREFERRED_SPACE, space, scan.path.name)


def acquisition_of(scan: FoundScan) -> tuple[tuple[str, str | None], ...]:
    """Return what tells one acquisition from another: the entities that all its images and versions share."""
    entities = _run_entities(scan.entities).items()
    return tuple(sorted((name, label) for name, label in entities if name not in _VERSION_ENTITIES))


def _version_notes(scans: list[FoundScan]) -> tuple[str, ...]:
    """Return a note if an acquisition was found in several versions, not only in several spaces."""
    versions = {tuple(sorted(_run_entities(scan.entities).items())) for scan in scans}
    return () if len(versions) == 1 else (f"{len(versions)} versions of this run were found; the first is used",)


def _run(kind: RunKind, number: int, scan: FoundScan, notes: tuple[str, ...], trees: _RawTrees) -> RunFiles:
    confounds = _confounds(scan)
    return RunFiles(
        kind=kind,
        scan=scan.path,
        confounds=confounds,
        confounds_sidecar=_existing(confounds.with_suffix(".json")) if confounds else None,
        sidecar=_existing(_without_extension(scan.path, ".json")) or _raw_file(scan, trees, "bold", "json"),
        events=None if kind == "rest" else _raw_file(scan, trees, "events", "tsv"),
        space=scan.space,
        notes=notes,
        number=number,
    )


def _confounds(scan: FoundScan) -> Path | None:
    """Return the confounds table of a scan, new name before old."""
    for suffix in ("timeseries", "regressors"):
        for path in sorted(scan.path.parent.glob(f"*desc-confounds_{suffix}.tsv")):
            if _run_entities(parse_bids_name(path).entities) == _run_entities(scan.entities):
                return path
    return None


def _raw_file(scan: FoundScan, trees: _RawTrees, suffix: str, extension: str) -> Path | None:
    """Return the run's own file, or the one it inherits from further up, as BIDS has it.

    A file applies when it says nothing that the scan contradicts; of several, the nearest and then the most specific.
    """
    session = scan.entities.get("ses")
    subject = f"sub-{scan.entities.get('sub')}"
    for tree in trees.roots:
        folders = [tree / subject / f"ses-{session}"] if session else []
        for folder in (*(place / "func" for place in folders), tree / subject / "func", *folders, tree / subject, tree):
            applying = sorted(
                _applying(scan, trees.matching(folder, f"*_{suffix}.{extension}")), key=lambda path: path.name
            )
            if applying:
                return max(applying, key=lambda path: len(parse_bids_name(path).entities))
    return None


def _applying(scan: FoundScan, paths: Iterable[Path]) -> list[Path]:
    own = _run_entities(scan.entities)
    applying = []
    for path in paths:
        entities = parse_bids_name(path).entities
        described = _run_entities(entities)
        is_raw = len(described) == len(entities)
        if is_raw and described.get("task") == own.get("task") and described.items() <= own.items():
            applying.append(path)
    return applying


def _run_entities(entities: Mapping[str, str | None]) -> dict[str, str | None]:
    """Return the entities that tell one acquisition from another; "run-01" and "run-1" are the same."""
    return {
        name: str(int(label)) if name == "run" and label is not None and label.isdecimal() else label
        for name, label in entities.items()
        if name not in _IMAGE_ENTITIES
    }


def _without_extension(path: Path, extension: str) -> Path:
    return path.with_name(path.name.removesuffix(".gz").removesuffix(".nii") + extension)


def _existing(path: Path) -> Path | None:
    return path if path.is_file() else None
