"""One visit as named numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from predictor.errors import FeatureError


@dataclass(frozen=True, slots=True)
class FeatureDefinition:
    """What a feature is, apart from any person.

    `family` is what experiment files select ("rest_fisher_z", "gppi_faces"); `kind` and `circuit` are what
    explanations are summed over ("gppi", "amygdala-vmPFC").
    """

    name: str
    unit: str
    family: str
    kind: str
    circuit: str
    description: str


@dataclass(frozen=True, slots=True, eq=False)
class FeatureVector:
    """All features of a recipe for one visit; a missing one is NaN here and says why."""

    definitions: tuple[FeatureDefinition, ...]
    values: NDArray[np.float64]  # (n_features,)
    missing_reasons: tuple[str | None, ...]  # None exactly where the value is finite
    recipe_hash: str  # "sha256:..." of what was computed and how
    input_digest: str  # "sha256:..." of the bytes it was computed from

    def __post_init__(self) -> None:
        n_features = len(self.definitions)
        if self.values.shape != (n_features,) or len(self.missing_reasons) != n_features:
            raise FeatureError(
                f"expected {n_features} values and reasons, got {self.values.shape} and {len(self.missing_reasons)}."
            )
        for definition, value, reason in zip(self.definitions, self.values, self.missing_reasons, strict=True):
            if np.isfinite(value) == (reason is not None):
                raise FeatureError(f"{definition.name} must be a finite number or missing with a reason, not both.")

    @property
    def names(self) -> tuple[str, ...]:
        """Feature names, in the recipe's order."""
        return tuple(definition.name for definition in self.definitions)

    def by_name(self) -> dict[str, float | None]:
        """Values by feature name, None where missing."""
        return {
            name: float(value) if np.isfinite(value) else None
            for name, value in zip(self.names, self.values, strict=True)
        }
