"""The features of a recipe: names, units and what each says, in the order of every feature table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache

from predictor.circuit.circuit import Edge, Region
from predictor.features.feature_vector import FeatureDefinition
from predictor.features.recipe import TASK_FAMILIES, Recipe
from predictor.scan.task_description import RunKind

# Quality numbers: unit and description; the names are fields of predictor.scan.quality.RunQuality.
QUALITY_MEASURES = {
    "mean_framewise_displacement_mm": ("mm", "mean head motion from volume to volume"),
    "share_censored": ("share", "share of volumes left out for head motion"),
    "median_temporal_snr": ("ratio", "median temporal signal-to-noise ratio of the regions"),
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
    kinds: list[RunKind] = []
    needs_task = any(family in TASK_FAMILIES for family in recipe.families)
    if any(family.startswith("rest_") for family in recipe.families) or not needs_task:
        kinds.append("rest")
    if needs_task:
        kinds.append("faces")
    return tuple(kinds)


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


def _activation_faces(recipe: Recipe) -> Iterator[FeatureDefinition]:
    for region in recipe.circuit.regions:
        name = region_feature_name("activation_faces", region.name)
        description = f"response of {spoken_name(region.name)} to faces, beyond control"
        yield FeatureDefinition(name, "percent", "activation_faces", "activation", _group(region), description)


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
            yield FeatureDefinition(name, unit, "quality", "quality", "quality", f"{description} in the {kind} run")


_DEFINITIONS_OF_FAMILY: dict[str, Callable[[Recipe], Iterator[FeatureDefinition]]] = {
    "rest_fisher_z": _rest_fisher_z,
    "rest_partial": _rest_partial,
    "activation_faces": _activation_faces,
    "gppi_faces": _gppi_faces,
    "quality": _quality,
}


def _labelled_edges(recipe: Recipe) -> Iterator[tuple[Edge, str]]:
    """Edges with the label that explanations sum over; the same for both directions."""
    group_of = {region.name: _group(region) for region in recipe.circuit.regions}
    for edge in recipe.circuit.edges:
        yield edge, f"{group_of[edge.source]}-{group_of[edge.target]}"


def _group(region: Region) -> str:
    return region.group or region.name
