"""Contributions as arrays: named one by one only where someone looks, and written as JSON without that."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from predictor.model.scoring_plan import NamedInputs

Array = NDArray[np.float64]
_N_PIECES = 6  # of one contribution in JSON: text, number, text, number, text, value


class Contribution(NamedTuple):
    """What one named input moves the output by, in the outcome's unit."""

    feature: str
    value: float | str | None  # None: missing, so its imputed value speaks
    unit: str
    contribution: float
    circuit: str
    kind: str
    # Share of the fold models in which it points the same way; None where they are not asked.
    fold_sign_agreement: float | None
    description: str
    training_mean: float | None  # what the value is compared with; None for categories
    deviation: float | None = None  # z against the controls, where this is what moves the output most

    def document(self) -> dict[str, Any]:
        """Return what the answer says of it."""
        return {
            "feature": self.feature,
            "value": self.value,
            "unit": self.unit,
            "contribution": self.contribution,
            "circuit": self.circuit,
            "kind": self.kind,
            "fold_sign_agreement": self.fold_sign_agreement,
        }


@dataclass(frozen=True, slots=True, eq=False)
class Contributions:
    """The contributions that are not zero, largest first.

    An answer has dozens and speaks of two, so they are kept as arrays of length n_shown.
    """

    named: NamedInputs
    shown: NDArray[np.intp]  # positions among the names
    amounts: Array  # the outcome's unit; finite, since they add up to the output
    numbers: Array  # values of the measured features, NaN where missing; of covariates, any number
    covariate_values: Mapping[int, float | str | None]  # by place in these arrays
    fold_sign_agreement: Array | None
    deviation: Array | None  # z against the controls, NaN where it is not what moves the output most

    def __len__(self) -> int:
        return len(self.shown)

    def __iter__(self) -> Iterator[Contribution]:
        """Name one contribution after the other."""
        return map(self._at, range(len(self.shown)))

    @property
    def by_circuit(self) -> dict[str, float]:
        """Summed contributions by circuit."""
        return self._summed(self.named.circuit_numbers, self.named.circuit_labels)

    @property
    def by_kind(self) -> dict[str, float]:
        """Summed contributions by kind of measure."""
        return self._summed(self.named.kind_numbers, self.named.kind_labels)

    def to_json(self) -> bytes:
        """Return the documents of all as a JSON list, in the answer's spelling.

        What stands between the numbers is the same in every answer, so it is taken as the plan has it written.
        """
        if not len(self):
            return b"[]"
        pieces: list[bytes] = [b""] * (_N_PIECES * len(self))
        for place, texts in enumerate(self.named.json_between):
            pieces[2 * place :: _N_PIECES] = texts[self.shown].tolist()
        pieces[1::_N_PIECES] = _numbers(self.amounts)
        if self.fold_sign_agreement is None:
            pieces[3::_N_PIECES] = [b"null"] * len(self)
        else:
            pieces[3::_N_PIECES] = _numbers(self.fold_sign_agreement)
        values = _numbers(self.numbers)
        for place, value in self.covariate_values.items():
            values[place] = orjson.dumps(value)
        pieces[5::_N_PIECES] = values
        return b"[" + b"".join(pieces)[2:] + b"}]"  # every first text ends the contribution before

    def _at(self, place: int) -> Contribution:
        named, number = self.named, self.shown[place]
        own = self.covariate_values
        return Contribution(
            feature=named.names[number],
            value=own[place] if place in own else _or_none(self.numbers, place),
            unit=named.units[number],
            contribution=float(self.amounts[place]),
            circuit=named.circuits[number],
            kind=named.kinds[number],
            fold_sign_agreement=_or_none(self.fold_sign_agreement, place),
            description=named.descriptions[number],
            training_mean=named.training_means[number],
            deviation=_or_none(self.deviation, place),
        )

    def _summed(self, numbers: NDArray[np.intp], labels: Sequence[str]) -> dict[str, float]:
        """Add one after the other, the largest first, so that the last digits are always the same."""
        own = numbers[self.shown]
        sums = np.bincount(own, weights=self.amounts, minlength=len(labels)).tolist()
        return {labels[number]: sums[number] for number in set(own.tolist())}


def _numbers(values: Array) -> list[bytes]:
    """Return numbers as the answer spells them; NaN is null."""
    return orjson.dumps(values, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1].split(b",")


def _or_none(values: Array | None, place: int) -> float | None:
    if values is None:
        return None
    value = float(values[place])
    return None if value != value else value
