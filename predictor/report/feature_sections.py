"""What a visit's report says about its features: drawings of connections and activations, and the whole table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from predictor.circuit.circuit import Circuit
from predictor.features.feature_vector import FeatureVector
from predictor.report.connectome_figure import (
    EdgeValue,
    RegionValue,
    activation_svg,
    glass_brain_svg,
    matrix_svg,
)
from predictor.report.wording import KIND_IN_WORDS, UNITS

# More rows make the file too large to mail; fewer columns of words are left out before.
MAX_LISTED: Final = 10_000
MAX_DESCRIBED: Final = 1_500
_DRIVES: Final = ("row drives column", "column drives row")
_DIRECTIONS: Final = {
    "gppi_faces": ("row is the seed", "column is the seed"),
    "rdcm_rest": _DRIVES,
    "rdcm_faces": _DRIVES,
}
# Families of pairs, and the one that shows both directions as one number on the glass brain.
_EDGE_FAMILIES: Final = ("rest_fisher_z", "rest_partial", "gppi_faces", "rdcm_rest", "rdcm_faces")
_ON_GLASS: Final = {"rest_fisher_z": "rest_fisher_z", "gppi_faces": "gppi_faces_mean"}
_CAPTIONS: Final = {
    "gppi_faces": "On the glass brain: the mean of both directions.",
    "rdcm_rest": "Positive: the first region excites the second; negative: it inhibits it.",
    "rdcm_faces": "Positive: the first region excites the second; negative: it inhibits it. Over the whole run.",
}
_ACTIVATIONS: Final = ("activation_faces", "activation_conflict", "activation_conflict_regulation")


@dataclass(frozen=True, slots=True)
class _Number:
    """One feature, its name taken apart."""

    places: tuple[str, ...]
    value: float | None
    standard_error: float | None
    unit: str


def feature_context(vector: FeatureVector, circuit: Circuit) -> dict[str, Any]:
    """Return what the template needs to show the features."""
    numbers = _numbers(vector)
    listed = vector.definitions[:MAX_LISTED]
    return {
        "n_known": int(np.isfinite(vector.values).sum()),
        "n_features": len(vector.definitions),
        "connections": list(_connections(numbers, circuit)),
        "activation_svg": _activation(numbers),
        "families": list(dict.fromkeys(definition.family for definition in listed)),
        "features": list(_rows(vector, len(listed), is_described=len(listed) <= MAX_DESCRIBED)),
        "n_unlisted": len(vector.definitions) - len(listed),
    }


def _numbers(vector: FeatureVector) -> dict[str, list[_Number]]:
    """Return features by the first part of their name."""
    numbers: dict[str, list[_Number]] = {}
    columns = zip(vector.definitions, vector.values, vector.standard_errors, strict=True)
    for definition, value, error in columns:
        prefix, *places = definition.name.split("__")
        numbers.setdefault(prefix, []).append(
            _Number(tuple(places), _known(value), _known(error), UNITS.get(definition.unit, definition.unit))
        )
    return numbers


def _connections(numbers: dict[str, list[_Number]], circuit: Circuit) -> Iterator[dict[str, Any]]:
    for family in _EDGE_FAMILIES:
        found = numbers.get(family, [])
        if not any(number.value is not None for number in found):
            continue
        title, unit = KIND_IN_WORDS[family], found[0].unit.strip("()")
        name = family.replace("_", "-")
        figures = [
            matrix_svg(_edges(found), name=name, title=title, unit=unit, directions=_DIRECTIONS.get(family)),
        ]
        if family in _ON_GLASS and circuit.has_coordinates:
            edges = _edges(numbers.get(_ON_GLASS[family], []))
            figures.append(glass_brain_svg(edges, circuit, name=f"glass-{name}", title=title, unit=unit))
        yield {"title": title, "figures": figures, "caption": _CAPTIONS.get(family, "")}


def _activation(numbers: dict[str, list[_Number]]) -> str:
    panels = [
        (
            KIND_IN_WORDS[family].removeprefix("Activation ").capitalize(),
            [RegionValue(number.places[0], number.value, number.standard_error) for number in numbers[family]],
        )
        for family in _ACTIVATIONS
        if any(number.value is not None for number in numbers.get(family, []))
    ]
    if not panels:
        return ""
    return activation_svg(panels, name="activation", title="Activation", unit="percent")


def _edges(found: list[_Number]) -> list[EdgeValue]:
    return [EdgeValue(number.places[0], number.places[1], number.value, number.standard_error) for number in found]


def _rows(vector: FeatureVector, n_rows: int, *, is_described: bool) -> Iterator[dict[str, Any]]:
    columns = zip(
        vector.definitions[:n_rows],
        vector.values,
        vector.standard_errors,
        vector.missing_reasons,
        strict=False,  # the table may show fewer than there are
    )
    for definition, value, error, reason in columns:
        yield {
            "name": definition.name,
            "description": definition.description if is_described else "",
            "family": definition.family,
            "value": _in_digits(value),
            "error": _in_digits(error),
            "unit": definition.unit,
            "reason": reason,
        }


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _in_digits(value: float) -> str:
    return f"{value:.4g}".replace("-", "−") if np.isfinite(value) else "–"
