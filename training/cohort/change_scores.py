"""What changed from the baseline visit to the follow-up: the predictors of study A, for analyses only.

A change is follow-up minus baseline, so positive is an increase. It cannot be known before treatment: every name starts
with "change_", which the promotion gate refuses, and the training table asks for a registered name of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from predictor.errors import MissingColumnError, TableError, UnknownParticipantError
from predictor.features.feature_vector import FeatureDefinition
from training.cohort.feature_file import definitions_document
from training.cohort.participants import PARTICIPANT_ID
from training.extraction.feature_table import DEFINITIONS_FILE, STANDARD_ERRORS_FILE, TABLE_FILE, FeatureTable
from training.extraction.visit_result import json_text
from training.output_files import make_folder, write_atomically

CHANGE = "change_"
SCORES_FAMILY = "change_scores"  # changes of clinical scales
QUALITY, REFUSED, MISSING = "quality", "refused", "n/a"


@dataclass(frozen=True, slots=True, eq=False)
class ChangeScores:
    """Changes of everyone who has both visits."""

    values: pd.DataFrame  # index participant_id, columns in the order of `definitions`; NaN where either visit lacks it
    standard_errors: pd.DataFrame  # same shape; NaN where not known
    definitions: tuple[FeatureDefinition, ...]
    left_out: Mapping[str, str]  # participant -> why

    def __post_init__(self) -> None:
        names = [definition.name for definition in self.definitions]
        if names != list(self.values.columns) or names != list(self.standard_errors.columns):
            raise TableError("the changes and their definitions differ.")


def change_scores(baseline: FeatureTable, followup: FeatureTable) -> ChangeScores:
    """Return follow-up minus baseline of every feature.

    Standard errors add up in squares, as the errors of two scans are independent. Quality measures are no changes but
    the mean of both visits, under their own names: they serve the baseline that knows nothing but head motion.

    Raises
    ------
    TableError
        If the tables hold other features or were made with other recipes.
    UnknownParticipantError
        If nobody has both visits.
    """
    _check_same(baseline, followup)
    left_out = _left_out(baseline, followup)
    people = pd.Index([name for name in baseline.values.index if name not in left_out], name=PARTICIPANT_ID)
    if people.empty:
        raise UnknownParticipantError(
            "nobody has a usable baseline and a usable follow-up visit.",
            remedy="Extract both sessions of the same participants: krp extract ... --session baseline, then followup.",
        )
    before, after = (table.values.loc[people].to_numpy(np.float64) for table in (baseline, followup))
    errors = np.hypot(*(table.standard_errors.loc[people].to_numpy(np.float64) for table in (baseline, followup)))
    is_quality = np.array([definition.kind == QUALITY for definition in baseline.definitions], dtype=np.bool_)
    values = np.where(is_quality, (before + after) / 2, after - before)
    definitions = tuple(d if d.kind == QUALITY else _change_of(d) for d in baseline.definitions)
    names = [definition.name for definition in definitions]
    return ChangeScores(
        pd.DataFrame(values, people, names),
        pd.DataFrame(np.where(is_quality, np.nan, errors), people, names),
        definitions,
        left_out,
    )


def with_scale_change(changes: ChangeScores, participants: pd.DataFrame, scale: str, *, unit: str) -> ChangeScores:
    """Append the change of a clinical scale, such as depression: `<scale>_followup` minus `<scale>_baseline`.

    Raises
    ------
    MissingColumnError
        If participants.tsv lacks one of the columns.
    UnknownParticipantError
        If someone with both visits does not stand in it.
    """
    columns = [f"{scale}_baseline", f"{scale}_followup"]
    absent = [column for column in columns if column not in participants]
    if absent:
        raise MissingColumnError(f"participants.tsv lacks {', '.join(absent)}.", where="participants.tsv")
    unknown = [str(name) for name in changes.values.index if name not in participants.index]
    if unknown:
        raise UnknownParticipantError(
            f"{len(unknown)} participants with two visits are not in the table, {unknown[0]} among them.",
            where="participants.tsv",
        )
    scores = participants.loc[changes.values.index, columns].apply(pd.to_numeric, errors="coerce")
    name = f"{CHANGE}{scale}"
    definition = FeatureDefinition(
        name, unit, SCORES_FAMILY, "scale", scale, f"change of {scale} from baseline to follow-up; negative is less"
    )
    return replace(
        changes,
        values=changes.values.assign(**{name: scores[columns[1]] - scores[columns[0]]}),
        standard_errors=changes.standard_errors.assign(**{name: np.nan}),
        definitions=(*changes.definitions, definition),
    )


def write_change_scores(changes: ChangeScores, out: Path) -> None:
    """Write features.tsv, features.json and standard_errors.tsv as experiments read them.

    There is no recipe.json: no scan of one visit can be turned into these features.

    Raises
    ------
    UsageError
        If the folder cannot be written.
    """
    make_folder(out)
    write_atomically(out / TABLE_FILE, _tsv(changes.values))
    write_atomically(out / STANDARD_ERRORS_FILE, _tsv(changes.standard_errors))
    write_atomically(out / DEFINITIONS_FILE, json_text(definitions_document(changes.definitions)))


def _change_of(definition: FeatureDefinition) -> FeatureDefinition:
    return replace(
        definition,
        name=CHANGE + definition.name,
        family=CHANGE + definition.family,
        description=f"change from baseline to follow-up (positive: increase) of: {definition.description}",
    )


def _check_same(baseline: FeatureTable, followup: FeatureTable) -> None:
    if baseline.definitions != followup.definitions:
        ours, theirs = ({d.name for d in table.definitions} for table in (baseline, followup))
        odd = sorted(ours ^ theirs)
        raise TableError(
            f"the visits hold different features, {len(odd)} of them in one table only.",
            where=f"features.tsv{', column ' + odd[0] if odd else ''}",
            remedy="Extract both sessions with the same options.",
        )
    hashes = {str(value) for table in (baseline, followup) for value in table.recipe_hashes.dropna()}
    if len(hashes) > 1:
        raise TableError(
            "the visits were measured with different recipes; their difference would be no change of the brain.",
            where="recipe.json",
            remedy="Extract both sessions with the same options and the same version.",
        )
    if baseline.values.equals(followup.values):
        raise TableError(
            "both folders hold the same table, so that every change would be 0.",
            where="features.tsv",
            remedy="Name the folder of the baseline visit first, that of the follow-up visit second.",
        )


def _left_out(baseline: FeatureTable, followup: FeatureTable) -> dict[str, str]:
    """Return who lacks a usable visit, and why."""
    reasons: dict[str, str] = {}
    for table, other, name in ((baseline, followup, "follow-up"), (followup, baseline, "baseline")):
        absent = table.values.index.difference(other.values.index)
        reasons |= {str(person): f"no {name} visit" for person in absent}
    for table, name in ((baseline, "baseline"), (followup, "follow-up")):
        if "status" in table.quality:
            refused = table.quality.index[(table.quality["status"] == REFUSED).to_numpy()]
            reasons |= {str(person): f"{name} visit refused by the quality check" for person in refused}
    return reasons


def _tsv(table: pd.DataFrame) -> str:
    lines = ["\t".join([PARTICIPANT_ID, *table.columns])]
    values: NDArray[np.float64] = table.to_numpy(np.float64)
    for person, row in zip(table.index, values.tolist(), strict=True):
        lines.append("\t".join([str(person), *(repr(cell) if np.isfinite(cell) else MISSING for cell in row)]))
    return "\n".join(lines) + "\n"
