"""Connections and activations of one visit: matrices, a glass brain, and intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final

import numpy as np

from predictor.circuit.circuit import Circuit
from predictor.report.palette import ABOVE_ZERO, BELOW_ZERO
from predictor.report.themed_figure import INK, LINE, MUTED, PAPER, SMALL, WIDTH_INCHES, drawing, inline_svg
from predictor.report.wording import quantity, region_in_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.path import Path

# So much of the colour at the largest value, that numbers stay readable on it.
STRONGEST_TINT: Final = 0.8
# Normal quantile of a 95 % interval.
QUANTILE_95: Final = 1.96
MAX_NUMBERED_CELLS: Final = 400
MAX_DRAWN_EDGES: Final = 100
# Inches for the names of regions: at the left, and for the slanted ones beyond the last column.
NAMES_WIDTH, SLANT_WIDTH, PANEL_GAP = 1.85, 0.8, 0.3
_VIEWS: Final = (("x", 1, 2, "from the right"), ("y", 0, 2, "from behind"), ("z", 0, 1, "from above"))


@dataclass(frozen=True, slots=True)
class EdgeValue:
    """A number of a pair of regions; for directed kinds the source acts on the target."""

    source: str
    target: str
    value: float | None
    standard_error: float | None

    @property
    def is_clear(self) -> bool:
        """Whether the 95 % interval leaves out zero."""
        if self.value is None or self.standard_error is None:
            return False
        return abs(self.value) > QUANTILE_95 * self.standard_error


@dataclass(frozen=True, slots=True)
class RegionValue:
    """A number of one region."""

    region: str
    value: float | None
    standard_error: float | None


def matrix_svg(
    edges: Sequence[EdgeValue], *, name: str, title: str, unit: str, directions: tuple[str, str] | None = None
) -> str:
    """Draw the values of pairs as a matrix, coloured by sign and size.

    Parameters
    ----------
    edges
        One entry per pair, or per direction of a pair.
    name, title, unit
        Tells the drawing from others on the page; what it shows; what the numbers are in.
    directions
        For kinds whose two directions differ, what to write under the matrix whose rows are sources, and under the one
        whose columns are. None: a pair has one number.

    Returns
    -------
    str
        `<svg>` for a page. Numbers whose 95 % interval leaves out zero are bold. Above 400 cells no numbers are shown.
    """
    rows, columns, is_two_sided = _layout(edges)
    value_of = {(edge.source, edge.target): edge for edge in edges}
    limit = _limit([edge.value for edge in edges])
    panels = _panels(directions, is_two_sided=is_two_sided)
    room = WIDTH_INCHES - NAMES_WIDTH - SLANT_WIDTH - PANEL_GAP * (len(panels) - 1)
    cell = min(0.5, room / (len(columns) * len(panels)))
    has_names = len(rows) * len(columns) <= MAX_NUMBERED_CELLS
    cell_height = 0.27 if has_names else cell
    head, foot = (1.2 if has_names else 0.3), 0.45
    total = head + cell_height * len(rows) + foot
    with drawing(total) as figure:
        for number, (heading, is_turned) in enumerate(panels):
            left = NAMES_WIDTH + number * (cell * len(columns) + PANEL_GAP)
            axes = figure.add_axes(
                (
                    left / WIDTH_INCHES,
                    foot / total,
                    cell * len(columns) / WIDTH_INCHES,
                    cell_height * len(rows) / total,
                )
            )
            grid = [
                [
                    _entry(value_of, row, column, is_turned=is_turned, is_symmetric=directions is None)
                    for column in columns
                ]
                for row in rows
            ]
            _draw_tints(axes, grid, limit)
            if has_names:
                _write_numbers(axes, grid)
            _name_axes(axes, rows if number == 0 else [], columns, is_named=has_names)
            if heading:
                axes.set_xlabel(heading)
        figure.text(
            0.0, 0.02, f"full colour at ±{limit:.2g} {unit}; red above zero, blue below", color=MUTED, size=SMALL
        )
        return inline_svg(figure, name=name, title=title, description=_extremes(edges, unit))


def glass_brain_svg(edges: Sequence[EdgeValue], circuit: Circuit, *, name: str, title: str, unit: str) -> str:
    """Draw pairs as lines between the regions' centres, in three views of a transparent brain.

    Parameters
    ----------
    edges
        One entry per pair; of more than 100 the strongest are drawn.
    circuit
        Regions with coordinates.
    name, title, unit
        As for `matrix_svg`.

    Returns
    -------
    str
        `<svg>` for a page; stronger lines are thicker and less transparent. The brain's outline is nilearn's.
    """
    from matplotlib.patches import PathPatch

    centres = {region.name: region.centre_mni_mm for region in circuit.regions if region.centre_mni_mm is not None}
    drawn = sorted((edge for edge in edges if edge.value is not None), key=lambda edge: abs(edge.value or 0.0))
    drawn = drawn[-MAX_DRAWN_EDGES:]
    limit = _limit([edge.value for edge in drawn])
    height = 2.5
    with drawing(height) as figure:
        for number, (direction, right, up, view) in enumerate(_VIEWS):
            axes = figure.add_axes((number / 3, 0.14, 1 / 3, 0.81))
            outline, (left, farthest, bottom, top) = _outline(direction)
            axes.add_patch(PathPatch(outline, fill=False, edgecolor=MUTED, linewidth=0.5))
            for edge in drawn:
                ends = [centres[end] for end in (edge.source, edge.target)]
                share = min(abs(edge.value or 0.0) / limit, 1.0)
                axes.plot(
                    [end[right] for end in ends],
                    [end[up] for end in ends],
                    color=ABOVE_ZERO if (edge.value or 0.0) > 0 else BELOW_ZERO,
                    linestyle="-" if (edge.value or 0.0) > 0 else (0, (3, 1.5)),  # told apart in grey, too
                    alpha=0.1 + 0.85 * share,
                    linewidth=0.5 + 3.5 * share,
                    solid_capstyle="round",
                    dash_capstyle="butt",
                )
            places = np.array(list(centres.values()))
            axes.scatter(places[:, right], places[:, up], s=22, facecolor=PAPER, edgecolor=INK, linewidth=1.0, zorder=5)
            axes.set(xlim=(left, farthest), ylim=(bottom, top), aspect="equal")
            axes.set_axis_off()
            axes.set_title(view, color=MUTED, size=SMALL, y=-0.08)
        legend = f"red: above zero; blue, dashed: below; widest at {limit:.2g} {unit} and more"
        figure.text(0.0, 0.01, legend, color=MUTED, size=SMALL)
        return inline_svg(figure, name=name, title=title, description=_extremes(drawn, unit))


def activation_svg(panels: Sequence[tuple[str, Sequence[RegionValue]]], *, name: str, title: str, unit: str) -> str:
    """Draw one panel per contrast: a point per region with its 95 % interval.

    Parameters
    ----------
    panels
        Heading and values of each; the same regions in the same order.
    name, title, unit
        As for `matrix_svg`.
    """
    regions = [value.region for value in panels[0][1]]
    height = 0.2 * len(regions) + 0.85
    width = (WIDTH_INCHES - NAMES_WIDTH - 0.15 - PANEL_GAP * (len(panels) - 1)) / len(panels)
    with drawing(height) as figure:
        for number, (heading, values) in enumerate(panels):
            left = NAMES_WIDTH + number * (width + PANEL_GAP)
            axes = figure.add_axes(
                (left / WIDTH_INCHES, 0.45 / height, min(width, 3.6) / WIDTH_INCHES, 0.2 * len(regions) / height)
            )
            _draw_intervals(axes, values)
            axes.set_title(heading, loc="left", size=9.0)
            axes.set_xlabel(unit)
            axes.set_yticks(range(len(regions)), [region_in_words(region) for region in regions] if not number else [])
        return inline_svg(figure, name=name, title=title, description=_activation_in_words(panels, unit))


@cache
def _outline(direction: str) -> tuple[Path, tuple[float, float, float, float]]:
    """Return nilearn's brain seen from one side, in mm, and left, right, bottom and top of it.

    Its hundreds of strokes become one: a tenth of the text, and drawn at once.
    """
    from matplotlib.figure import Figure
    from matplotlib.path import Path
    from nilearn.plotting.glass_brain import plot_brain_schematics

    scratch = Figure().add_subplot()
    bounds = plot_brain_schematics(scratch, direction)
    strokes = list(scratch.patches)
    to_mm = strokes[0].get_transform() - scratch.transData
    joined = to_mm.transform_path(Path.make_compound_path(*(stroke.get_path() for stroke in strokes)))
    left, right, bottom, top = map(float, bounds)
    return joined, (left, right, bottom, top)


def _draw_intervals(axes: Axes, values: Sequence[RegionValue]) -> None:
    axes.axvline(0, color=MUTED, linewidth=0.7)
    for row, entry in enumerate(values):
        axes.axhline(row, color=LINE, linewidth=0.4, zorder=0)
        if entry.value is None:
            axes.text(0.01, row, "missing", transform=axes.get_yaxis_transform(), color=MUTED, size=SMALL, va="center")
            continue
        colour = ABOVE_ZERO if entry.value > 0 else BELOW_ZERO
        if entry.standard_error is not None:
            half = QUANTILE_95 * entry.standard_error
            axes.plot([entry.value - half, entry.value + half], [row, row], color=colour, linewidth=1.6)
        axes.plot(entry.value, row, "o", color=colour, markersize=4.5)
    axes.set_ylim(len(values) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    axes.spines["left"].set_visible(False)


def _layout(edges: Sequence[EdgeValue]) -> tuple[list[str], list[str], bool]:
    """Return rows, columns, and whether they are two separate sides (limbic and prefrontal) of the circuit."""
    sources, targets = (list(dict.fromkeys(ends)) for ends in zip(*((e.source, e.target) for e in edges), strict=True))
    if not set(sources) & set(targets):
        return sources, targets, True
    # A directed kind names every pair twice; its first entry says which side is which.
    firsts, seconds = [], []
    for edge in edges:
        if edge.source not in seconds and edge.target not in firsts:
            firsts.append(edge.source)
            seconds.append(edge.target)
        elif not (edge.source in seconds and edge.target in firsts):
            regions = list(dict.fromkeys([*sources, *targets]))
            return regions, regions, False
    return list(dict.fromkeys(firsts)), list(dict.fromkeys(seconds)), True


def _panels(directions: tuple[str, str] | None, *, is_two_sided: bool) -> list[tuple[str, bool]]:
    """Return what stands under each matrix, and whether its columns are the sources."""
    if directions is None:
        return [("", False)]
    rows_first, columns_first = directions
    return [(rows_first, False), (columns_first, True)] if is_two_sided else [(rows_first, False)]


def _entry(
    value_of: dict[tuple[str, str], EdgeValue], row: str, column: str, *, is_turned: bool, is_symmetric: bool
) -> EdgeValue | None:
    if is_symmetric:
        return value_of.get((row, column)) or value_of.get((column, row))
    return value_of.get((column, row) if is_turned else (row, column))


def _draw_tints(axes: Axes, grid: list[list[EdgeValue | None]], limit: float) -> None:
    from matplotlib.colors import to_rgba

    pixels = np.zeros((len(grid), len(grid[0]), 4))
    for y, entries in enumerate(grid):
        for x, entry in enumerate(entries):
            if entry is not None:
                colour, tint = _tint(entry.value, limit)
                pixels[y, x] = to_rgba(colour, round(tint, 2))
    axes.imshow(pixels, extent=(0, len(grid[0]), len(grid), 0), aspect="auto", interpolation="none")


def _write_numbers(axes: Axes, grid: list[list[EdgeValue | None]]) -> None:
    for y, entries in enumerate(grid):
        for x, entry in enumerate(entries):
            if entry is None:
                continue
            said = "–" if entry.value is None else quantity(entry.value, "", digits=2)
            weight = "bold" if entry.is_clear else "normal"
            shade = MUTED if entry.value is None else INK
            axes.text(x + 0.5, y + 0.54, said, ha="center", va="center", size=SMALL - 0.5, weight=weight, color=shade)
    axes.hlines(range(1, len(grid)), 0, len(grid[0]), color=PAPER, linewidth=1)
    axes.vlines(range(1, len(grid[0])), 0, len(grid), color=PAPER, linewidth=1)


def _name_axes(axes: Axes, rows: Sequence[str], columns: Sequence[str], *, is_named: bool) -> None:
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelcolor=INK)
    if not is_named:
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_ylabel(f"{len(columns)} regions")
        return
    axes.xaxis.set_ticks_position("top")
    named = [region_in_words(column) for column in columns]
    axes.set_xticks(np.arange(len(columns)) + 0.5, named, rotation=45, ha="left", rotation_mode="anchor")
    axes.set_yticks(np.arange(len(rows)) + 0.5, [region_in_words(row) for row in rows])
    if not rows:
        axes.set_yticks([])


def _tint(value: float | None, limit: float) -> tuple[str, float]:
    if value is None:
        return LINE, 0.35
    return ABOVE_ZERO if value > 0 else BELOW_ZERO, STRONGEST_TINT * min(abs(value) / limit, 1.0)


def _limit(values: Sequence[float | None]) -> float:
    """Return a value near the largest, so that one outlier does not bleach the rest."""
    known = np.abs([value for value in values if value is not None])
    return float(np.percentile(known, 98)) or 1.0 if known.size else 1.0


def _extremes(edges: Sequence[EdgeValue], unit: str) -> str:
    known = sorted((edge for edge in edges if edge.value is not None), key=lambda edge: edge.value or 0.0)
    if not known:
        return "No value is known."
    lowest, highest = (
        f"{region_in_words(edge.source)} and {region_in_words(edge.target)} ({edge.value:.2f} {unit})"
        for edge in (known[0], known[-1])
    )
    return f"{len(known)} of {len(edges)} values are known; lowest {lowest}, highest {highest}."


def _activation_in_words(panels: Sequence[tuple[str, Sequence[RegionValue]]], unit: str) -> str:
    parts = []
    for heading, values in panels:
        said = ", ".join(f"{region_in_words(v.region)} {v.value:.2f}" for v in values if v.value is not None)
        parts.append(f"{heading} ({unit}): {said or 'missing'}")
    return ". ".join(parts)
