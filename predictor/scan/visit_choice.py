"""Which of a person's sessions counts: the baseline, or the one that was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Final

from predictor.errors import SessionError
from predictor.scan.visit_files import VisitFiles

# How studies call the visit before treatment; of several sessions only such a one is taken.
BASELINE_LABELS: Final = (
    "baseline", "base", "bl", "b0", "pre", "pretreatment", "t0", "v0", "0", "00", "1", "01", "001",
)  # fmt: skip


def choose_visits(visits: Sequence[VisitFiles], *, session_label: str | None = None) -> tuple[VisitFiles, ...]:
    """Return one visit of each participant: the only one, else the session asked for, else the one called baseline.

    Parameters
    ----------
    visits
        Sorted by participant.
    session_label
        With or without "ses-"; None: the baseline.

    Returns
    -------
    tuple of VisitFiles
        Someone without such a session gets a visit whose `problem` says so.

    Raises
    ------
    SessionError
        If nobody has the session asked for.
    """
    people = [tuple(found) for _, found in groupby(visits, key=lambda visit: visit.participant_id)]
    chosen = tuple(_chosen_visit(found, session_label) for found in people)
    if session_label is not None and chosen and not any(visit.session_id for visit in chosen):
        raise chosen[0].problem or SessionError("expected visits, found none.")
    return chosen


def choose_session(session_ids: Sequence[str | None], *, session_label: str | None = None) -> int:
    """Return the position of the session that counts, by the rule of `choose_visits`.

    Raises
    ------
    SessionError
        If it is not there.
    """
    plain = [(session or "").removeprefix("ses-") for session in session_ids]
    found = ", ".join(f"ses-{label}" if label else "none" for label in plain)
    if session_label is not None:
        wanted = session_label.removeprefix("ses-")
        if wanted not in plain:
            raise SessionError(
                f"expected the session ses-{wanted}, found {found}.", remedy="Check the label after --session."
            )
        return plain.index(wanted)
    if len(plain) == 1:
        return 0
    for label in BASELINE_LABELS:
        for position, session in enumerate(plain):
            if session.lower() == label:
                return position
    raise SessionError(
        f"expected one session that is called baseline, found {found}.",
        remedy="Name the session to use with --session, or call it ses-baseline.",
    )


def _chosen_visit(visits: tuple[VisitFiles, ...], session_label: str | None) -> VisitFiles:
    try:
        return visits[choose_session([visit.session_id for visit in visits], session_label=session_label)]
    except SessionError as problem:
        return VisitFiles(visits[0].participant_id, None, (), problem)
