"""The cohort as the models see it: one row per person, checked before anything is fitted."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from predictor.errors import (
    ConfigError,
    MissingColumnError,
    TableError,
    TrainingError,
    UnknownParticipantError,
    ValueOutOfRangeError,
)
from predictor.features.feature_catalogue import QUALITY_KIND
from predictor.features.feature_vector import FeatureDefinition
from predictor.model.harmonization import SiteHarmonization
from predictor.model.outcome_definition import MAX_ABS_VALUE, Covariate, CovariateRole, OutcomeDefinition
from predictor.model.reliability import standard_error_column
from training.cohort.baseline_inputs import ANALYSIS, is_analysis_name, late_inputs
from training.cohort.outcome import OUTCOMES, SMALLEST_SPREAD, outcome_values
from training.cohort.participants import PARTICIPANT_ID, listed, read_participants
from training.cohort.reference_cohort import ReferenceCohort, level_text, matching, read_reference_cohort
from training.config import CovariatesConfig, ExperimentConfig, FeaturesConfig
from training.evaluation.splits import GROUP_COLUMN
from training.extraction.feature_table import FeatureTable, read_feature_table
from training.models.site_harmonization import asked_for, make_harmonization

CONTROL_GROUP = "control"
MOTION_FEATURE = "quality_mean_framewise_displacement_mm"
REFUSED = "refused"
NEEDS_REFERENCE = "Deviations are learned from controls: add a section [reference] to the experiment file."


@dataclass(frozen=True, slots=True, eq=False)
class TrainingTable:
    """Everything that training reads about the cohort; rows of all parts are the same people in the same order."""

    inputs: pd.DataFrame  # index participant_id; features, covariates, and columns that only baselines read
    outcome: NDArray[np.float64]  # (n_participants,), in the outcome's unit
    outcome_definition: OutcomeDefinition
    definitions: tuple[FeatureDefinition, ...]  # measured features that the models need
    covariates: tuple[Covariate, ...]  # of the models: arm, clinical, site; and what only the reference asks for
    demographic: tuple[Covariate, ...]  # of baselines only
    motion_columns: tuple[str, ...]  # of baselines only: mean framewise displacement, one column per run
    features: FeatureTable  # as read, all people of the file
    left_out: tuple[str, ...]  # included people without features, or whose visit the quality check refuses
    reference: ReferenceCohort | None = None  # controls, who have no row here
    learned: tuple[FeatureDefinition, ...] = ()  # features of the models that the comparison with controls makes
    unweighted: tuple[str, ...] = ()  # of `definitions`, those that only this comparison needs
    harmonization: SiteHarmonization | None = None  # not fitted
    groups: tuple[str, ...] | None = None  # group of everyone: families, visits of one person; None: all stand alone

    def __post_init__(self) -> None:
        # The proof of fold isolation poisons `inputs`; a patient among the controls would be out of its reach.
        if self.reference and self.reference.step.controls.index.intersection(self.inputs.index).size:
            raise TrainingError("expected controls who are in no fold, found patients among them.", where="[reference]")

    @property
    def model_inputs(self) -> pd.DataFrame:
        """Columns of the models: features, covariates, and standard errors where a floor of reliability needs them."""
        names = [d.name for d in self.definitions]
        errors = [name for name in map(standard_error_column, names) if name in self.inputs]
        groups = [GROUP_COLUMN] if GROUP_COLUMN in self.inputs else []  # tuning keeps groups together too
        return self.inputs[names + [c.name for c in self.covariates] + errors + groups]

    @property
    def weighted_definitions(self) -> tuple[FeatureDefinition, ...]:
        """Features that the models may weigh, learned ones last."""
        return tuple(d for d in self.definitions if d.name not in self.unweighted) + self.learned

    @property
    def arms(self) -> list[str] | None:
        """Arm of everyone, None for a cohort without arms."""
        return self._labels("arm")

    @property
    def sites(self) -> list[str] | None:
        """Site of everyone, None where no site is named."""
        return self._labels("site")

    @property
    def fold_strata(self) -> list[str] | None:
        """Arms, and sites where they are harmonised: every training set needs people of both, so folds balance them."""
        return self.arms if self.harmonization is None else self.strata

    @property
    def strata(self) -> list[str] | None:
        """Arm and site of everyone, None if neither is known."""
        parts = [labels for labels in (self._labels("arm"), self._labels("site")) if labels is not None]
        return [" / ".join(labels) for labels in zip(*parts, strict=True)] if parts else None

    def _labels(self, role: CovariateRole) -> list[str] | None:
        found = [covariate for covariate in self.covariates if covariate.role == role]
        return [str(found[0].level_of(value)) for value in self.inputs[found[0].name]] if found else None


def read_training_table(config: ExperimentConfig, *, only: Collection[str] | None = None) -> TrainingTable:
    """Join features, covariates and outcome of the people that the experiment includes.

    Parameters
    ----------
    config
        The experiment.
    only
        Participants to keep of those that the experiment would train on; None keeps all.

    Raises
    ------
    TableError
        If participants are unknown, doubled or lack a covariate, a column is absent, an outcome missing or constant.
    TrainingError
        If a feature has no value for anyone.
    ConfigError
        If a family of features is not in the table.
    """
    participants = read_participants(Path(config.cohort.participants))
    features = read_feature_table(Path(config.cohort.features))
    people = _included(participants, config.cohort.include)
    _check_before_treatment(config, features)
    _check_times(config.cohort.measured, participants, features)
    treated, usable = people.index, _usable(features)
    people, left_out = _with_features(people, usable, only)
    values, definition = outcome_values(people, config.outcome, drop_missing=config.cohort.exclude_missing_outcome)
    people = people.loc[values.index]
    reference = _reference(config, participants, features, patients=people.index, treated=treated, usable=usable)
    learned = reference.learned if reference else ()
    chosen = _chosen((*features.definitions, *learned), config.features)
    needed = {definition.name for definition in chosen} | set(reference.features_needed if reference else ())
    definitions = tuple(definition for definition in features.definitions if definition.name in needed)
    covariates, demographic, harmonization = _known_besides(config, people, reference, definitions)
    motion = [d.name for d in features.definitions if d.name.startswith(MOTION_FEATURE)]
    columns = list(dict.fromkeys([*(d.name for d in definitions), *motion]))
    inputs = features.values.loc[people.index, columns]
    _check_features(inputs[[d.name for d in definitions]])
    known = people[list(dict.fromkeys(c.name for c in (*covariates, *demographic)))]
    of_participants = [column for column in config.covariates.motion if column not in inputs]
    _check_columns(people, of_participants)
    _check_names(list(inputs.columns), (*known.columns, *of_participants), outcome=definition.name)
    groups = _groups(people, config.cohort.groups)
    weighed = [*(d.name for d in chosen), *(c.name for c in covariates if c.role != "arm")]
    _check_registered_name(weighed, config)
    errors = _standard_errors(features, inputs, definitions) if config.features.minimum_reliability > 0 else inputs[[]]
    return TrainingTable(
        inputs=pd.concat(
            [inputs, _as_objects(known), _motion(people[of_participants]), errors, _group_column(groups, people.index)],
            axis=1,
        ),
        outcome=values.to_numpy(dtype=np.float64),
        outcome_definition=definition,
        definitions=definitions,
        covariates=covariates,
        demographic=demographic,
        motion_columns=(*motion, *of_participants),
        features=features,
        left_out=left_out,
        reference=reference,
        learned=tuple(one for one in learned if one in chosen),
        unweighted=tuple(one.name for one in definitions if one not in chosen),
        harmonization=harmonization,
        groups=groups,
    )


def _with_features(
    people: pd.DataFrame, usable: pd.Index, only: Collection[str] | None
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Return the people who have usable features, as far as they are asked for, and who has none."""
    has_features = people.index.isin(usable)
    left_out = tuple(str(name) for name in people.index[~has_features])
    kept = people[has_features]
    if only is not None:
        kept = kept[kept.index.isin(list(only))]
    if kept.empty:
        raise UnknownParticipantError("none of the included participants has a usable row in the feature table.")
    return kept, left_out


def _known_besides(
    config: ExperimentConfig,
    people: pd.DataFrame,
    reference: ReferenceCohort | None,
    definitions: tuple[FeatureDefinition, ...],
) -> tuple[tuple[Covariate, ...], tuple[Covariate, ...], SiteHarmonization | None]:
    """Covariates that models are asked for, those of baselines, and the step that takes site effects out."""
    covariates, demographic = _covariates(people, config.covariates)
    harmonization = None
    if config.harmonization:
        harmonization = make_harmonization(config.harmonization, people, covariates=covariates, definitions=definitions)
        covariates += asked_for(harmonization, covariates)
    of_models = {covariate.name for covariate in covariates}
    covariates += tuple(c for c in (reference.asked if reference else ()) if c.name not in of_models)
    return covariates, demographic, harmonization


def _reference(
    config: ExperimentConfig,
    participants: pd.DataFrame,
    features: FeatureTable,
    *,
    patients: pd.Index,
    treated: pd.Index,
    usable: pd.Index,
) -> ReferenceCohort | None:
    if config.reference is None:
        return None
    return read_reference_cohort(
        config.reference,
        participants,
        features,
        usable=usable,
        site=config.covariates.site,
        patients=patients,
        treated=treated,
    )


def _included(participants: pd.DataFrame, include: Mapping[str, object]) -> pd.DataFrame:
    """Rows that pass every filter; controls never do, for they were not treated."""
    keep = matching(participants, include)
    if "group" in participants:
        keep &= (participants["group"].astype(str) != CONTROL_GROUP).to_numpy()
    if not keep.any():
        raise TrainingError("no participant passes the filters.", where="[cohort] include")
    return participants[keep]


def _usable(features: FeatureTable) -> pd.Index:
    """Return the people whose visit would also be scored: training on what is refused later would be another model."""
    if "status" not in features.quality:
        return features.values.index
    return features.quality.index[(features.quality["status"] != REFUSED).to_numpy()]


def _chosen(definitions: Sequence[FeatureDefinition], config: FeaturesConfig) -> tuple[FeatureDefinition, ...]:
    """Features asked for by family and name; all but the quality measures when none is."""
    families = config.families
    known = sorted({definition.family for definition in definitions})
    unknown = sorted(set(families) - set(known))
    if unknown:
        raise ConfigError(
            f"the feature table has no family {', '.join(unknown)}; it has {', '.join(known)}.",
            where="[features] families",
            remedy=NEEDS_REFERENCE if any(name.startswith("deviation_") for name in unknown) else "",
        )
    chosen = tuple(d for d in definitions if (d.family in families if families else d.kind != QUALITY_KIND))
    if not chosen:
        raise TrainingError("the feature table holds no features to train on.", where="[features] families")
    absent = sorted(set(config.names) - {definition.name for definition in chosen})
    if absent:
        raise ConfigError(
            f"the feature table has no {listed(absent)} among the families asked for.", where="[features] names"
        )
    return tuple(definition for definition in chosen if not config.names or definition.name in config.names)


def _check_registered_name(inputs: Sequence[str], config: ExperimentConfig) -> None:
    """Ask for a name that says so where a later measure is needed: such a model is no version of a predictor.

    The promotion gate refuses it in any case; the name keeps it apart on the shelf.
    """
    late, registered = late_inputs(inputs, config.cohort.measured), config.tracking.registered_model
    if late and not is_analysis_name(registered):
        first, reason = next(iter(late.items()))
        raise ConfigError(
            f"{listed(list(late))} cannot be measured before treatment ({first}: {reason}); expected a registered name "
            f"that ends in {ANALYSIS}, got {registered!r}.",
            where="[tracking] registered_model",
            remedy=f"Name it {registered}-{ANALYSIS}, or leave these inputs out. A column that only sounds late is "
            'declared: [cohort] measured = { column = "baseline" }.',
        )


def _covariates(people: pd.DataFrame, config: CovariatesConfig) -> tuple[tuple[Covariate, ...], tuple[Covariate, ...]]:
    """Covariates of the models, and those of baselines."""
    roles: list[tuple[str, CovariateRole]] = [(config.arm, "arm")] if config.arm else []
    roles += [(column, "clinical") for column in config.clinical]
    roles += [(config.site, "site")] if config.site else []
    demographic: list[tuple[str, CovariateRole]] = [(column, "demographic") for column in config.demographic]
    _check_columns(people, [column for column, _ in roles + demographic])
    of_models = tuple(_covariate(people[column], role, treatment=config.treatment) for column, role in roles)
    return of_models, tuple(_covariate(people[column], role, treatment=None) for column, role in demographic)


def _covariate(column: pd.Series, role: CovariateRole, *, treatment: str | None) -> Covariate:
    name = str(column.name)
    if column.isna().any():
        absent = [str(person) for person in column.index[column.isna()]]
        raise TableError(
            f"{name} is missing for {len(absent)} of {len(column)} participants: {listed(absent)}.",
            where=f"participants.tsv, column {name}",
            remedy="Fill the column in, leave it out of the experiment, or leave these participants out on purpose.",
        )
    if pd.api.types.is_numeric_dtype(column) and role not in ("arm", "site"):
        _check_spread(column.to_frame(), where="participants.tsv")
        return Covariate(name, "number", role=role)
    numbers = pd.to_numeric(column, errors="coerce")
    if role in ("clinical", "demographic") and numbers.notna().any():
        odd = [str(person) for person in column.index[~(numbers.abs() <= MAX_ABS_VALUE)]]
        raise ValueOutOfRangeError(
            f"{name} holds numbers, but none that can be used for {listed(odd)}.",
            where=f"participants.tsv, column {name}",
            remedy="Correct these cells, or write n/a; a column of categories holds words only.",
        )
    levels = sorted({level_text(value) for value in column})
    _check_spelling(name, levels)
    if role == "arm":
        _check_arms(levels, treatment)
        levels.sort(key=lambda level: (level != treatment, level))
    return Covariate(name, "category", tuple(levels), role)


def _check_spelling(name: str, levels: Sequence[str]) -> None:
    """Refuse categories that are one word in two spellings: they would count as two arms, or two sites."""
    spellings: dict[str, list[str]] = {}
    for level in levels:
        spellings.setdefault(" ".join(unicodedata.normalize("NFKC", level).casefold().split()), []).append(level)
    doubled = [" = ".join(map(repr, same)) for same in spellings.values() if len(same) > 1]
    if doubled:
        raise TableError(
            f"{name} holds one category in several spellings: {listed(doubled)}.",
            where=f"participants.tsv, column {name}",
            remedy="Write every category in one way; if they are different, give them names that differ in more.",
        )


def _check_arms(levels: list[str], treatment: str | None) -> None:
    if treatment and treatment not in levels:
        raise ConfigError(
            f"the treatment {treatment!r} is no arm of the cohort; it has {', '.join(levels)}.",
            where="[covariates] treatment",
        )


def _check_features(features: pd.DataFrame) -> None:
    """Refuse features that nobody has, for no imputation can make up for them, and numbers whose squares overflow."""
    empty = [str(name) for name in features.columns[features.isna().all()]]
    if empty:
        raise TrainingError(
            f"{len(empty)} of {features.shape[1]} features have no value for any participant: {listed(empty)}.",
            where="features.tsv",
            remedy="Leave their family out of [features] families, or find out why extraction could not compute them.",
        )
    _check_spread(features, where="features.tsv")
    huge = [str(name) for name in features.columns[(features.abs() > MAX_ABS_VALUE).any()]]
    if huge:
        raise ValueOutOfRangeError(f"numbers above {MAX_ABS_VALUE:g} stand in {listed(huge)}.", where="features.tsv")


def _check_spread(columns: pd.DataFrame, *, where: str) -> None:
    """Refuse numbers so close to each other that the squares of their differences vanish."""
    spread = (columns.max() - columns.min()).to_numpy()
    tiny = [str(name) for name in columns.columns[(spread > 0) & (spread < SMALLEST_SPREAD)]]
    if tiny:
        raise ValueOutOfRangeError(
            f"people differ by less than {SMALLEST_SPREAD:g} in {listed(tiny)}.",
            where=where,
            remedy="Give the numbers in another unit, or leave the column out.",
        )


def _standard_errors(
    features: FeatureTable, inputs: pd.DataFrame, definitions: Sequence[FeatureDefinition]
) -> pd.DataFrame:
    """Return standard errors of the measured features under the names that the design looks for."""
    errors = features.standard_errors.reindex(index=inputs.index, columns=[d.name for d in definitions])
    if not np.isfinite(errors.to_numpy(dtype=np.float64, na_value=np.nan)).any():
        raise TrainingError(
            "a floor of reliability needs standard errors, but none is known for the features.",
            where="[features] minimum_reliability",
            remedy="Extract the features from scans (standard_errors.tsv stands beside features.tsv), or set it to 0.",
        )
    return errors.rename(columns=standard_error_column)


def _groups(people: pd.DataFrame, column: str) -> tuple[str, ...] | None:
    """Return the group of everyone; people with an empty cell are a group of their own."""
    if not column:
        return None
    if column == PARTICIPANT_ID:
        raise ConfigError(
            "everyone would be a group of one: the rows of participants.tsv are people already.",
            where="[cohort] groups",
            remedy="Name the column of the families, or leave groups out.",
        )
    _check_columns(people, [column])
    alone = people[column].isna()
    return tuple(
        f"alone: {person}" if is_alone else f"group: {level_text(group)}"
        for person, group, is_alone in zip(people.index, people[column], alone, strict=True)
    )


def _group_column(groups: tuple[str, ...] | None, people: pd.Index) -> pd.DataFrame:
    columns = {} if groups is None else {GROUP_COLUMN: list(groups)}
    return pd.DataFrame(columns, index=people, dtype=object)


def _check_names(features: Sequence[str], known: Sequence[str], *, outcome: str) -> None:
    """Refuse columns that stand on both sides, an outcome among the features, and names that we use ourselves."""
    own = {GROUP_COLUMN, *map(standard_error_column, features)}
    taken = sorted(own & {*features, *known})
    if taken:
        raise TableError(f"{listed(taken)} is a name that training needs itself.", remedy="Rename the column.")
    shared = sorted(set(features) & {*known, outcome})
    if shared:
        raise TableError(
            f"{listed(shared)} stand in the feature table and among covariates or outcome.",
            where="features.tsv",
            remedy="Take the column out of the feature table, or rename it.",
        )


def _check_times(measured: Mapping[str, object], participants: pd.DataFrame, features: FeatureTable) -> None:
    """Refuse times of measurement of what is nowhere: a slip of the pen would leave a late measure undeclared."""
    families = {part for d in features.definitions for part in (d.family, d.name.split("__")[0])}
    unknown = sorted(set(measured) - families - {*features.values.columns, *participants.columns})
    if unknown:
        raise ConfigError(
            f"neither table has a column or family {listed(unknown)}.",
            where="[cohort] measured",
            remedy="Name columns of features.tsv or participants.tsv, or the part of features' names before `__`.",
        )


def _check_before_treatment(config: ExperimentConfig, features: FeatureTable) -> None:
    """Refuse scores from after the treatment as anything that a model is told."""
    after = {outcome.columns[1] for outcome in OUTCOMES.values()} | {config.outcome.column}
    covariates, reference, harmonization = config.covariates, config.reference, config.harmonization
    clinical, demographic = covariates.clinical, covariates.demographic
    told = {
        "[covariates]": (covariates.arm, covariates.site, *clinical, *demographic, *covariates.motion),
        "[cohort] groups": (config.cohort.groups,),
        "[reference] covariates": reference.covariates if reference else (),
        "[harmonization] preserved": harmonization.preserved if harmonization else (),
        "features.tsv": tuple(features.values.columns),
    }
    for where, names in told.items():
        found = sorted({str(name) for name in names if name} & after)
        if found:
            raise ConfigError(
                f"{listed(found)} is the outcome, or known only after the treatment; a model cannot be given it.",
                where=where,
                remedy="Take the column out.",
            )


def _motion(motion: pd.DataFrame) -> pd.DataFrame:
    """Return the columns as numbers; missing ones are left to the baseline's imputation."""
    words = [str(name) for name in motion if not pd.api.types.is_numeric_dtype(motion[name])]
    if words:
        raise ValueOutOfRangeError(
            f"expected numbers in {listed(words)}, found other values.",
            where=f"participants.tsv, column {words[0]}",
        )
    return motion.astype(np.float64)


def _check_columns(table: pd.DataFrame, columns: Sequence[str]) -> None:
    absent = [column for column in columns if column not in table.columns]
    if absent:
        raise MissingColumnError(f"participants.tsv lacks {', '.join(absent)}.", where="participants.tsv")


def _as_objects(known: pd.DataFrame) -> pd.DataFrame:
    """Text columns as Python strings: pandas' Arrow strings are slow to slice, and folds slice thousands of times."""
    text = [column for column in known if not pd.api.types.is_numeric_dtype(known[column])]
    return known.astype(dict.fromkeys(text, object))
