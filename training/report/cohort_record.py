"""Who and what entered an experiment, in numbers: people from the list to the folds, features from table to fit.

Nothing here belongs to one person: ages are told by decade, quartiles are weighted means over everyone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import mstats

from predictor.errors import TableError
from predictor.features.feature_catalogue import QUALITY_KIND
from predictor.model.reliability import reliability, standard_error_column
from training.cohort.participants import read_participants
from training.cohort.reference_cohort import level_text, matching
from training.config import ExperimentConfig
from training.evaluation.small_cells import FEWEST_SHOWN
from training.evaluation.split_manifest import SplitManifest
from training.report.record_facts import harmonization_document, people_per_arm, reference_document
from training.training_table import CONTROL_GROUP, TrainingTable

Flow = list[dict[str, Any]]

AGE, SEX = "age", "sex"
PLANTED_TRUTH = "planted_truth.json"
SYNTHETIC = "synthetic"
DECADE = 10
PARTICIPANT_ID = "participant_id"
QUARTILES = (0.25, 0.5, 0.75)
FILE_NOT_AT_HAND = "participants.tsv is not at hand"


def is_synthetic(config: ExperimentConfig) -> bool:
    """Whether the cohort says that it was simulated: by its name, or by the truth that was planted beside it."""
    truth = Path(config.cohort.participants).parent / PLANTED_TRUTH
    return SYNTHETIC in f"{config.name} {config.cohort.name}".lower() or truth.is_file()


def shown_include(config: ExperimentConfig) -> dict[str, object]:
    """Return who is included, column by column; people who are named one by one are only counted."""
    shown = dict(config.cohort.include)
    if PARTICIPANT_ID in shown:
        named = shown[PARTICIPANT_ID]
        shown[PARTICIPANT_ID] = f"one of {len(named) if isinstance(named, list | tuple) else 1} named in the file"
    return shown


def data_flow(table: TrainingTable, config: ExperimentConfig, manifest: SplitManifest) -> Flow:
    """Return how many people, then how many features, are left after each stage; n is None where it is not known."""
    return [*_people(table, config), *_folds(manifest), *_features(table, config)]


def cohort_document(table: TrainingTable, config: ExperimentConfig) -> dict[str, Any]:
    """Return what the people are like, as sums and means over many of them."""
    people, outcome = _known_about(table, config), table.outcome
    return {
        "name": config.cohort.name or config.name,
        "n_participants": len(outcome),
        "n_left_out": len(table.left_out),
        "n_per_arm": people_per_arm(table),
        "n_per_site": _counts(table.sites) if table.sites else {},
        "n_groups": None if table.groups is None else len(set(table.groups)),
        "age": _age(people),
        "sex": _counts([level_text(value) for value in people[SEX].dropna()]) if SEX in people else None,
        "outcome": {
            "mean": float(outcome.mean()),
            "sd": float(outcome.std(ddof=1)),
            # Harrell-Davis: a plain quartile can be the outcome of one person.
            "quartiles": [float(one) for one in np.asarray(mstats.hdquantiles(outcome, QUARTILES))],
        },
        "missing": _missing(table),
        "reference": reference_document(table),
    }


def features_document(table: TrainingTable) -> dict[str, Any]:
    """Return which features the models may weigh, and how they were made."""
    weighted = table.weighted_definitions
    hashes = table.features.recipe_hashes.reindex(table.inputs.index).dropna()
    families = {
        family: {
            "n": sum(one.family == family for one in weighted),
            "unit": next(one.unit for one in weighted if one.family == family),
        }
        for family in dict.fromkeys(one.family for one in weighted)
    }
    return {
        "n": len(weighted),
        "families": families,
        "digest": table.features.digest,
        "recipe": table.features.recipe.document() if table.features.recipe else None,
        "recipe_hashes": sorted({str(one) for one in hashes}),
        "covariates": [{"name": one.name, "role": one.role, "kind": one.kind} for one in table.covariates],
        "harmonization": harmonization_document(table),
    }


def _people(table: TrainingTable, config: ExperimentConfig) -> Flow:
    n_analysed, n_left_out = len(table.outcome), len(table.left_out)
    listed, included = _listed_and_included(config)
    if included is None and not config.cohort.exclude_missing_outcome:
        included = n_analysed + n_left_out  # a missing outcome would have been an error
    n_usable = None if included is None else included - n_left_out
    filters = ", ".join(f"{name} = {value}" for name, value in shown_include(config).items())
    flow = [
        _stage("listed in participants.tsv", listed, "" if listed is not None else FILE_NOT_AT_HAND),
        _stage("included", included, filters or "no filter; controls never are"),
        _stage("with usable features", n_usable, f"{n_left_out} without features, or refused by the quality check"),
        _stage("with an outcome", n_analysed, table.outcome_definition.name),
    ]
    if table.reference:
        flow.append(_stage("controls apart, as reference", table.reference.n_people, "in no fold", kind="reference"))
    return flow


def _listed_and_included(config: ExperimentConfig) -> tuple[int | None, int | None]:
    try:
        participants = read_participants(Path(config.cohort.participants))
        keep = matching(participants, config.cohort.include)
    except TableError:  # the cohort was handed over in memory
        return None, None
    if "group" in participants:
        keep &= (participants["group"].astype(str) != CONTROL_GROUP).to_numpy()
    return len(participants), int(keep.sum())


def _folds(manifest: SplitManifest) -> Flow:
    n_people = len(manifest.participants)
    sizes = [int((repeat == fold).sum()) for repeat in manifest.partitions for fold in np.unique(repeat)]
    test, training = _range(sizes), _range([n_people - size for size in sizes])
    repeats = f" in each of {len(manifest.partitions)} repeats" if len(manifest.partitions) > 1 else ""
    how_often = f"{len(sizes) // len(manifest.partitions)} folds{repeats}"
    return [
        _stage("training people of an outer fold", n_people - max(sizes), training, kind="fold"),
        _stage("held out in an outer fold", max(sizes), "; ".join(filter(None, [test, how_often])), kind="fold"),
    ]


def _features(table: TrainingTable, config: ExperimentConfig) -> Flow:
    wanted = config.features
    known = (*table.features.definitions, *(table.reference.learned if table.reference else ()))
    of_families = sum(one.family in wanted.families if wanted.families else one.kind != QUALITY_KIND for one in known)
    chosen = len(table.weighted_definitions)
    families = ", ".join(wanted.families) or "all but quality measures"
    flow = [
        _stage("in the feature table", len(table.features.definitions), "", kind="features"),
        _stage("in the families asked for", of_families, families, kind="features"),
    ]
    if wanted.names:
        flow.append(_stage("named beforehand", chosen, f"{len(wanted.names)} names", kind="features"))
    if wanted.minimum_reliability > 0:
        kept = chosen - _n_unreliable(table, wanted.minimum_reliability)
        detail = f"reliability of at least {wanted.minimum_reliability:g} over everyone; each fold decides anew"
        flow.append(_stage("reliable enough", kept, detail, kind="features"))
    return flow


def _n_unreliable(table: TrainingTable, minimum: float) -> int:
    """Count features below the floor over all people; a feature without standard errors is kept."""
    names = [one.name for one in table.definitions if one.name not in table.unweighted]
    columns = [standard_error_column(name) for name in names]
    if not names or any(column not in table.inputs for column in columns):
        return 0
    found = reliability(_numbers(table.inputs[names]), _numbers(table.inputs[columns]))
    return int((found < minimum).sum())


def _known_about(table: TrainingTable, config: ExperimentConfig) -> pd.DataFrame:
    """Age and sex of the people, from the experiment's own columns, or else from the list of participants."""
    own = [name for name in (AGE, SEX) if name in table.inputs]
    known = table.inputs[own]
    try:
        listed = read_participants(Path(config.cohort.participants))
    except TableError:
        return known
    others = [name for name in (AGE, SEX) if name in listed and name not in own]
    return pd.concat([known, listed.reindex(table.inputs.index)[others]], axis=1)


def _age(people: pd.DataFrame) -> dict[str, float | int] | None:
    ages = pd.to_numeric(people[AGE], errors="coerce").dropna() if AGE in people else pd.Series(dtype=float)
    if len(ages) < FEWEST_SHOWN:  # mean and spread of two ages are those two
        return None
    return {
        "mean": float(ages.mean()),
        "sd": float(ages.std(ddof=1)),
        "min_decade": int(ages.min() // DECADE * DECADE),
        "max_decade": int(ages.max() // DECADE * DECADE),
        "n_known": len(ages),
    }


def _missing(table: TrainingTable) -> dict[str, float]:
    """Share of missing values by family of measured features."""
    shares = {}
    for family in dict.fromkeys(one.family for one in table.definitions):
        names = [one.name for one in table.definitions if one.family == family]
        shares[family] = float(np.isnan(_numbers(table.inputs[names])).mean())
    return shares


def _numbers(values: pd.DataFrame) -> NDArray[np.float64]:
    return values.to_numpy(dtype=np.float64, na_value=np.nan)


def _counts(labels: Sequence[str]) -> dict[str, int]:
    return dict(sorted(Counter(labels).items()))


def _range(sizes: Sequence[int]) -> str:
    return "" if min(sizes) == max(sizes) else f"{min(sizes)} to {max(sizes)} people"


def _stage(stage: str, n: int | None, detail: str, *, kind: str = "people") -> dict[str, Any]:
    return {"stage": stage, "n": n, "detail": detail, "kind": kind}
