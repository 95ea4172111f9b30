"""Where the region tables of a cohort lie: plain ones, and those that XCP-D wrote in any of its versions.

XCP-D 0.1 to 0.4 wrote `..._atlas-<label>_timeseries.tsv` with `_desc-filtered_motion.tsv`, later versions
`..._seg-<label>_stat-mean_timeseries.tsv` and `..._atlas-<label>_stat-mean_timeseries.tsv` with `_motion.tsv`; all of
them `_outliers.tsv`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from predictor.errors import DuplicateParticipantError, PredictorError, SessionError, UnknownParticipantError
from predictor.scan.bids_name import parse_bids_name
from predictor.scan.dataset_files import pipelines_of
from predictor.scan.task_description import TaskDescription, load_task_description
from predictor.scan.visit_choice import choose_session
from training.cohort.participants import listed

_SUFFIXES = ("_timeseries.tsv.gz", "_timeseries.tsv")
_CONFOUNDS = "desc-confounds_"
# Entities that name the kind of table or image; the confounds and motion tables of the same run do not have them.
_TABLE_ENTITIES = ("space", "cohort", "res", "den", "atlas", "seg", "desc", "stat")
# Filtered motion is what XCP-D censors by; the plain name is that of newer versions.
_MOTION = ("motion.tsv", "desc-filtered_motion.tsv")


@dataclass(frozen=True, slots=True)
class TableFiles:
    """Files of one resting run; None where there is none."""

    timeseries: Path
    confounds: Path | None  # fMRIPrep's table, or XCP-D's `motion.tsv`: framewise displacement of every volume
    outliers: Path | None  # XCP-D's: which volumes it censored
    coverage: Path | None  # XCP-D's: which share of each region has data
    sidecar: Path | None
    notes: tuple[str, ...] = ()  # such as who made the table

    @property
    def paths(self) -> tuple[Path, ...]:
        """Every file there is."""
        files = (self.timeseries, self.confounds, self.outliers, self.coverage, self.sidecar)
        return tuple(path for path in files if path is not None)


@dataclass(frozen=True, slots=True)
class _Table:
    path: Path
    entities: Mapping[str, str | None]

    @property
    def participant_id(self) -> str:
        return f"sub-{self.entities.get('sub')}"

    @property
    def session_id(self) -> str | None:
        session = self.entities.get("ses")
        return None if session is None else f"ses-{session}"

    @property
    def atlas(self) -> str | None:
        return self.entities.get("atlas") or self.entities.get("seg")

    @property
    def run_stem(self) -> str:
        """The name without what tells the kind of table."""
        stem = next(self.path.name.removesuffix(suffix) for suffix in _SUFFIXES if self.path.name.endswith(suffix))
        return "_".join(part for part in stem.split("_") if part.partition("-")[0] not in _TABLE_ENTITIES)


@dataclass(frozen=True, slots=True)
class TableVisitFiles:
    """Tables of one visit; or what is wrong with it."""

    participant_id: str
    session_id: str | None
    runs: tuple[TableFiles, ...]
    problem: PredictorError | None = None


def has_tables(folder: Path) -> bool:
    """Whether the folder holds tables of region signals, at any depth."""
    return any(_is_signals(path) for path in folder.rglob("sub-*_timeseries.tsv*"))


def find_table_files(
    folder: Path,
    *,
    participant_labels: Sequence[str] | None = None,
    session_label: str | None = None,
    atlas: str | None = None,
    tasks: TaskDescription | None = None,
) -> tuple[TableVisitFiles, ...]:
    """Find everyone's resting tables, however deep they lie (such as in one folder per site).

    Raises
    ------
    SessionError
        If there are no such tables, or several atlases or tasks to choose from.
    DuplicateParticipantError
        If a run has two tables of one atlas.
    UnknownParticipantError
        If a label has no table.
    """
    paths = sorted(path for path in folder.rglob("sub-*_timeseries.tsv*") if _is_signals(path))
    if not paths:
        raise SessionError(
            "expected tables named sub-<label>_..._timeseries.tsv or .tsv.gz, found none.",
            where=folder.name,
            remedy="Name the folder that holds the region tables.",
        )
    tables = [_Table(path, parse_bids_name(path).entities) for path in paths]
    tables, others = _of_rest(_of_atlas(tables, atlas), tasks or load_task_description())
    wanted = _wanted(tables, participant_labels)
    tables = [table for table in tables if table.participant_id in wanted]
    tables.sort(key=lambda table: table.participant_id)
    people = [list(found) for _, found in groupby(tables, key=lambda table: table.participant_id)]
    visits = tuple(_visit(found, session_label, others, folder) for found in people)
    problems = [visit.problem for visit in visits if visit.problem is not None]
    if session_label is not None and len(problems) == len(visits):
        raise problems[0]
    return visits


def _is_signals(path: Path) -> bool:
    return path.name.endswith(_SUFFIXES) and _CONFOUNDS not in path.name and path.is_file()


def _of_atlas(tables: list[_Table], atlas: str | None) -> list[_Table]:
    """Return the tables of one atlas that hold means."""
    tables = [table for table in tables if table.entities.get("stat") in (None, "mean")]
    found = sorted({table.atlas or "(none named)" for table in tables})
    if atlas is not None:
        chosen = [table for table in tables if table.atlas == atlas]
        if not chosen:
            raise SessionError(
                f"expected tables of the atlas {atlas}, found {listed(found)}.",
                where="atlas",
                remedy="Check the label after --atlas.",
            )
        return chosen
    if len(found) > 1:
        raise SessionError(
            f"expected tables of one atlas, found {listed(found)}.",
            where="atlas",
            remedy="Name the atlas to use with --atlas.",
        )
    return tables


def _of_rest(tables: list[_Table], tasks: TaskDescription) -> tuple[list[_Table], tuple[str, ...]]:
    """Return the resting tables, and the labels of tasks left out; a single unknown task is taken for rest."""
    labels = sorted({table.entities.get("task") or "" for table in tables})
    rest = [label for label in labels if not label or tasks.kind_of_task(label) == "rest"]
    if not rest and len(labels) > 1:
        raise SessionError(
            f"expected tables of a resting task, found the tasks {listed(labels)}.",
            where="task",
            remedy="Keep the tables of the resting task alone in the folder.",
        )
    used = rest or labels
    chosen = [table for table in tables if (table.entities.get("task") or "") in used]
    return chosen, tuple(label for label in labels if label not in used)


def _wanted(tables: list[_Table], labels: Sequence[str] | None) -> set[str]:
    known = {table.participant_id for table in tables}
    if labels is None:
        return known
    wanted = list(dict.fromkeys("sub-" + label.removeprefix("sub-") for label in labels))
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise UnknownParticipantError(
            f"the folder has no table of {listed(unknown)}; it has {len(known)} others.", where="participant label"
        )
    return set(wanted)


def _visit(tables: list[_Table], session_label: str | None, others: tuple[str, ...], root: Path) -> TableVisitFiles:
    """Return the visit of one person that counts."""
    person = tables[0].participant_id
    by_session: dict[str | None, list[_Table]] = {}
    for table in tables:
        by_session.setdefault(table.session_id, []).append(table)
    sessions = sorted(by_session, key=lambda session: session or "")
    try:
        session = sessions[choose_session(sessions, session_label=session_label)]
    except SessionError as problem:
        return TableVisitFiles(person, None, (), problem)
    runs, left_out = _without_concatenation(by_session[session])
    stems = [table.run_stem for table in runs]
    if len(set(stems)) < len(stems):
        raise DuplicateParticipantError(
            f"{person} has two tables of region signals of the same run.",
            where=runs[0].path.name,
            remedy="Keep one table of each run: one site's folder, one space, one atlas.",
        )
    notes = tuple(f"tables of the task {label} are not used" for label in others if label)
    return TableVisitFiles(person, session, tuple(_files(table, (*left_out, *notes), root) for table in runs))


def _without_concatenation(tables: list[_Table]) -> tuple[list[_Table], tuple[str, ...]]:
    """Return the single runs in their order; XCP-D may also write all of them as one table, z-scored since version 26.

    The whole holds the same volumes as its parts, so it must not count beside them.
    """
    parts = [table for table in tables if table.entities.get("run") is not None]
    singles = [table for table in tables if table in parts or not any(_is_whole_of(table, part) for part in parts)]
    left_out = ("a table of all runs together was found too and is not used",) if len(singles) < len(tables) else ()
    return sorted(singles, key=_run_order), left_out


def _is_whole_of(whole: _Table, part: _Table) -> bool:
    """Whether a table without run may hold this run: it says nothing else about it, perhaps less."""
    return whole.entities.items() <= part.entities.items()


def _run_order(table: _Table) -> tuple[str, int, str]:
    run = table.entities.get("run") or "0"
    return (table.entities.get("task") or "", int(run) if run.isdecimal() else 0, table.path.name)


def _files(table: _Table, notes: tuple[str, ...], root: Path) -> TableFiles:
    folder, stem = table.path.parent, table.run_stem
    whole = next(table.path.name.removesuffix(suffix) for suffix in _SUFFIXES if table.path.name.endswith(suffix))
    confounds = [folder / f"{stem}_{_CONFOUNDS}timeseries.tsv", *(folder / f"{stem}_{name}" for name in _MOTION)]
    base = whole.removesuffix("_stat-mean")
    coverage = [folder / f"{base}_stat-coverage_bold.tsv", folder / f"{base}_coverage.tsv"]
    # XCP-D's side-car of a table does not give the repetition time; that of its scan does.
    sidecars = [*sorted(folder.glob(f"{stem}_*desc-denoised_bold.json")), folder / f"{whole}_timeseries.json"]
    pipelines = pipelines_of(folder, root=root)
    made_by = (f"the table was made by {', '.join(pipelines)}",) if pipelines else ()
    return TableFiles(
        timeseries=table.path,
        confounds=_first_file(confounds),
        outliers=_first_file([folder / f"{stem}_outliers.tsv"]),
        coverage=_first_file(coverage),
        sidecar=_first_file(sidecars),
        notes=(*made_by, *notes),
    )


def _first_file(paths: Sequence[Path]) -> Path | None:
    return next((path for path in paths if path.is_file()), None)
