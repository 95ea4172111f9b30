"""Cohorts that fMRIPrep prepared: one baseline visit per person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from predictor.errors import PredictorError
from predictor.features.recipe import Recipe
from predictor.scan.session import BaselineSession, read_visit
from predictor.scan.task_description import TaskDescription
from predictor.scan.visit_choice import choose_visits
from predictor.scan.visit_files import VisitFiles, find_visits


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
    def run_names(self) -> tuple[str, ...]:
        """What was found: "rest", "faces", ..."""
        return tuple(run.name for run in self.files.runs)

    @property
    def problem(self) -> PredictorError | None:
        """What `read` would raise before it opens a file; None: nothing is wrong so far."""
        return self.files.problem

    @property
    def input_files(self) -> tuple[Path, ...]:
        """Scans of all runs, with their tables and side-cars."""
        found = (getattr(run, field.name) for run in self.files.runs for field in fields(run))
        return tuple(one for one in found if isinstance(one, Path))

    def read(self, recipe: Recipe, *, keep_mean_image: bool = False) -> BaselineSession:
        """Read all runs, also those without features yet: `krp score` does, and digests must agree.

        Raises
        ------
        PredictorError
            Whatever is wrong with the files.
        """
        return read_visit(self.files, recipe.circuit, recipe.tasks, keep_mean_image=keep_mean_image)


def find_derivatives_visits(
    derivatives_dir: Path,
    *,
    bids_dir: Path | None = None,
    tasks: TaskDescription,
    participant_labels: Sequence[str] | None = None,
    session_label: str | None = None,
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
    session_label
        With or without "ses-"; None: the only session, or the one that is called baseline.

    Raises
    ------
    SessionError, UnknownParticipantError, ScanSpaceError
        As `find_visits` and `choose_visits`. Someone without the session gets a visit that raises SessionError when
        read.
    """
    visits = find_visits(derivatives_dir, bids_dir=bids_dir, tasks=tasks, participant_labels=participant_labels)
    return tuple(DerivativesVisit(visit) for visit in choose_visits(visits, session_label=session_label))
