"""What a model predicts, and what it wants to know about a person besides the scan."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from predictor.errors import ModelBundleError, TableError, ValueOutOfRangeError

CovariateRole = Literal["arm", "clinical", "site", "demographic", "reference"]
COVARIATE_ROLES: tuple[CovariateRole, ...] = ("arm", "clinical", "site", "demographic", "reference")
CovariateValue = str | float | None
# Nothing measured is this large; squares of larger numbers would overflow.
MAX_ABS_VALUE = 1e30


@dataclass(frozen=True, slots=True)
class OutcomeDefinition:
    """The clinical number that is predicted.

    `better` says which direction is good. `response_threshold` is in the outcome's unit; reaching it in the good
    direction is a response, in words `response_rule`. Both are None for outcomes without such a rule.
    """

    name: str
    unit: str
    better: Literal["higher", "lower"]
    response_threshold: float | None = None
    response_rule: str | None = None

    def __post_init__(self) -> None:
        if self.better not in ("higher", "lower"):
            raise ModelBundleError(f"outcome {self.name} must be better when higher or lower, not {self.better!r}.")
        if (self.response_threshold is None) != (self.response_rule is None):
            raise ModelBundleError(f"outcome {self.name} needs both a response threshold and its rule, or neither.")

    def is_response(self, values: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether each outcome reaches the threshold in the good direction; only with a response rule."""
        assert self.response_threshold is not None, "ask only where there is a response rule"
        return np.asarray(
            values >= self.response_threshold if self.better == "higher" else values <= self.response_threshold
        )

    def document(self) -> dict[str, Any]:
        """Fields by name, ready for JSON."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Covariate:
    """Something known about a person without a scan.

    A number enters the model as it is, a category as indicators of its `levels`. The covariate with role "arm" is
    the treatment: it is no input, since the model answers for every arm. One with role "reference" is no input either:
    it only says with which controls a person is compared.
    """

    name: str
    kind: Literal["number", "category"]
    levels: tuple[str, ...] = ()
    role: CovariateRole = "clinical"
    unit: str = ""

    def __post_init__(self) -> None:
        if self.role not in COVARIATE_ROLES:
            raise ModelBundleError(f"covariate {self.name} has role {self.role!r}; expected one of {COVARIATE_ROLES}.")
        if (self.kind == "category") != bool(self.levels) or len(set(self.levels)) != len(self.levels):
            raise ModelBundleError(f"covariate {self.name} must be a number, or a category with distinct levels.")
        if self.role in ("arm", "site") and self.kind != "category":
            raise ModelBundleError(f"covariate {self.name} with role {self.role} must be a category.")

    @property
    def indicated_levels(self) -> tuple[str, ...]:
        """Levels that have an indicator of their own; of two levels, one indicator says it all."""
        return self.levels[:1] if len(self.levels) == 2 else self.levels

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names of the model inputs that this covariate becomes."""
        if self.role in ("arm", "reference"):
            return ()
        if self.kind == "number":
            return (self.name,)
        return tuple(f"{self.name}={level}" for level in self.indicated_levels)

    def encode(self, values: Sequence[Any]) -> NDArray[np.float64]:
        """Model inputs for these people, shape (n_people, n_inputs of this covariate).

        None and NaN are missing and become NaN. So does a site that is not among the levels: imputation then puts
        the person at the average of the training sites. Arm and reference covariates have no inputs.

        Raises
        ------
        TableError
            If a category other than the site has an unknown level.
        ValueOutOfRangeError
            If a number is not finite or not a number.
        """
        rows = [self.encode_one(value) for value in values]
        return np.array(rows, dtype=np.float64).reshape(len(rows), len(self.input_names))

    def level_of(self, value: Any) -> str | None:
        """Name of the category's level, None when missing or (sites and reference covariates only) unknown.

        Raises
        ------
        TableError
            If another category has an unknown level.
        """
        if is_missing(value):
            return None
        # Tables often hold levels that look like numbers: 1 in JSON, 1.0 where pandas met a gap in the column.
        is_whole = isinstance(value, Real) and not isinstance(value, bool) and float(value).is_integer()
        text = str(int(value)) if is_whole else str(value)
        if text in self.levels:
            return text
        if self.role in ("site", "reference"):
            return None
        known = ", ".join(self.levels)
        raise TableError(f"expected one of {known} for {self.name}, found another value.", where=self.name)

    def document(self) -> dict[str, Any]:
        """Fields by name, ready for JSON."""
        return {name: getattr(self, name) for name in self.__slots__} | {"levels": list(self.levels)}

    def encode_one(self, value: Any) -> list[float]:
        """Model inputs for one person; `encode` says how."""
        if self.role in ("arm", "reference"):
            return []
        if self.kind == "number":
            return [math.nan if is_missing(value) else finite_number(value, where=self.name)]
        level = self.level_of(value)
        return [math.nan if level is None else float(level == name) for name in self.indicated_levels]


def is_missing(value: Any) -> bool:
    """Whether a cell is empty: None, NaN, or pandas' NA."""
    return (
        value is None or type(value).__name__ in ("NAType", "NaTType") or (isinstance(value, Real) and value != value)
    )


def finite_number(value: Any, *, where: str) -> float:
    """Return the value as a float.

    Raises
    ------
    ValueOutOfRangeError
        If it is not a finite number; text and booleans are not numbers.
    """
    if isinstance(value, bool | np.bool_) or not isinstance(value, Real):
        raise ValueOutOfRangeError(f"expected a number, found a value of type {type(value).__name__}.", where=where)
    try:
        number = float(value)
    except OverflowError:  # JSON has integers of any length
        number = math.inf
    if not abs(number) <= MAX_ABS_VALUE:
        raise ValueOutOfRangeError("expected a finite number, found one that is not, or too large.", where=where)
    return number
