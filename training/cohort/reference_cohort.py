"""The controls of an experiment: whom everyone is compared with, apart from folds and outcomes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from predictor.errors import ConfigError, MissingColumnError, TableError, TrainingError, ValueOutOfRangeError
from predictor.features.feature_vector import FeatureDefinition
from predictor.model.deviation import ReferenceDeviation
from predictor.model.learned_features import learned_definitions
from predictor.model.outcome_definition import Covariate
from predictor.model.reference_model import reference_covariate
from training.cohort.participants import listed
from training.config import ReferenceConfig
from training.extraction.feature_table import FeatureTable

# Two people do not agree to the last digit in as many connections; in one, a rounded table may have it.
MIN_SAME_VALUES = 2
# A site also where [covariates] names none: its number is no quantity.
USUAL_SITE = "site"


@dataclass(frozen=True, slots=True, eq=False)
class ReferenceCohort:
    """Controls, and the step that compares people with them."""

    step: ReferenceDeviation  # not fitted
    sources: tuple[FeatureDefinition, ...]  # measured features that are judged
    features_needed: tuple[str, ...]  # the sources, and features that the expectation depends on
    asked: tuple[Covariate, ...]  # columns of participants.tsv that the expectation depends on
    n_people: int

    @property
    def learned(self) -> tuple[FeatureDefinition, ...]:
        """Every feature that the step can make."""
        return learned_definitions(self.sources)


def read_reference_cohort(
    config: ReferenceConfig,
    participants: pd.DataFrame,
    features: FeatureTable,
    *,
    usable: pd.Index,
    site: str | None,
    patients: pd.Index,
    treated: pd.Index,
) -> ReferenceCohort:
    """Find the controls and what is known about them.

    Parameters
    ----------
    config
        Section [reference].
    participants, features
        The whole cohort.
    usable
        People whose visit the quality check does not refuse.
    site
        Column that is a site, whatever its cells look like.
    patients
        People of the folds.
    treated
        Everyone whom [cohort] includes, also without outcome or usable scan; none may be a control.

    Raises
    ------
    ConfigError
        If the family is unknown, or someone is patient and control.
    TableError
        If a column is absent or spelled otherwise in patients, the controls were measured with another recipe, or a
        control's scan stands in the table twice.
    ValueOutOfRangeError
        If a column holds numbers and other words.
    TrainingError
        If there are no controls.
    """
    sources = tuple(d for d in features.definitions if d.family == config.family)
    if not sources:
        known = ", ".join(sorted({d.family for d in features.definitions}))
        raise ConfigError(
            f"the feature table has no family {config.family}; it has {known}.", where="[reference] family"
        )
    people = participants[matching(participants, config.include)]
    people = people[people.index.isin(usable)]
    if people.empty:
        raise TrainingError("no participant with usable features is a control.", where="[reference] include")
    both = [str(name) for name in people.index.intersection(treated)]
    if both:
        raise ConfigError(f"expected controls who are no patients, found {listed(both)}.", where="[reference] include")
    _check_recipes(features, people.index, patients)
    _check_scans_differ(features.values.loc[[*people.index, *patients], [d.name for d in sources]], people.index)
    measured = [name for name in config.covariates if name in features.values]
    columns = [name for name in config.covariates if name not in features.values]
    _check_columns(participants, columns)
    names = list(dict.fromkeys([*(source.name for source in sources), *measured]))
    table = pd.concat([features.values.loc[people.index, names], people[columns]], axis=1)
    described = participants.loc[[*people.index, *patients], columns]
    sites = {site, USUAL_SITE}
    judged_by = [_covariate(name, table[name], is_site=name in sites) for name in config.covariates]
    _check_columns_agree(judged_by, described, patients, sites=sites)
    return ReferenceCohort(
        step=ReferenceDeviation(
            table, sources=tuple(s.name for s in sources), covariates=tuple(judged_by), threshold=config.threshold
        ),
        sources=sources,
        features_needed=tuple(names),
        asked=tuple(_asked(one, described[one.name]) for one in judged_by if one.name in described),
        n_people=len(people),
    )


def matching(participants: pd.DataFrame, include: Mapping[str, object]) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Whether each person passes every filter: column -> value, or list of values.

    Raises
    ------
    MissingColumnError
        If a column is absent.
    """
    _check_columns(participants, list(include))
    keep = np.ones(len(participants), dtype=bool)
    for column, wanted in include.items():
        accepted = {level_text(value) for value in (wanted if isinstance(wanted, list) else [wanted])}
        keep &= participants[column].map(level_text).isin(accepted).to_numpy()
    return keep


def level_text(value: object) -> str:
    """Return the level as text; whole numbers without the point that a gap elsewhere in the column gives them."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _covariate(name: str, column: pd.Series, *, is_site: bool) -> Covariate:
    """Return what the controls say about a covariate; only their levels can be told apart later."""
    if pd.api.types.is_numeric_dtype(column) and not is_site:
        return reference_covariate(name)
    levels = sorted({level_text(value) for value in column.dropna()})
    if not levels:
        raise TableError(f"{name} is missing for all controls.", where=f"participants.tsv, column {name}")
    return reference_covariate(name, levels)


def _check_columns_agree(
    covariates: Sequence[Covariate], known: pd.DataFrame, patients: pd.Index, *, sites: Collection[str | None]
) -> None:
    """Refuse columns that say other things about patients than about controls."""
    for one in covariates:
        if one.name not in known:
            continue
        if one.name not in sites:
            _check_numbers(known[one.name])
        _check_spelling(one, known.loc[patients, one.name], is_site=one.name in sites)


def _check_numbers(column: pd.Series) -> None:
    """Refuse a stray word among numbers: every number would become a category of its own."""
    if pd.api.types.is_numeric_dtype(column):
        return
    known = column.dropna()
    is_odd = pd.to_numeric(known, errors="coerce").isna()
    if not is_odd.all():
        odd = [str(name) for name in known.index[is_odd]]
        among = f", but none that can be used for {listed(odd)}" if odd else " in a column of words"
        raise ValueOutOfRangeError(
            f"{column.name} holds numbers{among}.",
            where=f"participants.tsv, column {column.name}",
            remedy="Correct these cells, or write n/a; a column of categories holds words only.",
        )


def _check_spelling(covariate: Covariate, of_patients: pd.Series, *, is_site: bool) -> None:
    """Refuse levels that would silently compare patients with all controls instead of those like them."""
    if covariate.kind == "number":
        return
    found = {level_text(value) for value in of_patients.dropna()}
    known, folded = set(covariate.levels), {level.casefold().strip() for level in covariate.levels}
    respelled = sorted(level for level in found - known if level.casefold().strip() in folded)
    if not respelled and found and not is_site and not found & known:  # a site may well have no controls
        respelled = sorted(found)
    if respelled:
        raise TableError(
            f"{covariate.name} of patients is {listed(respelled)}, of controls {listed(covariate.levels)}.",
            where=f"participants.tsv, column {covariate.name}",
            remedy="Spell levels the same for patients and controls, or take the column out of [reference] covariates.",
        )


def _check_scans_differ(values: pd.DataFrame, controls: pd.Index) -> None:
    """Refuse a control who is someone else under another name."""
    numbers = values.to_numpy(dtype=np.float64, na_value=np.nan)
    is_rich = np.isfinite(numbers).sum(axis=1) >= min(MIN_SAME_VALUES, numbers.shape[1])
    owners: dict[bytes, list[str]] = {}
    for name, row in zip(values.index[is_rich], numbers[is_rich], strict=True):
        owners.setdefault(row.tobytes(), []).append(str(name))
    for names in owners.values():
        if len(names) > 1 and set(names) & {str(name) for name in controls}:
            raise TableError(
                f"{listed(names)} have the same values to the last digit.",
                where="features.tsv",
                remedy="Leave one of them out: nobody can be compared with themselves.",
            )


def _asked(covariate: Covariate, column: pd.Series) -> Covariate:
    """Return what a person is asked for; levels that no control has are welcome, and pooled over."""
    if covariate.kind == "number":
        return Covariate(covariate.name, "number", role="reference")
    levels = tuple(sorted({level_text(value) for value in column.dropna()}))
    return Covariate(covariate.name, "category", levels, "reference")


def _check_recipes(features: FeatureTable, controls: pd.Index, patients: pd.Index) -> None:
    of_controls = set(features.recipe_hashes.reindex(controls).dropna())
    of_patients = set(features.recipe_hashes.reindex(patients).dropna())
    if of_controls and of_patients and not of_controls <= of_patients:
        raise TableError(
            "the controls' features were made with another recipe than the patients'.",
            where="features.tsv",
            remedy="Extract patients and controls with the same recipe and version.",
        )


def _check_columns(table: pd.DataFrame, columns: Sequence[str]) -> None:
    absent = [column for column in columns if column not in table.columns]
    if absent:
        raise MissingColumnError(f"participants.tsv lacks {', '.join(absent)}.", where="participants.tsv")
