"""What an extraction would do, without doing it: whose turn it is and why, about how long, about how much disk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from joblib import cpu_count

from predictor.console import duration, table
from predictor.errors import TableError
from predictor.features.recipe import Recipe
from predictor.record_card import counted
from training.cohort.feature_file import RECIPE_HASH
from training.cohort.visit import CohortVisit
from training.extraction.feature_table import is_done
from training.extraction.visit_result import INPUT_FILES, input_sizes, read_document, result_path
from training.output_files import check_folder

State = Literal["to do", "done", "cannot"]

# Measured with simulated visits of 2 to 6 mm on one core of the machine of docs/benchmarks: reading goes with bytes,
# the features of three runs take about the same whatever the images' size, drawing a report comes on top.
SECONDS_PER_MB: Final = 0.004
SECONDS_PER_VISIT: Final = 0.5
SECONDS_PER_REPORT: Final = 3.0
# Of starting processes and importing, once.
SECONDS_TO_START: Final = 3.0
BYTES_PER_RESULT: Final = 100_000
BYTES_PER_REPORT: Final = 1_200_000


@dataclass(frozen=True, slots=True)
class VisitPlan:
    """What would become of one visit."""

    participant_id: str
    session_id: str | None
    run_names: tuple[str, ...]
    n_bytes: int  # of its input files
    state: State
    why: str  # empty for those that are done


@dataclass(frozen=True, slots=True)
class ExtractionPlan:
    """What would become of every visit, and what it would take."""

    visits: tuple[VisitPlan, ...]
    n_processes: int | None  # None: a cluster's workers, whose number is not asked for
    has_reports: bool

    @property
    def waiting(self) -> tuple[VisitPlan, ...]:
        """Visits that would be computed."""
        return self.of("to do")

    @property
    def seconds(self) -> float:
        """Expected time until all are done, on a cluster of one worker; nothing where nothing is to do."""
        if not self.waiting:
            return 0.0
        n_megabytes = sum(visit.n_bytes for visit in self.waiting) / 1e6
        per_visit = SECONDS_PER_VISIT + (SECONDS_PER_REPORT if self.has_reports else 0.0)
        work = len(self.waiting) * per_visit + n_megabytes * SECONDS_PER_MB
        return SECONDS_TO_START + work / min(self.n_processes or 1, len(self.waiting))

    @property
    def n_bytes_written(self) -> int:
        """Expected size of the new results."""
        return len(self.waiting) * (BYTES_PER_RESULT + (BYTES_PER_REPORT if self.has_reports else 0))

    def of(self, state: State) -> tuple[VisitPlan, ...]:
        """Visits of which this would become."""
        return tuple(visit for visit in self.visits if visit.state == state)

    def lines(self) -> Iterator[str]:
        """Yield the plan for the screen: one row per visit, then the sums."""
        head = ("participant", "session", "runs", "state", "why")
        rows = [
            (visit.participant_id, visit.session_id or "-", " ".join(visit.run_names) or "-", visit.state, visit.why)
            for visit in self.visits
        ]
        yield from table([head, *rows]).splitlines()
        n_done, n_cannot = len(self.of("done")), len(self.of("cannot"))
        sums = f"{len(self.waiting)} to do, {n_done} done before, {n_cannot} cannot be read"
        yield f"{counted(len(self.visits), 'visit')}: {sums}"
        if self.waiting:
            n_megabytes = max(1, round(sum(visit.n_bytes for visit in self.waiting) / 1e6))
            by_whom = "of one processor, shared by the cluster's workers,"
            if self.n_processes is not None:
                by_whom = f"with {counted(self.n_processes, 'process', 'processes')}"
            yield (
                f"expected: about {duration(self.seconds)} {by_whom} for "
                f"{n_megabytes} MB of inputs, {max(1, round(self.n_bytes_written / 1e6))} MB of results"
            )


def plan_extraction(
    visits: Sequence[CohortVisit], recipe: Recipe, out: Path, *, n_jobs: int | None = -1, force: bool, reports: bool
) -> ExtractionPlan:
    """Return what `extract_cohort` would do with the same arguments; reads results and file sizes, writes nothing.

    Raises
    ------
    UsageError
        If the folder cannot be written.
    """
    check_folder(out)
    plans = tuple(_plan(visit, recipe, out, force=force, reports=reports) for visit in visits)
    return ExtractionPlan(plans, cpu_count() if n_jobs == -1 else n_jobs, reports)


def _plan(visit: CohortVisit, recipe: Recipe, out: Path, *, force: bool, reports: bool) -> VisitPlan:
    state: State = "cannot"
    if visit.problem is not None:
        why = f"{visit.problem.code}: {visit.problem}"
    else:
        why = _why_to_do(visit, recipe, out, force=force, reports=reports)
        state = "to do" if why else "done"
    n_bytes = sum(file.stat().st_size for file in visit.input_files if file.is_file())
    return VisitPlan(visit.participant_id, visit.session_id, visit.run_names, n_bytes, state, why)


def _why_to_do(visit: CohortVisit, recipe: Recipe, out: Path, *, force: bool, reports: bool) -> str:
    """Why a visit would be computed, empty if it would not."""
    path = result_path(out, visit.participant_id)
    if not path.is_file():
        return "new"
    if force:
        return "--force"
    if is_done(visit, recipe, out, reports=reports):
        return ""
    try:
        document = read_document(path)
    except TableError:
        return "its result is damaged"
    if document[RECIPE_HASH] != recipe.recipe_hash:
        return "made with another recipe"
    if document.get(INPUT_FILES) != input_sizes(visit):
        return "other files than before"
    if any(file.stat().st_mtime_ns > path.stat().st_mtime_ns for file in visit.input_files):
        return "a file changed since"
    return "no report yet" if reports else "its result lacks features"
