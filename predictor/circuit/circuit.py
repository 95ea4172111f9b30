"""The circuit: named regions in MNI space and the pairs between them."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from itertools import combinations
from pathlib import Path
from typing import Any

from predictor.errors import CircuitError
from predictor.record_card import PresentedRecord, RecordCard

DEFAULT_CIRCUIT = "fronto_limbic"
MAX_RADIUS_MM = 30.0
# The MNI152 head ends well within this cube; a centre beyond it is a typing error or another unit.
MAX_COORDINATE_MM = 150.0


@dataclass(frozen=True, slots=True)
class Region:
    """A place in the brain: a sphere in MNI space, or only a name when its signal comes from a table.

    `centre_mni_mm` and `radius_mm` are both given or both None. `group` is the anatomical name without the side
    ("amygdala" for "amygdala_L"); edges between groups are summed in explanations.
    """

    name: str
    group: str
    centre_mni_mm: tuple[float, float, float] | None = None
    radius_mm: float | None = None
    source: str = ""

    def __post_init__(self) -> None:
        if not self.name or not self.group:
            raise CircuitError("every region needs a name and a group.")
        if (self.centre_mni_mm is None) != (self.radius_mm is None):
            raise CircuitError(f"region {self.name} needs both a centre and a radius, or neither.")
        if self.radius_mm is not None and not 0 < self.radius_mm <= MAX_RADIUS_MM:
            raise CircuitError(
                f"region {self.name} has a radius of {self.radius_mm} mm; expected 0 to {MAX_RADIUS_MM}."
            )
        if self.centre_mni_mm is not None and not all(abs(x) <= MAX_COORDINATE_MM for x in self.centre_mni_mm):
            raise CircuitError(f"region {self.name} has its centre at {self.centre_mni_mm} mm, outside any head.")


@dataclass(frozen=True, slots=True)
class Edge:
    """A pair of regions; direction matters only for directed kinds (`source` acts on `target`)."""

    source: str
    target: str


@dataclass(frozen=True, slots=True, repr=False)
class Circuit(PresentedRecord):
    """Regions and pairs, in a fixed order that every feature table follows."""

    name: str
    space: str
    regions: tuple[Region, ...]
    edges: tuple[Edge, ...]

    def __post_init__(self) -> None:
        names = [region.name for region in self.regions]
        if len(set(names)) != len(names):
            raise CircuitError(f"region names of circuit {self.name} are not unique.")
        unknown = {end for edge in self.edges for end in (edge.source, edge.target)} - set(names)
        if unknown:
            raise CircuitError(f"edges of circuit {self.name} name unknown regions: {', '.join(sorted(unknown))}.")
        pairs = {frozenset((edge.source, edge.target)) for edge in self.edges}
        if len(pairs) != len(self.edges) or any(len(pair) == 1 for pair in pairs):
            raise CircuitError(f"circuit {self.name} holds a pair twice, or a region paired with itself.")

    @property
    def region_names(self) -> tuple[str, ...]:
        """Names of the regions, in order."""
        return tuple(region.name for region in self.regions)

    @property
    def has_coordinates(self) -> bool:
        """Whether every region can be found in a scan."""
        return all(region.centre_mni_mm is not None for region in self.regions)

    def _one_line(self) -> str:
        place = self.space or "names only"
        return f"{self.name}: {len(self.regions)} regions, {len(self.edges)} pairs, {place}"

    def _card(self) -> RecordCard:
        return RecordCard(
            title=f"Circuit {self._one_line()}",
            columns=("region", "group", "centre (MNI, mm)", "radius (mm)"),
            rows=tuple(
                (region.name, region.group, _in_mm(region.centre_mni_mm), _in_mm(region.radius_mm))
                for region in self.regions
            ),
        )


def load_circuit(path: Path | str | None = None) -> Circuit:
    """Circuit described by a TOML file, or the embedded fronto-limbic one.

    Parameters
    ----------
    path
        A file like the embedded `fronto_limbic.toml`; None for that file itself.

    Raises
    ------
    CircuitError
        If the file cannot be read, is no TOML, or does not describe a circuit.

    Examples
    --------
    >>> circuit = load_circuit()
    >>> len(circuit.regions), len(circuit.edges)
    (12, 32)
    """
    if path is None:
        return embedded_circuit(DEFAULT_CIRCUIT)
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise CircuitError(
            f"the circuit file cannot be read: {error.strerror}.", where=path.name, remedy="Check the path."
        ) from error
    except UnicodeDecodeError as error:
        raise CircuitError("the circuit file is not UTF-8 text.", where=path.name) from error
    try:
        return _circuit_of_toml(text)
    except CircuitError as error:
        raise error.located(path.name) from error


def embedded_circuit(name: str) -> Circuit:
    """Circuit that comes with the package: "fronto_limbic" or "fronto_limbic_williams".

    Raises
    ------
    CircuitError
        If no circuit of that name is embedded.
    """
    folder = resources.files("predictor.circuit")
    known = sorted(file.name.removesuffix(".toml") for file in folder.iterdir() if file.name.endswith(".toml"))
    if name not in known:
        raise CircuitError(f"there is no embedded circuit {name}; known are {', '.join(known)}.")
    return _circuit_of_toml((folder / f"{name}.toml").read_text(encoding="utf-8"))


def circuit_of_names(names: Sequence[str], *, name: str) -> Circuit:
    """Circuit of regions known by name only, with every pair as an edge (for tables of region signals).

    Parameters
    ----------
    names
        Region names in the table's order.
    name
        What to call the circuit.

    Raises
    ------
    CircuitError
        If a name is empty or stands there twice.
    """
    return Circuit(
        name=name,
        space="",
        regions=tuple(Region(region, region) for region in names),
        edges=tuple(Edge(source, target) for source, target in combinations(names, 2)),
    )


def circuit_document(circuit: Circuit) -> dict[str, Any]:
    """Circuit as plain JSON values; `circuit_from_document` gives back an equal circuit."""
    return {
        "name": circuit.name,
        "space": circuit.space,
        "regions": [
            {
                "name": region.name,
                "group": region.group,
                "centre_mni_mm": None if region.centre_mni_mm is None else list(region.centre_mni_mm),
                "radius_mm": region.radius_mm,
                "source": region.source,
            }
            for region in circuit.regions
        ],
        "edges": [[edge.source, edge.target] for edge in circuit.edges],
    }


def circuit_from_document(document: Mapping[str, Any]) -> Circuit:
    """Circuit of a document that `circuit_document` wrote.

    Raises
    ------
    CircuitError
        If an entry is missing, unknown, or of the wrong type.
    """
    _check_keys(document, required={"name", "space", "regions", "edges"}, what="the circuit")
    edges = document["edges"]
    if not isinstance(edges, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in edges):
        raise CircuitError("expected edges to be a list of [source, target] pairs.")
    return Circuit(
        name=_text(document, "name"),
        space=_text(document, "space"),
        regions=_regions(document),
        edges=tuple(Edge(str(source), str(target)) for source, target in edges),
    )


def _circuit_of_toml(text: str) -> Circuit:
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CircuitError(f"the circuit file is no valid TOML: {error}.") from error
    _check_keys(document, required={"name", "space", "regions", "edges"}, what="the circuit")
    regions = _regions(document)
    return circuit_from_document({**document, "edges": _expanded_edges(document["edges"], regions)})


def _expanded_edges(rules: object, regions: tuple[Region, ...]) -> list[list[str]]:
    """Every source with every target of each rule, in the order of the regions."""
    if not isinstance(rules, list):
        raise CircuitError("expected [[edges]] tables with sources and targets.")
    pairs = []
    for rule in rules:
        _check_keys(rule, required={"sources", "targets"}, what="an [[edges]] table")
        sources, targets = (_named_regions(rule[end], regions) for end in ("sources", "targets"))
        pairs += [[source, target] for source in sources for target in targets]
    return pairs


def _named_regions(selection: object, regions: tuple[Region, ...]) -> list[str]:
    """Regions whose name or group is selected."""
    if not isinstance(selection, list):
        raise CircuitError("expected sources and targets to be lists of region or group names.")
    unknown = [str(item) for item in selection if not any(item in (region.name, region.group) for region in regions)]
    if unknown:
        raise CircuitError(f"edges name unknown regions or groups: {', '.join(unknown)}.")
    return [region.name for region in regions if region.name in selection or region.group in selection]


def _regions(document: Mapping[str, Any]) -> tuple[Region, ...]:
    entries = document["regions"]
    if not isinstance(entries, list) or not entries:
        raise CircuitError("a circuit needs at least one region.")
    return tuple(_region(entry) for entry in entries)


def _region(entry: Mapping[str, Any]) -> Region:
    _check_keys(
        entry, required={"name", "group"}, optional={"centre_mni_mm", "radius_mm", "source"}, what="a [[regions]] table"
    )
    centre, radius = entry.get("centre_mni_mm"), entry.get("radius_mm")
    if centre is not None:
        if not isinstance(centre, list) or len(centre) != 3:
            raise CircuitError(f"expected centre_mni_mm of region {entry['name']} to be [x, y, z].")
        centre = tuple(_number(value, entry["name"]) for value in centre)
    return Region(
        name=_text(entry, "name"),
        group=_text(entry, "group"),
        centre_mni_mm=centre,
        radius_mm=None if radius is None else _number(radius, entry["name"]),
        source=_text(entry, "source") if "source" in entry else "",
    )


def _in_mm(length: float | tuple[float, ...] | None) -> str:
    if length is None:
        return "not known"
    return ", ".join(f"{x:g}" for x in length) if isinstance(length, tuple) else f"{length:g}"


def _check_keys(entry: object, *, required: set[str], optional: set[str] | None = None, what: str) -> None:
    if not isinstance(entry, Mapping):
        raise CircuitError(f"expected {what} to be a table of named values.")
    missing, unknown = required - entry.keys(), entry.keys() - required - (optional or set())
    if missing or unknown:
        wrong = [f"lacks {name}" for name in sorted(missing)] + [f"has unknown {name}" for name in sorted(unknown)]
        raise CircuitError(f"{what} {', '.join(wrong)}.")


def _text(entry: Mapping[str, Any], key: str) -> str:
    if not isinstance(entry[key], str):
        raise CircuitError(f"expected {key} to be text, found {entry[key]!r}.")
    return str(entry[key])


def _number(value: object, region: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise CircuitError(f"expected a finite number of mm for region {region}, found {value!r}.")
    return float(value)
