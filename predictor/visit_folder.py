"""One visit from a folder in one call: found, chosen, read."""

from __future__ import annotations

from pathlib import Path

from predictor.argument_kind import check_kind
from predictor.errors import SessionError
from predictor.features.recipe import Recipe, default_recipe
from predictor.scan.session import BaselineSession, VisitFiles, find_visits, read_visit
from predictor.scan.visit_choice import choose_visits

__all__ = ["read_session", "split_visit_folder"]


def read_session(
    visit: Path | str | VisitFiles,
    *,
    participant: str | None = None,
    session: str | None = None,
    bids_dir: Path | str | None = None,
    recipe: Recipe | None = None,
) -> BaselineSession:
    """Return the region signals and tables of one visit.

    Parameters
    ----------
    visit
        The visit's folder in an fMRIPrep output ("derivatives/fmriprep/sub-01", or with "/ses-1"), the whole output
        folder or dataset, or one of what `find_visits` found.
    participant
        Who, with or without "sub-", where the folder holds several.
    session
        Which session, with or without "ses-"; None: the only one, or the one called baseline.
    bids_dir
        The raw dataset, which holds the events of task runs; None: the folder itself, if it is one.
    recipe
        Which regions and tasks are read; None: `default_recipe()`. To score the visit, give `bundle.recipe`.

    Raises
    ------
    UsageError
        If something else was given as recipe.
    SessionError
        If there is no such visit, or more than one person.
    UnknownParticipantError
        If the folder does not hold that person.
    PredictorError
        What `read_visit` raises.

    Examples
    --------
    >>> read_session("no such folder")
    Traceback (most recent call last):
    predictor.errors.SessionError: expected a folder of fMRIPrep outputs, found none there.
    """
    recipe = recipe or default_recipe()
    check_kind(recipe, Recipe, what="a recipe", remedy="Give bundle.recipe, or nothing for the default one.")
    files = visit
    if not isinstance(files, VisitFiles):
        files = _only_visit(Path(files), participant, session, bids_dir=bids_dir, recipe=recipe)
    return read_visit(files, recipe.circuit, recipe.tasks)


def split_visit_folder(folder: Path) -> tuple[Path, str | None, str | None]:
    """Return the output folder that holds a visit's folder, and whose visit it is; (folder, None, None) for others."""
    place = folder.resolve()
    if place.name.startswith("ses-"):
        return place.parent.parent, place.parent.name, place.name
    return (place.parent, place.name, None) if place.name.startswith("sub-") else (folder, None, None)


def _only_visit(
    folder: Path, participant: str | None, session: str | None, *, bids_dir: Path | str | None, recipe: Recipe
) -> VisitFiles:
    folder, own_participant, own_session = split_visit_folder(folder)
    participant, session = own_participant or participant, own_session or session
    labels = None if participant is None else [participant]
    visits = find_visits(folder, bids_dir=bids_dir, tasks=recipe.tasks, participant_labels=labels)
    chosen = choose_visits(visits, session_label=session)
    if len(chosen) != 1:
        raise SessionError(
            f"expected one person, found {len(chosen)}.",
            remedy="Name one: read_session(folder, participant=...), or read each of find_visits(folder).",
        )
    return chosen[0]
