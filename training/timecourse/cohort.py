"""Everyone's windows beside their arm and dissociation; who is left out, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from predictor.errors import MissingColumnError, TableError, TimecourseError
from training.cohort.participants import listed
from training.timecourse.arm_test import MINIMUM_PER_ARM
from training.timecourse.recording import PersonWindows
from training.timecourse.window_plan import WindowPlan

USUAL_TREATMENT = "ketamine"


@dataclass(frozen=True, slots=True, eq=False)
class TimecourseCohort:
    """People with at least one measured window and an arm, sorted by participant."""

    participant_ids: tuple[str, ...]
    arms: tuple[str, str]  # the treated arm, the other
    is_treated: NDArray[np.bool_]  # (n_people,)
    fisher_z: NDArray[np.float64]  # (n_people, n_windows, n_edges), baseline first; NaN where missing
    n_volumes: NDArray[np.int64]  # (n_people, n_windows)
    missing: tuple[Mapping[tuple[int, int], str], ...]  # per person: (window, edge) -> reason
    input_digests: tuple[str, ...]
    dissociation: NDArray[np.float64] | None  # (n_people,); NaN where unknown
    dissociation_column: str | None
    left_out: Mapping[str, str]  # participant -> reason

    @property
    def changes(self) -> NDArray[np.float64]:
        """Fisher z minus that of the person's baseline window, shape (n_people, n_windows - 1, n_edges)."""
        return np.asarray(self.fisher_z[:, 1:] - self.fisher_z[:, :1])

    def members(self, arm: str) -> NDArray[np.bool_]:
        """Who is in an arm, shape (n_people,)."""
        return self.is_treated if arm == self.arms[0] else ~self.is_treated


def assemble_cohort(
    measured: Sequence[PersonWindows],
    participants: pd.DataFrame,
    plan: WindowPlan,
    *,
    arm_column: str,
    treatment: str | None = None,
    dissociation_column: str | None = None,
    failed: Mapping[str, str] | None = None,
) -> TimecourseCohort:
    """Join what was measured with participants.tsv.

    Parameters
    ----------
    measured
        Any order.
    participants
        Indexed by participant_id.
    arm_column
        Column with two arms; people without one are left out.
    treatment
        The treated arm; unless given "ketamine" if there is such an arm, else the first by alphabet.
    dissociation_column
        Column with a number per person, such as the CADSS total; None: no association is tested.
    failed
        Whose visit could not be read, and why.

    Raises
    ------
    MissingColumnError
        If a column is absent.
    TableError
        If dissociation is not a number.
    TimecourseError
        If there are not two arms with at least three people each who have a change from baseline.
    """
    check_columns(participants, arm_column=arm_column, treatment=treatment, dissociation_column=dissociation_column)
    people = {person.participant_id: person for person in measured}
    arm_of = _arm_of(participants, arm_column)
    left_out = _left_out(people, participants, arm_of, failed or {})
    kept = [people[name] for name in sorted(people) if name not in left_out]
    _check_someone_is_left(kept, left_out)
    arms = _arms({arm_of[person.participant_id] for person in kept}, treatment)
    cohort = TimecourseCohort(
        participant_ids=tuple(person.participant_id for person in kept),
        arms=arms,
        is_treated=np.array([arm_of[person.participant_id] == arms[0] for person in kept], dtype=np.bool_),
        fisher_z=np.stack([person.fisher_z for person in kept]),
        n_volumes=np.stack([person.n_volumes for person in kept]),
        missing=tuple(person.missing for person in kept),
        input_digests=tuple(person.input_digest for person in kept),
        dissociation=_dissociation(kept, participants, dissociation_column),
        dissociation_column=dissociation_column,
        left_out=left_out,
    )
    _check_arms_are_filled(cohort, plan)
    return cohort


def check_columns(
    participants: pd.DataFrame, *, arm_column: str, treatment: str | None, dissociation_column: str | None
) -> None:
    """Refuse what participants.tsv cannot answer; worth a call before hours are spent on scans.

    Raises
    ------
    MissingColumnError, TableError, TimecourseError
        As `assemble_cohort`.
    """
    for column in filter(None, (arm_column, dissociation_column)):
        if column not in participants.columns:
            raise MissingColumnError(
                f"expected a column {column}, found {listed([str(name) for name in participants.columns])}.",
                where="participants.tsv",
            )
    if dissociation_column is not None:
        _check_numbers(participants, dissociation_column)
    _arms(set(_arm_of(participants, arm_column).values()), treatment)


def _arm_of(participants: pd.DataFrame, column: str) -> dict[str, str]:
    """Return everyone's arm as it stands in the table; arms may be numbers, and pandas reads 1 as 1.0."""
    known = participants[column].dropna().items()
    return {str(name): f"{arm:g}" if isinstance(arm, float) else str(arm) for name, arm in known}


def _check_numbers(participants: pd.DataFrame, column: str) -> None:
    numbers = pd.to_numeric(participants[column], errors="coerce")
    is_text = (numbers.isna() & participants[column].notna()).to_numpy() | np.isinf(numbers.to_numpy(dtype=np.float64))
    if is_text.any():
        row = int(np.argmax(is_text))
        raise TableError(
            f"expected a number for every person, or n/a; found {str(participants[column].iloc[row])[:40]}.",
            where=f"participants.tsv, row {row + 1}, column {column}",
        )


def _left_out(
    people: Mapping[str, PersonWindows],
    participants: pd.DataFrame,
    arm_of: Mapping[str, str],
    failed: Mapping[str, str],
) -> dict[str, str]:
    reasons = {}
    for name in sorted({*people, *arm_of, *failed}):
        if name in failed:
            reasons[name] = f"could not be read: {failed[name]}"
        elif name not in people:
            reasons[name] = "has an arm, but no signals in the folder"
        elif name not in participants.index:
            reasons[name] = "is not in participants.tsv"
        elif name not in arm_of:
            reasons[name] = "has no arm"
        elif not np.isfinite(people[name].fisher_z).any():
            reasons[name] = f"has no usable window: {next(iter(people[name].missing.values()))}"
    return reasons


def _check_someone_is_left(kept: Sequence[PersonWindows], left_out: Mapping[str, str]) -> None:
    if not kept:
        reason, count = Counter(left_out.values()).most_common(1)[0] if left_out else ("found none", 0)
        raise TimecourseError(f"expected people with an arm and a usable window; {count} of {len(left_out)}: {reason}.")


def _arms(found: set[str], treatment: str | None) -> tuple[str, str]:
    if len(found) != 2:
        raise TimecourseError(
            f"expected two arms, found {listed(sorted(found)) or 'none'}.",
            where="participants.tsv",
        )
    if treatment is not None and treatment not in found:
        raise TimecourseError(
            f"no arm is called {treatment}; found {' and '.join(sorted(found))}.", where="--treatment"
        )
    treated = treatment or (USUAL_TREATMENT if USUAL_TREATMENT in found else min(found))
    return treated, next(iter(found - {treated}))


def _dissociation(
    kept: Sequence[PersonWindows], participants: pd.DataFrame, column: str | None
) -> NDArray[np.float64] | None:
    if column is None:
        return None
    return participants[column].reindex([person.participant_id for person in kept]).to_numpy(dtype=np.float64)


def _check_arms_are_filled(cohort: TimecourseCohort, plan: WindowPlan) -> None:
    has_change = np.isfinite(cohort.changes).any(axis=(1, 2))
    for arm in cohort.arms:
        n_people = int((has_change & cohort.members(arm)).sum())
        if n_people < MINIMUM_PER_ARM:
            raise TimecourseError(
                f"{n_people} people of the arm {arm} have a change from the window {plan.baseline}; "
                f"at least {MINIMUM_PER_ARM} are needed in each arm."
            )
