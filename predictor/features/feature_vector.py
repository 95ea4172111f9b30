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
    standard_errors: NDArray[np.float64]  # (n_features,), unit of the value; NaN where not known
    first_half: NDArray[np.float64]  # (n_features,), the same features of the first half of every run; NaN where there
    second_half: NDArray[np.float64]  # are none, or they were not asked for; and of the second half

    def __post_init__(self) -> None:
        n_features = len(self.definitions)
        for name in ("values", "standard_errors", "first_half", "second_half"):
            if getattr(self, name).shape != (n_features,):
                raise FeatureError(f"expected {n_features} {name}, got shape {getattr(self, name).shape}.")
        if len(self.missing_reasons) != n_features:
            raise FeatureError(f"expected {n_features} reasons, got {len(self.missing_reasons)}.")
        for definition, value, error, reason in zip(
            self.definitions, self.values, self.standard_errors, self.missing_reasons, strict=True
        ):
            if np.isfinite(value) == (reason is not None):
                raise FeatureError(f"{definition.name} must be a finite number or missing with a reason, not both.")
            if not np.isnan(error) and not (np.isfinite(value) and 0 <= error < np.inf):
                raise FeatureError(f"{definition.name} has a standard error of {error} for a value of {value}.")

    @property
    def names(self) -> tuple[str, ...]:
        """Feature names, in the recipe's order."""
        return tuple(definition.name for definition in self.definitions)

    def by_name(self) -> dict[str, float | None]:
        """Values by feature name, None where missing."""
        return self._named(self.values)

    def standard_errors_by_name(self) -> dict[str, float | None]:
        """Return standard errors by feature name, None where not known."""
        return self._named(self.standard_errors)

    def halves_by_name(self) -> tuple[dict[str, float | None], dict[str, float | None]]:
        """Return the values of the first and of the second half by feature name, None where there are none."""
        return self._named(self.first_half), self._named(self.second_half)

    def _named(self, numbers: NDArray[np.float64]) -> dict[str, float | None]:
        return {
            name: float(value) if np.isfinite(value) else None for name, value in zip(self.names, numbers, strict=True)
        }
