"""New people as a locked model would meet them: what the service is sent, and the outcome that it never sees."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from predictor.errors import (
    ConfigError,
    MissingColumnError,
    OutcomeMissingError,
    TrainingError,
    UnknownFeatureError,
    UnknownParticipantError,
)
from predictor.features.feature_catalogue import feature_definitions
from predictor.model.bundle import ModelBundle
from predictor.model.outcome_definition import Covariate, CovariateValue, OutcomeDefinition, finite_number, is_missing
from training.cohort.outcome import OUTCOMES, outcome_values
from training.cohort.participants import read_participants
from training.cohort.reference_cohort import level_text, matching
from training.config import CohortConfig, OutcomeConfig
from training.evaluation.duplicates import find_same_people
from training.extraction.feature_table import FeatureTable, read_feature_table

Floats = NDArray[np.float64]

CONTROL_GROUP = "control"
REFUSED = "refused"


@dataclass(frozen=True, slots=True, eq=False)
class LockedCohort:
    """People of a locked test; all parts hold the same people in the same order."""

    name: str
    features: pd.DataFrame  # index participant_id; columns: features of the model, NaN where missing
    besides: pd.DataFrame  # features of its recipe that it does not use, such as head motion
    known: pd.DataFrame  # everything else that is known: participants.tsv, and features that only baselines read
    covariates: tuple[Covariate, ...]
    recipe_hashes: tuple[str | None, ...]
    outcome: Floats  # (n_people,), in the outcome's unit
    absent_features: tuple[str, ...]  # features of the model that the table does not have
    n_unusable: int  # included people without features, or whose visit the quality check refuses
    same_pairs: tuple[tuple[int, int], ...]  # rows that are, by their values, one person

    @property
    def participants(self) -> tuple[str, ...]:
        """Who they are; for checks only, never for logs."""
        return tuple(str(name) for name in self.features.index)

    @property
    def digest(self) -> str:
        """Digest of who is tested on which outcome, whatever the order, "sha256:..."."""
        rows = sorted(f"{name}\t{value:.9g}" for name, value in zip(self.participants, self.outcome, strict=True))
        return "sha256:" + hashlib.sha256("\n".join(rows).encode()).hexdigest()

    @property
    def arms(self) -> tuple[str, ...]:
        """Arm of everyone, "all" for a model without arms."""
        arm = next((covariate for covariate in self.covariates if covariate.role == "arm"), None)
        if arm is None:
            return ("all",) * len(self.outcome)
        return tuple(str(arm.level_of(value)) for value in self.known[arm.name])

    def features_of(self, row: int) -> dict[str, float | None]:
        """One person's features as a request would carry them."""
        cells = (*self.features.iloc[row].items(), *self.besides.iloc[row].items())
        return {str(name): None if is_missing(value) else float(value) for name, value in cells}

    def covariates_of(self, row: int) -> dict[str, CovariateValue]:
        """One person's covariates as a request would carry them."""
        found: dict[str, CovariateValue] = {}
        for covariate in self.covariates:
            value = self.known[covariate.name].iloc[row] if covariate.name in self.known else None
            found[covariate.name] = _sent(value, covariate)
        return found


def read_locked_cohort(config: CohortConfig, bundle: ModelBundle, *, name: str) -> LockedCohort:
    """Read the people whom a bundle is to be tested on, as the bundle asks for them.

    Parameters
    ----------
    config
        Where features and participants stand, and who is included.
    bundle
        The locked model: its features, covariates and outcome.
    name
        What to call the cohort.

    Raises
    ------
    TableError
        If participants are unknown or doubled, a column is absent, an outcome missing or constant, someone's arm
        unknown, or the table has none of the model's features.
    TrainingError
        If nobody passes the filters.
    """
    participants, table = read_participants(Path(config.participants)), read_feature_table(Path(config.features))
    people = _included(participants, config.include)
    is_usable = people.index.isin(_usable(table))
    n_unusable, people = int((~is_usable).sum()), people[is_usable]
    if people.empty:
        raise UnknownParticipantError("none of the included participants has a usable row in the feature table.")
    outcome = _outcome(people, bundle.outcome, drop_missing=config.exclude_missing_outcome)
    people = people.loc[outcome.index]
    _check_arms(people, bundle)
    features, absent = _features(table, people.index, bundle)
    hashes = table.recipe_hashes.reindex(people.index)
    others = table.values.loc[people.index]
    recipe_names = {one.name for one in feature_definitions(bundle.recipe)} if bundle.recipe else set()
    return LockedCohort(
        name=name,
        features=features,
        besides=others[[name for name in others if name in recipe_names and name not in features]],
        known=pd.concat([people, others[[c for c in others if c not in people]]], axis=1),
        covariates=bundle.covariates,
        recipe_hashes=tuple(None if is_missing(one) else str(one) for one in hashes),
        outcome=outcome.to_numpy(dtype=np.float64),
        absent_features=absent,
        n_unusable=n_unusable,
        same_pairs=_same_pairs(features),
    )


def _included(participants: pd.DataFrame, include: Mapping[str, object]) -> pd.DataFrame:
    keep = matching(participants, include)
    if "group" in participants:
        keep &= (participants["group"].astype(str) != CONTROL_GROUP).to_numpy()
    if not keep.any():
        raise TrainingError("no participant passes the filters.", where="--include")
    return participants[keep]


def _usable(table: FeatureTable) -> pd.Index:
    if "status" not in table.quality:
        return table.values.index
    return table.quality.index[(table.quality["status"] != REFUSED).to_numpy()]


def _outcome(people: pd.DataFrame, definition: OutcomeDefinition, *, drop_missing: bool) -> pd.Series:
    """Return everyone's outcome, measured as the model's own was."""
    if definition.name in OUTCOMES:
        config = OutcomeConfig(name=definition.name)
    else:
        config = OutcomeConfig(
            column=definition.name,
            unit=definition.unit,
            better=definition.better,
            response_threshold=definition.response_threshold,
        )
    try:
        return outcome_values(people, config, drop_missing=drop_missing)[0]
    except OutcomeMissingError as error:  # it names people
        raise OutcomeMissingError(
            "some of the included people have no outcome.",
            where=error.where,
            remedy="Add the outcome, or leave these people out on purpose with --exclude-missing-outcome.",
        ) from None


def check_outcome(config: OutcomeConfig, definition: OutcomeDefinition) -> None:
    """Refuse an experiment file that is about another outcome than the model's.

    Raises
    ------
    ConfigError
        If the name, or unit and direction of a column, differ.
    """
    if config.name:
        is_same = config.name == definition.name
    else:
        asked = (config.column, config.unit, config.better)
        is_same = asked == (definition.name, definition.unit, definition.better)
    if not is_same:
        raise ConfigError(
            f"expected the model's outcome {definition.name} ({definition.unit}, {definition.better} is better), "
            f"found {config.name or config.column}.",
            where="[outcome]",
            remedy="A locked test asks about the very outcome that the model was trained on.",
        )


def _check_arms(people: pd.DataFrame, bundle: ModelBundle) -> None:
    arm = next((covariate for covariate in bundle.covariates if covariate.role == "arm"), None)
    if arm is None:
        return
    if arm.name not in people:
        raise MissingColumnError(
            f"participants.tsv lacks {arm.name}: a prediction is for the arm that the person was in.",
            where="participants.tsv",
            remedy=f"Add the column; the model knows {', '.join(arm.levels)}.",
        )
    n_empty = int(people[arm.name].isna().sum())
    if n_empty:
        raise TrainingError(f"the arm of {n_empty} people is not given.", where=f"participants.tsv, column {arm.name}")
    for value in people[arm.name].unique():
        arm.level_of(value)


def _features(table: FeatureTable, people: pd.Index, bundle: ModelBundle) -> tuple[pd.DataFrame, tuple[str, ...]]:
    absent = tuple(name for name in bundle.feature_names if name not in table.values)
    if bundle.feature_names and len(absent) == len(bundle.feature_names):
        raise UnknownFeatureError(
            f"the table has none of the {len(absent)} features of the model.",
            where="features.tsv",
            remedy="Extract the features with the recipe that the model was trained with.",
        )
    return table.values.loc[people].reindex(columns=list(bundle.feature_names)).astype(np.float64), absent


def _same_pairs(features: pd.DataFrame) -> tuple[tuple[int, int], ...]:
    row = {str(name): number for number, name in enumerate(features.index)}
    return tuple((row[pair.first], row[pair.second]) for pair in find_same_people(features))


def _sent(value: Any, covariate: Covariate) -> CovariateValue:
    """Return a cell as a request would carry it."""
    if is_missing(value):
        return None
    return level_text(value) if covariate.kind == "category" else finite_number(value, where=covariate.name)
