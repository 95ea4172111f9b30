"""Where in the brain an answer's number comes from: the circuit's regions and connections with their contributions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from predictor.circuit.circuit import Circuit
from predictor.report.edge_table import attributions_of, edge_sums
from predictor.report.region_attributions import region_sums
from predictor.report.wording import quantity, region_in_words

N_SHOWN = 8


@dataclass(frozen=True, slots=True)
class CircuitRow:
    """One connection or region in the table."""

    name: str
    amount: str
    direction: str


@dataclass(frozen=True, slots=True)
class CircuitView:
    """What stands beside the drawing of the brain, and instead of it where nothing can be drawn."""

    rows: list[CircuitRow]
    n_more: int
    elsewhere: str  # what no connection holds: regions' activation, and what was not measured in the brain


def circuit_view(answer: Mapping[str, Any], circuit: Circuit | None) -> CircuitView | None:
    """Return the connections, largest contribution first; None where there is nothing to draw."""
    if circuit is None or not answer.get("explanation"):
        return None
    attributions, unit = attributions_of(answer), _points(answer)
    edges = sorted(edge_sums(attributions).items(), key=lambda item: -abs(item[1]))
    rows = [_row(" – ".join(map(region_in_words, pair)), amount, unit) for pair, amount in edges]
    alone = sum(one.contribution for one in attributions if len(one.regions) == 1)
    outside = sum(one.contribution for one in attributions if not one.regions)
    rest = [
        f"{quantity(amount, unit, signed=True)} {where}"
        for amount, where in ((alone, "from activation of single regions"), (outside, "from outside the brain"))
        if amount
    ]
    return CircuitView(rows[:N_SHOWN], max(0, len(rows) - N_SHOWN), " and ".join(rest))


def circuit_document(answer: Mapping[str, Any], circuit: Circuit) -> dict[str, Any]:
    """Return what the 3-D drawing needs: regions in MNI mm and connections, with what each adds to the number.

    Raises
    ------
    ExplanationAbsentError
        If the answer was refused, or its explanation withheld.
    """
    attributions, unit = attributions_of(answer), _points(answer)
    of_region, of_edge = region_sums(attributions), edge_sums(attributions)
    placed = {region.name: region.centre_mni_mm for region in circuit.regions if region.centre_mni_mm is not None}
    numbers = {name: number for number, name in enumerate((name for name in placed if name in of_region), start=1)}
    regions = [
        {
            "name": name,
            "number": numbers.get(name),  # as in the flat drawing; null for regions without a contribution
            "words": region_in_words(name),
            "amount": quantity(of_region.get(name, 0.0), unit, signed=True),
            **dict(zip("xyz", place, strict=True)),
        }
        for name, place in placed.items()
    ]
    edges = [
        {
            "source": source,
            "target": target,
            "words": f"{region_in_words(source)} – {region_in_words(target)}",
            "amount": quantity(amount, unit, signed=True),
            "contribution": amount,
        }
        for (source, target), amount in of_edge.items()
        if source in placed and target in placed
    ]
    return {"research_use_only": True, "unit": answer["outcome"]["unit"], "regions": regions, "edges": edges}


def _row(name: str, amount: float, unit: str) -> CircuitRow:
    direction = "raises" if amount > 0 else "lowers" if amount < 0 else "none"
    return CircuitRow(name, quantity(amount, unit, signed=True), direction)


def _points(answer: Mapping[str, Any]) -> str:
    """Return the unit of a difference: a contribution to a percentage is in percentage points."""
    unit = str(answer["outcome"]["unit"])
    return "points" if unit == "percent" else unit
