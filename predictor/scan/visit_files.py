"""Where the files of each visit lie in a BIDS-derivatives tree."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nilearn.interfaces.bids import get_bids_files, parse_bids_filename

from predictor.errors import PredictorError, ScanSpaceError, SessionError, UnknownParticipantError
from predictor.scan.task_description import RUN_KINDS, RunKind, TaskDescription, canonical_name

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
    notes: tuple[str, ...] = ()  # such as which of several runs was taken


@dataclass(frozen=True, slots=True)
class VisitFiles:
    """Files of one visit, at most one run of each kind; or what is wrong with it."""

    participant_id: str  # "sub-01"
    session_id: str | None  # "ses-baseline"
    runs: tuple[RunFiles, ...]
    problem: PredictorError | None = None  # read_visit raises it, so that one bad visit does not stop a cohort


@dataclass(frozen=True, slots=True)
class _Scan:
    path: Path
    entities: Mapping[str, str | None]

    @property
    def task(self) -> str:
        return self.entities.get("task") or ""

    @property
    def space(self) -> str | None:
        return self.entities.get("space")


def find_visits(
    derivatives_dir: Path,
    *,
    bids_dir: Path | None,
    tasks: TaskDescription,
    participant_labels: Sequence[str] | None,
) -> tuple[VisitFiles, ...]:
    """Return the visits of a BIDS-derivatives tree, sorted by participant and session.

    Scans are `*_desc-preproc_bold.nii[.gz]` in MNI space, MNI152NLin2009cAsym first. Of several runs of a kind the
    first is taken, and a note says so. Events come from the raw tree, by matching entities.

    Parameters
    ----------
    derivatives_dir
        fMRIPrep's output folder, or the dataset that holds it under `derivatives/`.
    bids_dir
        The raw dataset; None: the folder given first, if it is one.
    tasks
        Which task labels mean which run.
    participant_labels
        With or without "sub-"; None: everyone.

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
    if bids_dir is not None and not bids_dir.is_dir():
        raise SessionError("expected a folder with the raw dataset, found none there.", where=bids_dir.name)
    root, scans = _scans(derivatives_dir)
    trees = (bids_dir or derivatives_dir, root)
    visits = tuple(
        _visit(participant, session, of_session, tasks, trees)
        for participant in _wanted_participants(root, participant_labels)
        for session, of_session in _by_session([scan for scan in scans if scan.entities.get("sub") == participant])
    )
    problems = [visit.problem for visit in visits if visit.problem is not None]
    if visits and len(problems) == len(visits):
        raise problems[0]
    return visits


def _scans(folder: Path) -> tuple[Path, list[_Scan]]:
    """Return the derivatives folder at or below the one that was named, and all preprocessed scans in it."""
    if not folder.is_dir():
        raise SessionError("expected a folder of fMRIPrep outputs, found none there.", where=folder.name)
    for root in (folder / name for name in _DERIVATIVES_FOLDERS):
        # The path is escaped because nilearn hands it to glob.
        paths = get_bids_files(
            glob.escape(str(root)),
            file_tag="bold",
            file_type="nii*",
            modality_folder="func",
            filters=[("desc", "preproc")],
        )
        parsed = [parse_bids_filename(path) for path in paths]
        # "nii*" also finds what a broken download left behind.
        scans = [
            _Scan(Path(file["file_path"]), file["entities"]) for file in parsed if file["extension"] in _EXTENSIONS
        ]
        if scans:
            return root, scans
    raise SessionError(
        "expected files named sub-<label>_..._desc-preproc_bold.nii.gz in func folders, found none.", where=folder.name
    )


def _wanted_participants(root: Path, labels: Sequence[str] | None) -> list[str]:
    known = sorted(path.name.removeprefix("sub-") for path in root.glob("sub-*") if path.is_dir())
    if labels is None:
        return known
    wanted = list(dict.fromkeys(label.removeprefix("sub-") for label in labels))
    unknown = [label for label in wanted if label not in known]
    if unknown:
        raise UnknownParticipantError(
            f"the derivatives folder has no participant {', '.join(unknown)}; it has {len(known)} others.",
            where="participant label",
        )
    return wanted


def _by_session(scans: list[_Scan]) -> list[tuple[str | None, list[_Scan]]]:
    """Return (session, scans) of one participant; one entry without scans if there are none."""
    by_session: dict[str | None, list[_Scan]] = {}
    for scan in scans:
        by_session.setdefault(scan.entities.get("ses"), []).append(scan)
    return sorted(by_session.items(), key=lambda item: item[0] or "") or [(None, [])]


def _visit(
    participant: str, session: str | None, scans: list[_Scan], tasks: TaskDescription, trees: tuple[Path, Path]
) -> VisitFiles:
    named = VisitFiles(f"sub-{participant}", None if session is None else f"ses-{session}", ())
    try:
        runs = tuple(_run(kind, chosen, notes, trees) for kind, chosen, notes in _chosen_scans(scans, tasks))
    except PredictorError as problem:
        return VisitFiles(named.participant_id, named.session_id, (), problem)
    return VisitFiles(named.participant_id, named.session_id, runs)


def _chosen_scans(scans: list[_Scan], tasks: TaskDescription) -> list[tuple[RunKind, _Scan, tuple[str, ...]]]:
    """Return one scan of each kind that the visit has, with notes on the choice."""
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
    in_mni = [scan for scan in known if (scan.space or "").startswith("MNI") and scan.entities.get("part") != "phase"]
    if not in_mni:
        spaces = ", ".join(sorted({scan.space or "the scanner's own space" for scan in known}))
        raise ScanSpaceError(f"expected a scan in {_PREFERRED_SPACE} or another MNI space, found only {spaces}.")
    chosen = []
    for kind in RUN_KINDS:
        candidates = [scan for scan in in_mni if tasks.kind_of_task(scan.task) == kind]
        if candidates:
            order = tasks.run(kind).tasks
            candidates.sort(key=lambda scan: (order.index(canonical_name(scan.task)), _preference(scan)))
            chosen.append((kind, candidates[0], _notes(kind, candidates)))
    return chosen


def _preference(scan: _Scan) -> tuple[int, bool, str, str]:
    run = scan.entities.get("run") or "0"
    space = scan.space or ""
    return (int(run) if run.isdecimal() else 0, space != _PREFERRED_SPACE, space, scan.path.name)


def _notes(kind: RunKind, candidates: list[_Scan]) -> tuple[str, ...]:
    """Return a note if there were several acquisitions, not only several spaces of one."""
    acquisitions = {tuple(sorted(_run_entities(scan.entities).items())) for scan in candidates}
    if len(acquisitions) == 1:
        return ()
    entities = _run_entities(candidates[0].entities)
    chosen = "_".join(f"{key}-{value}" for key, value in entities.items() if key not in ("sub", "ses"))
    return (f"{len(acquisitions)} {kind} runs were found; {chosen} is used",)


def _run(kind: RunKind, scan: _Scan, notes: tuple[str, ...], trees: tuple[Path, Path]) -> RunFiles:
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
    )


def _confounds(scan: _Scan) -> Path | None:
    """Return the confounds table of a scan, new name before old."""
    for suffix in ("timeseries", "regressors"):
        for path in sorted(scan.path.parent.glob(f"*desc-confounds_{suffix}.tsv")):
            if _run_entities(parse_bids_filename(path)["entities"]) == _run_entities(scan.entities):
                return path
    return None


def _raw_file(scan: _Scan, trees: tuple[Path, Path], suffix: str, extension: str) -> Path | None:
    """Return the run's own file, or the one it inherits from further up, as BIDS has it.

    A file applies when it says nothing that the scan contradicts; of several, the nearest and then the most specific.
    """
    session = scan.entities.get("ses")
    subject = f"sub-{scan.entities.get('sub')}"
    for tree in trees:
        folders = [tree / subject / f"ses-{session}"] if session else []
        for folder in (*(place / "func" for place in folders), tree / subject / "func", *folders, tree / subject, tree):
            applying = sorted(_applying(scan, folder.glob(f"*_{suffix}.{extension}")), key=lambda path: path.name)
            if applying:
                return max(applying, key=lambda path: len(parse_bids_filename(path)["entities"]))
    return None


def _applying(scan: _Scan, paths: Iterable[Path]) -> list[Path]:
    own = _run_entities(scan.entities)
    applying = []
    for path in paths:
        entities = parse_bids_filename(path)["entities"]
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
