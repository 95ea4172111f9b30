"""Which numbers a measure can have at all: beyond them stands a mistake of unit or of typing, never a person."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from predictor.errors import ValueOutOfRangeError


@dataclass(frozen=True, slots=True)
class PossibleRange:
    """The smallest and the largest number that a measure can have, both included."""

    lower: float = -math.inf
    upper: float = math.inf

    @property
    def words(self) -> str:
        """Return the range as errors name it.

        Examples
        --------
        >>> PossibleRange(0, 80).words, PossibleRange(0).words
        ('between 0 and 80', 'at least 0')
        """
        return f"at least {self.lower:g}" if math.isinf(self.upper) else f"between {self.lower:g} and {self.upper:g}"

    def widened(self, smallest: float, largest: float) -> PossibleRange:
        """Return the range with what people in training had: whatever that is, it is possible.

        Parameters
        ----------
        smallest, largest
            Of the training people; NaN where nobody had a value.
        """
        return PossibleRange(min(self.lower, smallest), max(self.upper, largest))

    def refuse(self, *, where: str) -> ValueOutOfRangeError:
        """Return the error for a number outside; the number itself is the person's, and not repeated."""
        return ValueOutOfRangeError(f"expected a number {self.words}, found one that is not.", where=where)


ANY_NUMBER: Final = PossibleRange()
# By the unit that a feature's definition names. arctanh of the largest correlation that is taken for one (0.9999) is
# 4.95; without the transformation, correlations seldom leave [-1, 1], so that the opposite mistake shows less often.
RANGE_OF_UNIT: Final[Mapping[str, PossibleRange]] = {
    "fisher_z": PossibleRange(-5.0, 5.0),
    "correlation": PossibleRange(-1.0, 1.0),
    "share": PossibleRange(0.0, 1.0),
    "count": PossibleRange(0.0),
    "mm": PossibleRange(0.0),
    "ratio": PossibleRange(0.0),
}
_AGE, _ITEMS_20 = PossibleRange(0.0, 120.0), PossibleRange(0.0, 80.0)  # 20 items of 0-4 points
# By the name of what is known without a scan; scales also with the visit behind their name.
RANGE_OF_COVARIATE: Final[Mapping[str, PossibleRange]] = {
    "age": _AGE,
    "age_years": _AGE,
    "caps5_total": _ITEMS_20,
    "pcl5_total": _ITEMS_20,
    "madrs_total": PossibleRange(0.0, 60.0),
}
_VISITS: Final = ("_baseline", "_screening", "_followup")


def range_of_unit(unit: str) -> PossibleRange:
    """Return what a feature of this unit can be; any number where the unit says nothing.

    Examples
    --------
    >>> range_of_unit("share")
    PossibleRange(lower=0.0, upper=1.0)
    """
    return RANGE_OF_UNIT.get(unit, ANY_NUMBER)


def range_of_covariate(name: str) -> PossibleRange:
    """Return what a number of this name can be; any number where the name is not known.

    Examples
    --------
    >>> range_of_covariate("caps5_total_baseline")
    PossibleRange(lower=0.0, upper=80.0)
    """
    for visit in _VISITS:
        name = name.removesuffix(visit)
    return RANGE_OF_COVARIATE.get(name, ANY_NUMBER)
