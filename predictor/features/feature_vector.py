"""One visit as named numbers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from predictor.errors import FeatureError
from predictor.record_card import PresentedRecord, RecordCard, shortened

if TYPE_CHECKING:  # the service has no use for tables and need not wait for pandas
    import pandas as pd


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


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class FeatureVector(PresentedRecord):
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

    def to_series(self) -> pd.Series:
        """Return the values by feature name, NaN where missing.

        A cohort's table is `pandas.DataFrame({label: vector.to_series() for ...}).T`.
        """
        import pandas as pd

        return pd.Series(self.values.copy(), index=pd.Index(self.names, name="feature"), name="value")

    def to_frame(self) -> pd.DataFrame:
        """Return one row per feature: value, standard error, unit, family, circuit, why it is missing, description."""
        import pandas as pd

        columns = {
            "value": self.values.copy(),
            "standard_error": self.standard_errors.copy(),
            **{name: [getattr(one, name) for one in self.definitions] for name in ("unit", "family", "circuit")},
            "missing_reason": list(self.missing_reasons),
            "description": [definition.description for definition in self.definitions],
        }
        return pd.DataFrame(columns, index=pd.Index(self.names, name="feature"))

    def _one_line(self) -> str:
        n_measured = int(np.isfinite(self.values).sum())
        missing = len(self.values) - n_measured
        return f"{len(self.values)} features, {n_measured} measured, {missing} missing, {shortened(self.recipe_hash)}"

    def _card(self) -> RecordCard:
        families = dict.fromkeys(definition.family for definition in self.definitions)
        return RecordCard(
            title=f"Features: {self._one_line()}",
            columns=("family", "unit", "features", "measured", "why missing"),
            rows=tuple(self._family_row(family) for family in families),
            remarks=("Values: to_series(); with standard errors, units and reasons: to_frame().",),
            is_about_a_person=True,
        )

    def _family_row(self, family: str) -> tuple[str, ...]:
        members = [number for number, definition in enumerate(self.definitions) if definition.family == family]
        units = dict.fromkeys(self.definitions[number].unit for number in members)
        reasons = Counter(reason for number in members if (reason := self.missing_reasons[number]) is not None)
        first = [f"{reason} ({count})" for reason, count in reasons.most_common(2)]
        more = [f"{len(reasons) - len(first)} other reasons"] if len(reasons) > len(first) else []
        n_measured = len(members) - reasons.total()
        return family, ", ".join(units), str(len(members)), str(n_measured), "; ".join(first + more)

    def _named(self, numbers: NDArray[np.float64]) -> dict[str, float | None]:
        return {
            name: float(value) if np.isfinite(value) else None for name, value in zip(self.names, numbers, strict=True)
        }
