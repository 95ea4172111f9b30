"""The model bundle: everything that answering needs, in a folder of plain numbers and text that can be verified."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from predictor.errors import BundleIncompatibleError, ModelBundleError, PredictorError
from predictor.features.feature_vector import FeatureDefinition
from predictor.features.recipe import Recipe, recipe_from_document
from predictor.model.array_file import array_bytes, array_from_bytes
from predictor.model.bundle_arrays import (
    EVERY_ARRAY,
    array_path,
    arrays_in,
    ensemble_of,
    model_of,
    model_records,
)
from predictor.model.canonical_json import canonical_json, parse_json
from predictor.model.learned_features import LearnedDeviations
from predictor.model.out_of_fold import OutOfFoldResiduals
from predictor.model.outcome_definition import Covariate, OutcomeDefinition
from predictor.model.reading_matter import parse_reading_matter, reading_matter_files, reading_matter_in
from predictor.model.reference_model import ReferenceModel
from predictor.model.response_model import ModelEnsemble, ResponseModel
from predictor.model.scoring_plan import ScoringPlan, prepare_scoring
from predictor.model.sealed_folder import read_sealed_folder, write_sealed_folder
from predictor.model.site_correction import SiteCorrection, UnseenSitePolicy
from predictor.model.training_range import TrainingRange
from predictor.model.tree_model import TreeResponseModel
from predictor.record_card import RESEARCH_USE_ONLY, PresentedRecord, RecordCard, counted, shortened

# 2: deviations from a reference of controls. Version 1 belongs to recipes that this version no longer computes, so
# such bundles are refused rather than read halfway.
SCHEMA_VERSION = 2
# The same with trees; written only where there are some, so that linear bundles keep their bytes.
SCHEMA_VERSION_WITH_TREES = 3
DOCUMENT = "bundle.json"
# A weighted sum that needs more does not select; of trees, fewer are made (training/final_model.py).
MAX_FOLD_MODELS_BYTES = 20_000_000
MAX_BOOTSTRAP_MODELS_BYTES = 40_000_000


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ModelBundle(PresentedRecord):
    """A trained model with what it takes to doubt it.

    Inputs of all models: the features of `definitions`, then the learned features of `deviations`, then the inputs of
    `covariates`, in order. A person brings the first and the last.
    """

    name: str
    outcome: OutcomeDefinition
    definitions: tuple[FeatureDefinition, ...]  # measured features that the model needs
    covariates: tuple[Covariate, ...]  # the arm among them, when there is one
    recipe: Recipe | None  # None: trained on ready features, so scans cannot be scored
    recipe_hashes: tuple[str, ...]  # recipes of the training features
    model: ResponseModel
    fold_models: ModelEnsemble  # of the K-fold partition of `out_of_fold`
    out_of_fold: OutOfFoldResiduals
    bootstrap_models: ModelEnsemble
    training_range: TrainingRange
    trained_on: int  # people
    unseen_site_policy: UnseenSitePolicy = "flag"
    deviations: LearnedDeviations | None = None  # None: the model compares no one with controls
    # Takes site effects out of the measured features before any model sees them; None: they stay as measured.
    harmonization: SiteCorrection | None = None
    card: Mapping[str, Any] = field(default_factory=dict)  # JSON-able
    # What `krp evaluate` needs of the training people, JSON-able; None: the bundle was made before that.
    locked_test: Mapping[str, Any] | None = None
    card_text: str = ""  # the card in Markdown
    tripod_ai: tuple[Mapping[str, Any], ...] = ()  # rows of the TRIPOD+AI table, JSON-able
    tripod_ai_text: str = ""  # the table in Markdown
    versions: Mapping[str, str] = field(default_factory=dict)
    digest: str | None = None  # of the folder it was loaded from
    plan: ScoringPlan = field(init=False, repr=False)  # follows from the parts; every answer needs it

    def __post_init__(self) -> None:
        input_names = _input_names(self.definitions, self.deviations, self.covariates)
        if self.model.input_names != input_names:
            raise ModelBundleError("the model's inputs are not the bundle's features followed by its covariates.")
        known = {*input_names[: len(self.definitions)], *(covariate.name for covariate in self.covariates)}
        if self.deviations and not known.issuperset(self.deviations.reference.inputs):
            raise ModelBundleError("the reference judges features, or by covariates, that nobody is asked for.")
        if self.deviations and isinstance(self.model, TreeResponseModel):
            raise ModelBundleError("expected trees or a reference of controls, found both.")
        levels = next((covariate.levels for covariate in self.covariates if covariate.role == "arm"), None)
        if levels is not None and self.arms != levels:
            raise ModelBundleError("the model's arms are not the levels of the arm covariate.")
        self._check_sizes()
        if self.unseen_site_policy not in get_args(UnseenSitePolicy):
            raise ModelBundleError(f"expected policy flag, reference or refuse, found {self.unseen_site_policy!r}.")
        self._check_harmonization()
        plan = prepare_scoring(
            definitions=self.definitions,
            covariates=self.covariates,
            recipe=self.recipe,
            model=self.model,
            out_of_fold=self.out_of_fold,
            training_range=self.training_range,
            deviations=self.deviations,
            harmonization=self.harmonization,
        )
        object.__setattr__(self, "plan", plan)

    @property
    def arms(self) -> tuple[str, ...]:
        """Arms that the model answers for; the first is the treatment of interest."""
        return self.model.arms

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the measured features, in order."""
        return self.plan.feature_names

    @property
    def n_features(self) -> int:
        """Number of inputs that are features, learned ones included; covariates follow."""
        return self.plan.n_features

    @property
    def source_numbers(self) -> list[int]:
        """Which of the measured features are judged by the reference, in its order."""
        return self.plan.source_numbers

    @property
    def is_needed(self) -> NDArray[np.bool_]:
        """Whether a measured feature has any influence, itself or through learned ones, shape (n_definitions,)."""
        return self.plan.is_needed

    @property
    def harmonised_numbers(self) -> list[int]:
        """Which of the measured features are harmonised, in the correction's order."""
        return self.plan.harmonised_numbers

    def _one_line(self) -> str:
        arms = "" if self.arms == ("all",) else f", arms {' and '.join(self.arms)}"
        return (
            f"{self.name}: {self.outcome.name} in {self.outcome.unit} from {len(self.definitions)} features{arms}, "
            f"trained on {counted(self.trained_on, 'person', 'people')}"
        )

    def _card(self) -> RecordCard:
        families = Counter(definition.family for definition in self.definitions)
        scans = "no: trained on ready features" if self.recipe is None else f"yes: {self.recipe._one_line()}"
        facts = (
            ("outcome", f"{self.outcome.name} ({self.outcome.unit}), {self.outcome.better} is better"),
            ("response", self.outcome.response_rule or "no rule"),
            ("features", ", ".join(f"{count} {family}" for family, count in families.items())),
            ("asks for", "; ".join(_asked(covariate) for covariate in self.covariates) or "nothing but features"),
            ("scores scans", scans),
            ("digest", shortened(self.digest)),
        )
        remarks = ("How good it is, and for whom: card_text. " + RESEARCH_USE_ONLY,)
        return RecordCard(f"Model {self._one_line()}", facts=facts, remarks=remarks)

    def _check_harmonization(self) -> None:
        correction = self.harmonization
        if correction is None:
            return
        asked = {covariate.name for covariate in self.covariates}
        needed = {correction.site, *(covariate.name for covariate in correction.preserved)}
        if not set(correction.features) <= {definition.name for definition in self.definitions} or not needed <= asked:
            raise ModelBundleError("the harmonisation needs features or covariates that nobody is asked for.")
        if self.deviations:
            raise ModelBundleError("expected harmonisation or a reference of controls, found both.")

    def _check_sizes(self) -> None:
        n_inputs, n_arms = len(self.model.input_names), len(self.arms)
        for ensemble in (self.fold_models, self.bootstrap_models):
            if (ensemble.n_inputs, ensemble.n_arms) != (n_inputs, n_arms):
                raise ModelBundleError(f"expected fold and bootstrap models of {n_inputs} inputs and {n_arms} arms.")
        if self.out_of_fold.fold_index.max() >= self.fold_models.n_models:
            raise ModelBundleError("residuals refer to folds that have no model.")
        if self.out_of_fold.arm_index.max() >= n_arms:
            raise ModelBundleError("residuals refer to arms that the model does not have.")
        if len(self.training_range.mean) != n_inputs or self.training_range.n_features != len(self.definitions):
            raise ModelBundleError("the training range does not describe the model's inputs.")
        limits = {"fold": MAX_FOLD_MODELS_BYTES, "bootstrap": MAX_BOOTSTRAP_MODELS_BYTES}
        for (kind, limit), ensemble in zip(limits.items(), (self.fold_models, self.bootstrap_models), strict=True):
            if ensemble.n_bytes > limit:
                raise ModelBundleError(
                    f"the {kind} models take {ensemble.n_bytes} bytes, expected at most {limit}.",
                    remedy="Keep fewer of them, or choose a model that selects features.",
                )


def save_bundle(bundle: ModelBundle, folder: Path) -> str:
    """Write the bundle's folder whole or not at all; equal content gives equal bytes.

    Returns
    -------
    str
        Digest of the manifest, "sha256:...".

    Raises
    ------
    ModelBundleError
        If something else stands there, or the card holds what JSON cannot.
    """
    try:
        files = {
            DOCUMENT: canonical_json(_document(bundle)),
            **reading_matter_files(bundle.card, bundle.card_text, bundle.tripod_ai, bundle.tripod_ai_text),
        }
    except (TypeError, ValueError) as error:
        raise ModelBundleError("the card or versions hold what JSON cannot: text, finite numbers, lists.") from error
    parts = model_records(bundle.model, bundle.fold_models, bundle.bootstrap_models)
    parts |= {"out_of_fold": bundle.out_of_fold, "training_range": bundle.training_range}
    if bundle.deviations:
        parts |= {"reference": bundle.deviations.reference, "deviations": bundle.deviations}
    if bundle.harmonization:
        parts |= {"harmonization": bundle.harmonization}
    for part, record in parts.items():
        for name in EVERY_ARRAY[part]:
            files[array_path(part, name)] = array_bytes(getattr(record, name))
    return write_sealed_folder(folder, files)


def verify_bundle(folder: Path) -> str:
    """Return the manifest's digest after checking every file against it; nothing is interpreted.

    Raises
    ------
    BundleDamagedError
        If a file is missing, added, changed, too large or a link.
    """
    return read_sealed_folder(folder, expected=_file_names(folder, arrays_in(folder)))[1]


def load_bundle(folder: Path | str) -> ModelBundle:
    """Verify the folder, then build the bundle from the very bytes that were verified.

    Raises
    ------
    BundleDamagedError
        If a file is missing, added, changed, too large, a link, or no such array.
    BundleIncompatibleError
        If another version of this software wrote it, or its parts do not fit together.
    """
    folder = Path(folder)
    described = arrays_in(folder)
    files, digest = read_sealed_folder(folder, expected=_file_names(folder, described))
    document = _parse_document(files[DOCUMENT]) | parse_reading_matter(files)
    arrays = {
        part: {
            name: array_from_bytes(
                files[array_path(part, name)], dtype=dtype, n_dimensions=n, where=array_path(part, name)
            )
            for name, (dtype, n) in fields.items()
        }
        for part, fields in described.items()
    }
    try:
        return _bundle_of(document, arrays, digest)
    except (PredictorError, LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise BundleIncompatibleError(
            f"the parts of the bundle do not fit together: {error}", where=DOCUMENT
        ) from error


def _asked(covariate: Covariate) -> str:
    values = covariate.levels or (covariate.unit,)
    return " ".join(filter(None, [covariate.name, f"({', '.join(values)})" if any(values) else ""]))


def _has_trees(bundle: ModelBundle) -> bool:
    return isinstance(bundle.model, TreeResponseModel)


def _file_names(folder: Path, described: Mapping[str, Mapping[str, object]]) -> frozenset[str]:
    arrays = (array_path(part, name) for part, fields in described.items() for name in fields)
    return frozenset({DOCUMENT, *reading_matter_in(folder), *arrays})


def _input_names(
    definitions: tuple[FeatureDefinition, ...],
    deviations: LearnedDeviations | None,
    covariates: tuple[Covariate, ...],
) -> tuple[str, ...]:
    measured = tuple(definition.name for definition in definitions)
    learned = deviations.names if deviations else ()
    return measured + learned + tuple(name for covariate in covariates for name in covariate.input_names)


def _parse_document(content: bytes) -> dict[str, Any]:
    try:
        document = parse_json(content)
    except ValueError as error:
        raise BundleIncompatibleError("expected a JSON document.", where=DOCUMENT) from error
    version = document.get("schema_version") if isinstance(document, dict) else None
    known = (SCHEMA_VERSION, SCHEMA_VERSION_WITH_TREES)
    if version not in known:
        raise BundleIncompatibleError(
            f"expected a bundle of schema version {' or '.join(map(str, known))}, found {str(version)[:20]}.",
            where=DOCUMENT,
        )
    return dict(document)


def _document(bundle: ModelBundle) -> dict[str, Any]:
    """Everything that is not an array."""
    return {
        "schema_version": SCHEMA_VERSION_WITH_TREES if _has_trees(bundle) else SCHEMA_VERSION,
        "name": bundle.name,
        "outcome": bundle.outcome.document(),
        "definitions": _definitions_document(bundle.definitions),
        "deviations": _deviations_document(bundle.deviations) if bundle.deviations else None,
        "harmonization": _harmonization_document(bundle.harmonization) if bundle.harmonization else None,
        "covariates": [covariate.document() for covariate in bundle.covariates],
        "arms": list(bundle.arms),
        "recipe": bundle.recipe.document() if bundle.recipe else None,
        "recipe_hashes": list(bundle.recipe_hashes),
        "training_range": {
            "n_people": bundle.training_range.n_people,
            "largest_distance": bundle.training_range.largest_distance,
            "largest_motion_mm": dict(bundle.training_range.largest_motion_mm),
        },
        "trained_on": bundle.trained_on,
        "unseen_site_policy": bundle.unseen_site_policy,
        # Left out where there is none, so that older bundles keep their bytes.
        **({"locked_test": dict(bundle.locked_test)} if bundle.locked_test else {}),
        "versions": dict(bundle.versions),
    }


def _definitions_document(definitions: tuple[FeatureDefinition, ...]) -> dict[str, list[str]]:
    return {name: [getattr(d, name) for d in definitions] for name in FeatureDefinition.__slots__}


def _definitions_of(columns: Mapping[str, Any]) -> tuple[FeatureDefinition, ...]:
    rows = zip(*(columns[name] for name in FeatureDefinition.__slots__), strict=True)
    return tuple(FeatureDefinition(*row) for row in rows)


def _deviations_document(deviations: LearnedDeviations) -> dict[str, Any]:
    reference = deviations.reference
    return {
        "sources": list(reference.sources),
        "covariates": [covariate.document() for covariate in reference.covariates],
        "n_people": reference.n_people,
        "threshold": deviations.threshold,
        "definitions": _definitions_document(deviations.definitions),
    }


def _deviations_of(document: dict[str, Any] | None, arrays: dict[str, dict[str, Any]]) -> LearnedDeviations | None:
    if (document is None) != ("reference" not in arrays):
        raise ModelBundleError("the reference has arrays without a description, or the other way round.")
    if document is None:
        return None
    return LearnedDeviations(
        reference=ReferenceModel(
            sources=tuple(document["sources"]),
            covariates=tuple(_covariate_of(c) for c in document["covariates"]),
            n_people=int(document["n_people"]),
            **arrays["reference"],
        ),
        definitions=_definitions_of(document["definitions"]),
        threshold=float(document["threshold"]),
        **arrays["deviations"],
    )


def _harmonization_document(correction: SiteCorrection) -> dict[str, Any]:
    return {
        "features": list(correction.features),
        "site": correction.site,
        "sites": list(correction.sites),
        "preserved": [covariate.document() for covariate in correction.preserved],
        "reference_site": correction.reference_site,
    }


def _harmonization_of(document: dict[str, Any] | None, arrays: dict[str, dict[str, Any]]) -> SiteCorrection | None:
    if (document is None) != ("harmonization" not in arrays):
        raise ModelBundleError("the harmonisation has arrays without a description, or the other way round.")
    if document is None:
        return None
    return SiteCorrection(
        features=tuple(document["features"]),
        site=document["site"],
        sites=tuple(document["sites"]),
        preserved=tuple(_covariate_of(one) for one in document["preserved"]),
        reference_site=document["reference_site"],
        **arrays["harmonization"],
    )


def _covariate_of(document: dict[str, Any]) -> Covariate:
    return Covariate(**{**document, "levels": tuple(document["levels"])})


def _bundle_of(document: dict[str, Any], arrays: dict[str, dict[str, NDArray[Any]]], digest: str) -> ModelBundle:
    if (document["schema_version"] == SCHEMA_VERSION_WITH_TREES) != ("model_trees" in arrays):
        raise ModelBundleError("the schema version is not that of a bundle with, or without, trees.")
    described = document["training_range"]
    definitions = _definitions_of(document["definitions"])
    deviations = _deviations_of(document["deviations"], arrays)
    covariates = tuple(_covariate_of(one) for one in document["covariates"])
    inputs = _input_names(definitions, deviations, covariates)
    return ModelBundle(
        name=str(document["name"]),
        outcome=OutcomeDefinition(**document["outcome"]),
        definitions=definitions,
        covariates=covariates,
        recipe=recipe_from_document(document["recipe"]) if document["recipe"] is not None else None,
        recipe_hashes=tuple(document["recipe_hashes"]),
        model=model_of(arrays, input_names=inputs, arms=tuple(document["arms"])),
        fold_models=ensemble_of(arrays, "fold", n_inputs=len(inputs)),
        out_of_fold=OutOfFoldResiduals(**arrays["out_of_fold"]),
        bootstrap_models=ensemble_of(arrays, "bootstrap", n_inputs=len(inputs)),
        training_range=TrainingRange(
            n_people=int(described["n_people"]),
            n_features=len(definitions),
            largest_distance=float(described["largest_distance"]),
            largest_motion_mm={str(kind): float(limit) for kind, limit in described["largest_motion_mm"].items()},
            **arrays["training_range"],
        ),
        trained_on=int(document["trained_on"]),
        unseen_site_policy=document["unseen_site_policy"],
        deviations=deviations,
        # Bundles of this schema were written before harmonisation existed; they have no such entry.
        harmonization=_harmonization_of(document.get("harmonization"), arrays),
        # Bundles of this schema were written before card and table had files of their own.
        card=dict(document["card"]),
        locked_test=document.get("locked_test"),
        card_text=str(document.get("card_text", "")),
        tripod_ai=tuple(dict(row) for row in document.get("tripod_ai", ())),
        tripod_ai_text=str(document.get("tripod_ai_text", "")),
        versions=dict(document["versions"]),
        digest=digest,
    )
