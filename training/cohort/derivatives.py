"""Cohorts that fMRIPrep prepared: one baseline visit per person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import groupby
from pathlib import Path

from predictor.errors import SessionError
from predictor.features.recipe import Recipe
from predictor.scan.session import BaselineSession, read_visit
from predictor.scan.task_description import TaskDescription
from predictor.scan.visit_files import VisitFiles, find_visits

# How studies call the visit before treatment; of several sessions only such a one is taken.
BASELINE_LABELS = ("baseline", "base", "bl", "b0", "pre", "pretreatment", "t0", "v0", "0", "00", "1", "01", "001")


@dataclass(frozen=True, slots=True)
class DerivativesVisit:
    """One person's visit in an fMRIPrep tree."""

    files: VisitFiles

    @property
    def participant_id(self) -> str:
        """The person, "sub-01"."""
        return self.files.participant_id

    @property
    def session_id(self) -> str | None:
        """The visit, "ses-baseline"."""
        return self.files.session_id

    @property
    def input_files(self) -> tuple[Path, ...]:
        """Scans of all runs, with their tables and side-cars."""
        found = (getattr(run, field.name) for run in self.files.runs for field in fields(run))
        return tuple(one for one in found if isinstance(one, Path))

    def read(self, recipe: Recipe) -> BaselineSession:
        """Read all runs, also those without features yet: `krp score` does, and digests must agree.

        Raises
        ------
        PredictorError
            Whatever is wrong with the files.
        """
        return read_visit(self.files, recipe.circuit, recipe.tasks)


def find_derivatives_visits(
    derivatives_dir: Path,
    *,
    bids_dir: Path | None = None,
    tasks: TaskDescription,
    participant_labels: Sequence[str] | None = None,
) -> tuple[DerivativesVisit, ...]:
    """Find everyone's baseline visit.

    Parameters
    ----------
    derivatives_dir
        fMRIPrep's output folder, or the dataset that holds it.
    bids_dir
        The raw dataset with the events; None if it is the folder above.
    tasks
        Which task labels mean which run.
    participant_labels
        With or without "sub-"; None: everyone.

    Raises
    ------
    SessionError, UnknownParticipantError, ScanSpaceError
        As `predictor.scan.visit_files.find_visits`. Someone with several sessions of which none is called baseline
        gets a visit that raises SessionError when read.
    """
    visits = find_visits(derivatives_dir, bids_dir=bids_dir, tasks=tasks, participant_labels=participant_labels)
    by_person = groupby(visits, key=lambda visit: visit.participant_id)
    return tuple(DerivativesVisit(_baseline(tuple(of_person))) for _, of_person in by_person)


def _baseline(visits: tuple[VisitFiles, ...]) -> VisitFiles:
    if len(visits) == 1:
        return visits[0]
    for label in BASELINE_LABELS:
        for visit in visits:
            if (visit.session_id or "").removeprefix("ses-").lower() == label:
                return visit
    found = ", ".join(str(visit.session_id) for visit in visits)
    problem = SessionError(
        f"expected one session that is called baseline, found {found}.",
        remedy="Keep the baseline session alone in the folder, or call it ses-baseline.",
    )
    return VisitFiles(visits[0].participant_id, None, (), problem)
