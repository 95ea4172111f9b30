"""The features of a recipe: names, units and what each says, in the order of every feature table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache

from predictor.circuit.circuit import Edge, Region
from predictor.features.feature_vector import FeatureDefinition
from predictor.features.recipe import Recipe
from predictor.scan.task_description import RUN_KINDS, RunKind

# Kind of the quality numbers, which are of a run and of no region.
QUALITY_KIND = "quality"
# Quality numbers: unit and description; the names are fields of predictor.scan.quality.RunQuality.
QUALITY_MEASURES = {
    "mean_framewise_displacement_mm": ("mm", "mean head motion from volume to volume"),
    "share_censored": ("share", "share of volumes left out for head motion"),
    "median_temporal_snr": ("ratio", "median temporal signal-to-noise ratio of the regions"),
}
# The kind of run that a family is computed from; quality is about whichever runs the others use.
RUN_KIND_OF_FAMILY: Mapping[str, RunKind] = {
    "rest_fisher_z": "rest",
    "rest_partial": "rest",
    "rdcm_rest": "rest",
    "activation_faces": "faces",
    "gppi_faces": "faces",
    "rdcm_faces": "faces",
    "activation_conflict": "conflict",
    "activation_conflict_regulation": "conflict",
}
# How the standard errors of a family are made.
STANDARD_ERROR_METHODS: Mapping[str, str] = {
    "rest_fisher_z": "circular block bootstrap of the cleaned volumes",
    "rest_partial": "circular block bootstrap of the cleaned volumes",
    "rdcm_rest": "posterior standard deviation",
    "activation_faces": "generalised least squares with AR(1) noise",
    "gppi_faces": "least squares with the covariance of AR(1) noise",
    "rdcm_faces": "posterior standard deviation",
    "activation_conflict": "generalised least squares with AR(1) noise",
    "activation_conflict_regulation": "generalised least squares with AR(1) noise",
    "quality": "none",
}
_SIDES = {"L": "left", "R": "right"}


@lru_cache(maxsize=16)  # 7,503 pairs of a region table are the same for everyone
def feature_definitions(recipe: Recipe) -> tuple[FeatureDefinition, ...]:
    """All features of a recipe, in fixed order, whether or not a visit can provide them.

    Parameters
    ----------
    recipe
        Names the families and the circuit.

    Returns
    -------
    tuple of FeatureDefinition
        Family by family, in the order of `FAMILIES`; within a family in the order of the circuit.
    """
    return tuple(definition for family in recipe.families for definition in _DEFINITIONS_OF_FAMILY[family](recipe))


def run_kinds(recipe: Recipe) -> tuple[RunKind, ...]:
    """Return the runs that the families of a recipe need; rest alone if it names none but quality."""
    needed = {RUN_KIND_OF_FAMILY[family] for family in recipe.families if family in RUN_KIND_OF_FAMILY} or {"rest"}
    return tuple(kind for kind in RUN_KINDS if kind in needed)


@lru_cache(maxsize=64)
def family_feature_names(recipe: Recipe, family: str) -> tuple[str, ...]:
    """Return the names of one family's features."""
    return tuple(d.name for d in feature_definitions(recipe) if d.family == family)


@lru_cache(maxsize=64)
def kind_feature_names(recipe: Recipe, kind: RunKind) -> tuple[str, ...]:
    """Return the names of all features that come from runs of one kind, quality included."""
    return tuple(d.name for d in feature_definitions(recipe) if feature_source(d) == kind)


def feature_source(definition: FeatureDefinition) -> str:
    """Return the kind of run that a feature comes from, as features.json names it; empty where unknown."""
    if definition.family == "quality":
        return definition.name.rpartition("__")[2]
    return RUN_KIND_OF_FAMILY.get(definition.family, "")


def quality_feature_name(measure: str, kind: RunKind) -> str:
    """Name of a quality number of one run."""
    return f"quality_{measure}__{kind}"


def edge_feature_name(prefix: str, source: str, target: str) -> str:
    """Name of a feature of a pair; for directed kinds the source acts on the target."""
    return f"{prefix}__{source}__{target}"


def region_feature_name(prefix: str, region: str) -> str:
    """Name of a feature of one region."""
    return f"{prefix}__{region}"


def spoken_name(region_name: str) -> str:
    """Region name as one would say it.

    Examples
    --------
    >>> spoken_name("hippocampus_anterior_L")
    'left anterior hippocampus'
    >>> spoken_name("vmPFC")
    'vmPFC'
    """
    stem, _, side = region_name.rpartition("_")
    if side not in _SIDES or not stem:
        return region_name.replace("_", " ")
    noun, *qualities = stem.split("_")
    return " ".join([_SIDES[side], *qualities, noun])


def _rest_fisher_z(recipe: Recipe) -> Iterator[FeatureDefinition]:
    for edge, circuit in _labelled_edges(recipe):
        pair = f"{spoken_name(edge.source)} and {spoken_name(edge.target)}"
        name = edge_feature_name("rest_fisher_z", edge.source, edge.target)
        yield FeatureDefinition(
            name, "fisher_z", "rest_fisher_z", "rest", circuit, f"resting connectivity between {pair}"
        )


def _rest_partial(recipe: Recipe) -> Iterator[FeatureDefinition]:
    for edge, circuit in _labelled_edges(recipe):
        pair = f"{spoken_name(edge.source)} and {spoken_name(edge.target)}"
        name = edge_feature_name("rest_partial", edge.source, edge.target)
        description = f"direct resting connectivity between {pair}, other regions held constant"
        yield FeatureDefinition(name, "fisher_z", "rest_partial", "rest", circuit, description)


def _rdcm_rest(recipe: Recipe) -> Iterator[FeatureDefinition]:
    return _rdcm(recipe, "rdcm_rest", "at rest")


def _rdcm_faces(recipe: Recipe) -> Iterator[FeatureDefinition]:
    return _rdcm(recipe, "rdcm_faces", "while viewing faces and control pictures")


def _rdcm(recipe: Recipe, family: str, when: str) -> Iterator[FeatureDefinition]:
    for edge, circuit in _labelled_edges(recipe):
        for source, target in ((edge.source, edge.target), (edge.target, edge.source)):
            description = (
                f"directed influence of {spoken_name(source)} on {spoken_name(target)} {when}; "
                "positive excites, negative inhibits"
            )
            yield FeatureDefinition(
                edge_feature_name(family, source, target), "Hz", family, "rdcm", circuit, description
            )


def _activation_faces(recipe: Recipe) -> Iterator[FeatureDefinition]:
    return _activation(recipe, "activation_faces", "response of {region} to faces, beyond control")


def _activation_conflict(recipe: Recipe) -> Iterator[FeatureDefinition]:
    return _activation(
        recipe,
        "activation_conflict",
        "response of {region} to emotional conflict (incongruent beyond congruent trials)",
    )


def _activation_conflict_regulation(recipe: Recipe) -> Iterator[FeatureDefinition]:
    return _activation(
        recipe,
        "activation_conflict_regulation",
        "response of {region} in regulating conflict (incongruent trials after incongruent ones, beyond those after "
        "congruent ones)",
    )


def _activation(recipe: Recipe, family: str, description: str) -> Iterator[FeatureDefinition]:
    for region in recipe.circuit.regions:
        said = description.format(region=spoken_name(region.name))
        name = region_feature_name(family, region.name)
        yield FeatureDefinition(name, "percent", family, "activation", _group(region), said)


def _gppi_faces(recipe: Recipe) -> Iterator[FeatureDefinition]:
    for edge, circuit in _labelled_edges(recipe):
        first, second = spoken_name(edge.source), spoken_name(edge.target)
        named = (
            ("gppi_faces", edge.source, edge.target, f"from {first} to {second}"),
            ("gppi_faces", edge.target, edge.source, f"from {second} to {first}"),
            ("gppi_faces_mean", edge.source, edge.target, f"between {first} and {second}"),
        )
        for prefix, source, target, between in named:
            description = f"task connectivity {between} while viewing faces, beyond control"
            name = edge_feature_name(prefix, source, target)
            yield FeatureDefinition(name, "beta", "gppi_faces", "gppi", circuit, description)


def _quality(recipe: Recipe) -> Iterator[FeatureDefinition]:
    for kind in run_kinds(recipe):
        for measure, (unit, description) in QUALITY_MEASURES.items():
            name = quality_feature_name(measure, kind)
            yield FeatureDefinition(name, unit, "quality", QUALITY_KIND, "quality", f"{description} in the {kind} run")


_DEFINITIONS_OF_FAMILY: dict[str, Callable[[Recipe], Iterator[FeatureDefinition]]] = {
    "rest_fisher_z": _rest_fisher_z,
    "rest_partial": _rest_partial,
    "rdcm_rest": _rdcm_rest,
    "activation_faces": _activation_faces,
    "gppi_faces": _gppi_faces,
    "rdcm_faces": _rdcm_faces,
    "activation_conflict": _activation_conflict,
    "activation_conflict_regulation": _activation_conflict_regulation,
    "quality": _quality,
}


def _labelled_edges(recipe: Recipe) -> Iterator[tuple[Edge, str]]:
    """Edges with the label that explanations sum over; the same for both directions."""
    group_of = {region.name: _group(region) for region in recipe.circuit.regions}
    for edge in recipe.circuit.edges:
        yield edge, f"{group_of[edge.source]}-{group_of[edge.target]}"


def _group(region: Region) -> str:
    return region.group or region.name
