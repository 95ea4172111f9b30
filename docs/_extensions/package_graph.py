"""Which package imports which, read from the code: units, counts, layers, cycles."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import grimp

PACKAGES = ("predictor", "training", "serving")
LONGER_THAN_ANY_CHAIN = 1_000


@dataclass(frozen=True, slots=True)
class PackageGraph:
    """Units (packages, or modules that lie beside them) and how often one imports another."""

    n_modules: Mapping[str, int]  # by unit
    imports: Mapping[tuple[str, str], int]  # (importer, imported) -> imports between their modules
    # Whoever imports is higher. Modules never import one another in a circle, but whole packages may: among those, the
    # one whose modules have the longer chains of imports below them is higher.
    height: Mapping[str, float]

    def above(self, unit: str) -> list[str]:
        """Return the units that import this one."""
        return [importer for importer, imported in self.imports if imported == unit]

    def below(self, unit: str) -> list[str]:
        """Return the units that this one imports."""
        return [imported for importer, imported in self.imports if importer == unit]

    def beneath(self, unit: str) -> list[str]:
        """Return the units that this one imports and that lie lower than it."""
        return [found for found in self.below(unit) if self.height[found] < self.height[unit]]


@lru_cache(maxsize=1)
def module_graph() -> grimp.ImportGraph:
    """Return imports between all modules; those for type checkers only are left out."""
    return grimp.build_graph(*PACKAGES, exclude_type_checking_imports=True, cache_dir=None)


def package_graph(root: str) -> PackageGraph:
    """Units of one package: its sub-packages, and the modules that lie beside them one by one."""
    graph = module_graph()
    children = graph.find_children(root)
    unit_of = {module: child for child in children for module in (child, *graph.find_descendants(child))}
    sizes = Counter(unit_of.values())
    counted = Counter(
        (unit_of[importer], unit_of[imported])
        for importer in unit_of
        for imported in graph.find_modules_directly_imported_by(importer)
        if imported in unit_of and unit_of[imported] != unit_of[importer]
    )
    short = {child: child.removeprefix(f"{root}.") for child in children}
    heights = module_heights()
    total = Counter[str]()
    for module, unit in unit_of.items():
        total[unit] += heights[module]
    return PackageGraph(
        {short[unit]: sizes[unit] for unit in sorted(sizes)},
        {(short[a], short[b]): count for (a, b), count in sorted(counted.items())},
        {
            short[unit]: rank + total[unit] / sizes[unit] / LONGER_THAN_ANY_CHAIN
            for rank, group in enumerate(strong_components(sorted(sizes), counted))
            for unit in group
        },
    )


@lru_cache(maxsize=1)
def module_heights() -> dict[str, int]:
    """Return the length of the longest chain of imports below every module; a circle counts as one module."""
    graph = module_graph()
    height: dict[str, int] = {}
    for group in _components():  # what is imported comes first
        found = {below for module in group for below in graph.find_modules_directly_imported_by(module)}
        height |= dict.fromkeys(group, 1 + max((height[below] for below in found - set(group)), default=-1))
    return height


def imports_between_packages() -> dict[tuple[str, str], int]:
    """Count imports from one of the three packages into another, by (importer, imported)."""
    graph = module_graph()
    counted: Counter[tuple[str, str]] = Counter()
    for module in graph.modules:
        for imported in graph.find_modules_directly_imported_by(module):
            counted[module.partition(".")[0], imported.partition(".")[0]] += 1
    return {pair: count for pair, count in sorted(counted.items()) if pair[0] != pair[1]}


def module_cycles() -> list[list[str]]:
    """Return groups of modules that import one another in a circle; none is what is wanted."""
    return [group for group in _components() if len(group) > 1]


def layers(graph: PackageGraph) -> list[list[str]]:
    """Units from the top (imported by nobody higher) down.

    A unit lies as low as its longest chain of imports allows: those that import nothing lie in the last layer. Imports
    of something higher, which whole packages may have, do not count.
    """
    depth: dict[str, int] = {}
    for unit in sorted(graph.n_modules, key=lambda name: graph.height[name]):
        depth[unit] = 1 + max((depth[found] for found in graph.beneath(unit)), default=-1)
    rows: list[list[str]] = [[] for _ in range(1 + max(depth.values(), default=0))]
    for unit in graph.n_modules:
        rows[len(rows) - 1 - depth[unit]].append(unit)
    return rows


def without_detours(graph: PackageGraph) -> list[tuple[str, str]]:
    """Return imports that no longer chain of imports explains, so that a picture stays legible."""
    reachable: dict[str, set[str]] = {}
    for unit in sorted(graph.n_modules, key=lambda name: graph.height[name]):
        beneath = graph.beneath(unit)
        reachable[unit] = set(beneath).union(*(reachable[found] for found in beneath))
    return [
        (importer, imported)
        for importer, imported in graph.imports
        if imported not in graph.beneath(importer)
        or not any(imported in reachable[between] for between in graph.beneath(importer))
    ]


def strong_components(nodes: Iterable[str], edges: Iterable[tuple[str, str]]) -> list[list[str]]:
    """Tarjan's strongly connected components; a component comes after all that it leads to.

    Examples
    --------
    >>> strong_components("abc", [("a", "b"), ("b", "c"), ("c", "b")])
    [['b', 'c'], ['a']]
    """
    following: dict[str, list[str]] = {node: [] for node in nodes}
    for start, end in edges:
        following[start].append(end)
    order: dict[str, int] = {}
    lowest: dict[str, int] = {}
    open_nodes: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        order[node] = lowest[node] = len(order)
        open_nodes.append(node)
        for end in following[node]:
            if end not in order:
                visit(end)
            if end in open_nodes:
                lowest[node] = min(lowest[node], lowest[end])
        if lowest[node] == order[node]:
            start = open_nodes.index(node)
            found.append(sorted(open_nodes[start:]))
            del open_nodes[start:]

    for node in following:
        if node not in order:
            visit(node)
    return found


@lru_cache(maxsize=1)
def _components() -> list[list[str]]:
    graph = module_graph()
    modules = sorted(graph.modules)
    edges = [(module, found) for module in modules for found in graph.find_modules_directly_imported_by(module)]
    return strong_components(modules, edges)
