"""Features that exist only in comparison with controls: deviations, hypo- and hyperconnected edges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from predictor.errors import ModelBundleError
from predictor.features.feature_vector import FeatureDefinition
from predictor.model.linear_model import check_arrays
from predictor.model.reference_model import ReferenceModel

Array = NDArray[np.float64]

# 5 % of controls lie further out, half of them on either side.
DEFAULT_THRESHOLD = 1.96
HYPOCONNECTED, HYPERCONNECTED = "hypoconnected_edges", "hyperconnected_edges"
SUMMARY_FAMILY = "deviation_summary"
N_SUMMARIES = 3


@dataclass(frozen=True, slots=True, eq=False)
class LearnedDeviations:
    """The learned step as a model bundle keeps it."""

    reference: ReferenceModel
    definitions: tuple[FeatureDefinition, ...]  # the learned features that the model takes
    threshold: float
    background: Array  # (3, n_sources), mean of `summary_parts` over the training people

    def __post_init__(self) -> None:
        check_arrays(self, {"background": (N_SUMMARIES, len(self.reference.sources))})
        known = learned_names(self.reference.sources)
        unknown = [definition.name for definition in self.definitions if definition.name not in known]
        if unknown or len({definition.name for definition in self.definitions}) != len(self.definitions):
            raise ModelBundleError("the learned features are not those that the reference makes.")
        if not self.threshold > 0:
            raise ModelBundleError("expected a threshold above 0 for hypo- and hyperconnectivity.")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the learned features that the model takes."""
        return tuple(definition.name for definition in self.definitions)

    @property
    def positions(self) -> list[int]:
        """Where these stand among `learned_names`."""
        known = learned_names(self.reference.sources)
        return [known.index(name) for name in self.names]

    def features(self, z: Array) -> Array:
        """Learned features that the model takes, shape (n_people, n_definitions)."""
        return learned_values(z, threshold=self.threshold)[:, self.positions]

    def expand(self, weights: Array) -> Array:
        """Weights on the learned features that the model takes, as weights on all of `learned_names`; last axis."""
        whole = np.zeros((*weights.shape[:-1], len(self.reference.sources) + N_SUMMARIES))
        whole[..., self.positions] = weights
        return whole


def learned_names(sources: Sequence[str]) -> tuple[str, ...]:
    """Names of all learned features: a deviation per source, then the two counts, then the mean.

    Examples
    --------
    >>> learned_names(["rest_fisher_z__amygdala_L__vmPFC"])[0]
    'deviation_rest__amygdala_L__vmPFC'
    >>> learned_names(["rest_fisher_z__amygdala_L__vmPFC"])[-1]
    'deviation_rest_mean'
    """
    deviations = []
    for source in sources:
        _, separator, pair = source.partition("__")
        deviations.append(deviation_family(source) + separator + pair)
    return (*deviations, HYPOCONNECTED, HYPERCONNECTED, f"{deviation_family(sources[0])}_mean")


def deviation_family(source: str) -> str:
    """Family of the deviations of a feature, or of a family, of this name: "deviation_rest", "deviation_gppi_faces"."""
    kind = source.partition("__")[0]
    return "deviation_rest" if kind.startswith("rest_") else f"deviation_{kind}"


def learned_definitions(sources: Sequence[FeatureDefinition]) -> tuple[FeatureDefinition, ...]:
    """Return what the learned features are, in the order of `learned_names`."""
    names = learned_names([source.name for source in sources])
    family = deviation_family(sources[0].name)
    deviations = [
        FeatureDefinition(
            name=name,
            unit="z",
            family=family,
            kind="deviation",
            circuit=source.circuit,
            description=f"deviation of {source.description or source.name} from what is expected of controls",
        )
        for name, source in zip(names, sources, strict=False)
    ]
    summaries = (
        ("count", "number of connections weaker than expected of controls"),
        ("count", "number of connections stronger than expected of controls"),
        ("z", "mean deviation of all connections from what is expected of controls"),
    )
    return (
        *deviations,
        *(
            FeatureDefinition(name, unit, SUMMARY_FAMILY, "deviation", "fronto-limbic", description)
            for name, (unit, description) in zip(names[len(sources) :], summaries, strict=True)
        ),
    )


def summary_parts(z: Array, *, threshold: float) -> Array:
    """Return what every source adds to the two counts and to the mean.

    Parameters
    ----------
    z
        Shape (n_people, n_sources), NaN where missing.
    threshold
        Above 0.

    Returns
    -------
    ndarray of shape (n_people, 3, n_sources)
        Sums over the last axis are `hypoconnected_edges`, `hyperconnected_edges` and the mean deviation.
    """
    is_missing, chance = np.isnan(z), float(ndtr(-threshold))
    hypo = np.where(is_missing, chance, z < -threshold)
    hyper = np.where(is_missing, chance, z > threshold)
    return np.stack([hypo, hyper, np.where(is_missing, 0.0, z) / z.shape[1]], axis=1)


def learned_values(z: Array, *, threshold: float) -> Array:
    """All learned features, shape (n_people, n_sources + 3), NaN where a source is missing."""
    return np.concatenate([z, summary_parts(z, threshold=threshold).sum(axis=2)], axis=1)
