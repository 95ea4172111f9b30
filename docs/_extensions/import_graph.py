"""The import graph as a page: one drawing and one table per package, made from the code."""

from __future__ import annotations

from html import escape

from markdown_text import table
from package_graph import (
    PackageGraph,
    imports_between_packages,
    layers,
    module_cycles,
    module_graph,
    package_graph,
    without_detours,
)

# A box and the space around it, in pixels of the drawing.
CHARACTER, BOX_HEIGHT, PADDING, GAP, ROW = 7.4, 40, 14, 18, 92
WIDEST_ROW = 800


def summary() -> str:
    """Say how many modules and imports there are, and whether any go in a circle."""
    graph, cycles = module_graph(), module_cycles()
    across = "; ".join(f"`{a}` imports `{b}` {n} times" for (a, b), n in imports_between_packages().items())
    circles = "No module takes part in a circle of imports." if not cycles else f"{len(cycles)} circles of imports:"
    listed = "\n".join("- " + ", ".join(f"`{module}`" for module in cycle) for cycle in cycles)
    return (
        f"{len(graph.modules)} modules, {graph.count_imports()} imports. {circles}\n\n{listed}\n\n"
        f"Between the packages: {across}. No other imports cross them."
    )


def drawing(root: str) -> str:
    """Return the drawing of one package as SVG within Markdown."""
    return svg_of(package_graph(root), title=f"Imports within {root}")


def imports_table(root: str) -> str:
    """Return what every unit of a package imports of the same package: the drawing in words, nothing left out."""
    graph = package_graph(root)
    rows = [
        [
            f"`{unit}`",
            str(graph.n_modules[unit]),
            ", ".join(f"`{found}` ({graph.imports[unit, found]})" for found in sorted(graph.below(unit))) or "nothing",
        ]
        for row in layers(graph)
        for unit in row
    ]
    return table(["unit", "modules", "imports (how often)"], rows)


def svg_of(graph: PackageGraph, *, title: str) -> str:
    """Draw boxes in layers and a line from each importer down to what it imports, detours left out.

    Parameters
    ----------
    graph
        Units and imports.
    title
        What a screen reader says; the table beside the drawing says the rest.
    """
    rows = [part for row in _ordered_rows(graph) for part in _wrapped(row)]
    width = max(_row_width(row) for row in rows) + 2 * GAP
    place = _places(rows, width)
    height = len(rows) * ROW - (ROW - BOX_HEIGHT) + 2 * GAP
    lines = "".join(_line(graph, pair, place) for pair in without_detours(graph))
    boxes = "".join(_box(unit, graph.n_modules[unit], *place[unit]) for unit in graph.n_modules)
    return (
        f'<div class="import-graph"><svg viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" role="img" '
        f'aria-label="{escape(title)}; the table below says the same"><title>{escape(title)}</title>'
        f"{lines}{boxes}</svg></div>"
    )


def _ordered_rows(graph: PackageGraph) -> list[list[str]]:
    """Layers with their units moved near to what imports them, so that fewer lines cross."""
    rows = [sorted(row) for row in layers(graph)]
    position = {unit: index / len(row) for row in rows for index, unit in enumerate(row)}
    for _ in range(4):
        for row in rows:
            row.sort(key=lambda unit: (_mean([position[near] for near in graph.above(unit) + graph.below(unit)]), unit))
            position |= {unit: (index + 0.5) / len(row) for index, unit in enumerate(row)}
    return rows


def _wrapped(row: list[str]) -> list[list[str]]:
    """Cut a layer that is wider than the page into several rows."""
    parts: list[list[str]] = [[]]
    for unit in row:
        if parts[-1] and _row_width([*parts[-1], unit]) > WIDEST_ROW:
            parts.append([])
        parts[-1].append(unit)
    return parts


def _places(rows: list[list[str]], width: float) -> dict[str, tuple[float, float, float]]:
    """Left edge, top edge and width of every box."""
    place = {}
    for index, row in enumerate(rows):
        left = (width - _row_width(row)) / 2
        for unit in row:
            place[unit] = (left, GAP + index * ROW, _box_width(unit))
            left += _box_width(unit) + GAP
    return place


def _line(graph: PackageGraph, pair: tuple[str, str], place: dict[str, tuple[float, float, float]]) -> str:
    (from_left, from_top, from_width), (to_left, to_top, to_width) = place[pair[0]], place[pair[1]]
    start, end = from_left + from_width / 2, to_left + to_width / 2
    y_start, y_end = (from_top + BOX_HEIGHT, to_top) if to_top >= from_top else (from_top, to_top + BOX_HEIGHT)
    bend = (y_end - y_start) / 2
    count = graph.imports[pair]
    kind = "line" if pair[1] in graph.beneath(pair[0]) else "line upwards"
    thickness = 1 + min(count, 40) ** 0.5 / 2
    return (
        f'<path class="{kind}" stroke-width="{thickness:.1f}" d="M{start:.0f} {y_start:.0f} '
        f'C{start:.0f} {y_start + bend:.0f} {end:.0f} {y_end - bend:.0f} {end:.0f} {y_end:.0f}">'
        f"<title>{escape(pair[0])} imports {escape(pair[1])}: {count}</title></path>"
    )


def _box(unit: str, n_modules: int, left: float, top: float, width: float) -> str:
    middle = left + width / 2
    size = f"{n_modules} modules" if n_modules > 1 else "module"
    return (
        f'<g class="{"package" if n_modules > 1 else "module"}">'
        f'<rect x="{left:.0f}" y="{top}" width="{width:.0f}" height="{BOX_HEIGHT}" rx="7"/>'
        f'<text class="name" x="{middle:.0f}" y="{top + 18}">{escape(unit)}</text>'
        f'<text class="size" x="{middle:.0f}" y="{top + 32}">{size}</text></g>'
    )


def _box_width(unit: str) -> float:
    return max(CHARACTER * len(unit), 68) + 2 * PADDING


def _row_width(row: list[str]) -> float:
    return sum(_box_width(unit) for unit in row) + GAP * (len(row) - 1)


def _mean(numbers: list[float]) -> float:
    return sum(numbers) / len(numbers) if numbers else 0.5
