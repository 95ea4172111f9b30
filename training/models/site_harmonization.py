"""Section [harmonization] of an experiment as the step that models put before everything else."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from predictor.errors import ConfigError, MissingColumnError, TableError
from predictor.features.feature_vector import FeatureDefinition
from predictor.model.harmonization import SiteHarmonization
from predictor.model.outcome_definition import Covariate
from training.cohort.participants import listed
from training.cohort.reference_cohort import level_text
from training.config import HarmonizationConfig


def make_harmonization(
    config: HarmonizationConfig,
    people: pd.DataFrame,
    *,
    covariates: Sequence[Covariate],
    definitions: Sequence[FeatureDefinition],
) -> SiteHarmonization:
    """Unfitted step for the features that models weigh.

    Parameters
    ----------
    config
        The section.
    people
        participants.tsv of the people of the folds.
    covariates
        Of the models; the site is one of them.
    definitions
        Features that the models weigh.

    Raises
    ------
    ConfigError
        If there are no features of a family, or nobody is from the reference site.
    TableError
        If a preserved column is absent, or missing for someone.
    """
    site = next(covariate for covariate in covariates if covariate.role == "site")
    known = {definition.family for definition in definitions}
    unknown = sorted(set(config.families) - known)
    if unknown:
        raise ConfigError(
            f"no feature of the models is of family {', '.join(unknown)}; they are of {', '.join(sorted(known))}.",
            where="[harmonization] families",
        )
    if config.reference_site and config.reference_site not in site.levels:
        raise ConfigError(
            f"nobody is from {config.reference_site!r}; the sites are {', '.join(site.levels)}.",
            where="[harmonization] reference_site",
        )
    wanted = config.families or tuple(known)
    return SiteHarmonization(
        features=tuple(definition.name for definition in definitions if definition.family in wanted),
        site=site,
        preserved=tuple(_preserved(people, column, covariates) for column in config.preserved),
        unseen_site=config.unseen_site,
        reference_site=config.reference_site or None,
    )


def _preserved(people: pd.DataFrame, column: str, covariates: Sequence[Covariate]) -> Covariate:
    """Return the column as a covariate that is encoded, whatever its role in the models."""
    where = f"participants.tsv, column {column}"
    if column not in people:
        raise MissingColumnError(f"participants.tsv lacks {column}.", where="[harmonization] preserved")
    if any(covariate.name == column and covariate.role in ("arm", "site") for covariate in covariates):
        raise ConfigError(f"{column} is arm or site, which cannot be preserved.", where="[harmonization] preserved")
    values = people[column]
    if values.isna().any():
        absent = [str(person) for person in people.index[values.isna()]]
        raise TableError(
            f"{column} is missing for {len(absent)} of {len(people)} participants: {listed(absent)}.",
            where=where,
            remedy="Fill the column in, or take it out of [harmonization] preserved.",
        )
    if pd.api.types.is_numeric_dtype(values):
        return Covariate(column, "number", role="clinical")
    # Role site: a level that is not known counts as missing, and takes the training mean.
    return Covariate(column, "category", tuple(sorted({level_text(value) for value in values})), "site")


def asked_for(step: SiteHarmonization, covariates: Sequence[Covariate]) -> tuple[Covariate, ...]:
    """Covariates that only harmonisation asks a person for: no inputs of the models."""
    known = {covariate.name for covariate in covariates}
    return tuple(
        Covariate(one.name, one.kind, one.levels, "reference") for one in step.preserved if one.name not in known
    )
