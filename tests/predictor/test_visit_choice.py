"""Which of several sessions counts."""

from __future__ import annotations

import pytest

from predictor.errors import SessionError
from predictor.scan.visit_choice import choose_session, choose_visits
from predictor.scan.visit_files import VisitFiles


def visit(person: str, session: str | None) -> VisitFiles:
    return VisitFiles(person, session, ())


@pytest.mark.parametrize(
    ("sessions", "chosen"),
    [
        ([None], 0),
        (["ses-x"], 0),
        (["ses-2", "ses-1"], 1),
        (["ses-post", "ses-PRE"], 1),
        (["ses-1", "ses-baseline"], 1),
    ],
)
def test_without_a_label_the_only_session_or_the_baseline_counts(sessions: list[str | None], chosen: int) -> None:
    assert choose_session(sessions) == chosen


@pytest.mark.parametrize("label", ["post", "ses-post"])
def test_the_session_asked_for_counts_even_beside_a_baseline(label: str) -> None:
    assert choose_session(["ses-baseline", "ses-post"], session_label=label) == 1


@pytest.mark.parametrize(("sessions", "label"), [(["ses-a", "ses-b"], None), (["ses-a"], "b"), ([None], "a")])
def test_a_session_that_is_not_there_is_an_error_that_lists_those_that_are(
    sessions: list[str | None], label: str | None
) -> None:
    with pytest.raises(SessionError, match="none" if sessions == [None] else "ses-a"):
        choose_session(sessions, session_label=label)


def test_one_person_without_the_session_stops_nobody_else() -> None:
    visits = (visit("sub-1", "ses-a"), visit("sub-1", "ses-b"), visit("sub-2", "ses-a"))
    first, second = choose_visits(visits, session_label="b")
    assert (first.session_id, first.problem) == ("ses-b", None)
    assert isinstance(second.problem, SessionError)
    with pytest.raises(SessionError, match="ses-c"):
        choose_visits(visits, session_label="c")
    assert choose_visits(()) == ()
