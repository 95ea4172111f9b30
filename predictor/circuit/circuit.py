"""The circuit: named regions in MNI space and the pairs between them."""

from __future__ import annotations

from dataclasses import dataclass

from predictor.errors import CircuitError


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
        if (self.centre_mni_mm is None) != (self.radius_mm is None):
            raise CircuitError(f"region {self.name} needs both a centre and a radius, or neither.")
        if self.radius_mm is not None and not 0 < self.radius_mm <= 30:
            raise CircuitError(f"region {self.name} has a radius of {self.radius_mm} mm; expected 0 to 30.")


@dataclass(frozen=True, slots=True)
class Edge:
    """A pair of regions; direction matters only for directed kinds (`source` acts on `target`)."""

    source: str
    target: str


@dataclass(frozen=True, slots=True)
class Circuit:
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

    @property
    def region_names(self) -> tuple[str, ...]:
        """Names of the regions, in order."""
        return tuple(region.name for region in self.regions)

    @property
    def has_coordinates(self) -> bool:
        """Whether every region can be found in a scan."""
        return all(region.centre_mni_mm is not None for region in self.regions)
