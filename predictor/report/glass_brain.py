"""An answer's contributions on the brain's outlines, from the left, from behind and from above."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from predictor.circuit.circuit import Circuit
from predictor.errors import RegionsUnknownError
from predictor.report.edge_table import attributions_of, edge_sums, explanation_of
from predictor.report.palette import LIGHT
from predictor.report.region_attributions import check_regions, region_sums
from predictor.report.svg import element, figure, text
from predictor.report.wording import outcome_in_words, quantity, region_in_words

N_TOP = 12  # edges in the words for who cannot see the drawing
WIDTH, MARGIN, KEY_ROW = 760.0, 14.0, 20.0
PIXELS_PER_MM = 1.39
MIN_LINE, MAX_LINE = 1.0, 8.0  # pixels
NODE_RADIUS = 7.0
DASHES = "5 3"  # what lowers the expectation is dashed, so that colour is not the only sign
Pixels = tuple[float, float]


@dataclass(frozen=True, slots=True)
class View:
    """One direction to look from: which outline, how it lies in MNI space, and the millimetres that it spans.

    `scale` and `offset_mm` turn the outline's own numbers into MNI millimetres; they are those by which nilearn itself
    lays these outlines over the MNI template (`nilearn.plotting.glass_brain`), and a test compares them.
    """

    name: str
    title: str
    axes: tuple[int, int]  # MNI axes that run to the right and upwards
    scale: tuple[float, float]
    offset_mm: tuple[float, float]
    left_mm: float
    right_mm: float


VIEWS: Final = (
    View("side", "From the side", (1, 2), (0.38, 0.38), (-108.0, -70.0), -112.0, 82.0),
    View("back", "From behind", (0, 2), (0.39, 0.39), (-73.0, -73.0), -78.0, 78.0),
    View("top", "From above", (0, 1), (0.36, 0.37), (-71.0, -107.0), -76.0, 78.0),
)
TOP_MM, BOTTOM_MM = 88.0, -112.0  # the view from above is the tallest
LEFT_AND_RIGHT = ("back", "top")  # views in which left is left


def glass_brain_svg(answer: Mapping[str, Any], circuit: Circuit) -> str:
    """Draw every pair of regions whose measures move the output, and every region, as one SVG.

    Parameters
    ----------
    answer
        An answer document with an explanation.
    circuit
        Regions with coordinates, those that the features were measured in.

    Returns
    -------
    str
        SVG text with title, description and legend; no script, no style sheet. Lines are as wide as the pair's summed
        contribution is large, blue and whole where it raises the expectation, vermilion and dashed where it lowers it;
        the key lists every region's sum, an edge giving one half to each end.

    Raises
    ------
    ExplanationAbsentError
        If the answer was refused, or its explanation withheld.
    RegionsUnknownError
        If the circuit has no coordinates, or a feature was measured in a region that it does not hold.
    """
    if not circuit.has_coordinates:
        raise RegionsUnknownError("the model's regions have names only, no coordinates.")
    attributions = attributions_of(answer)
    edges, regions = edge_sums(attributions), region_sums(attributions)
    check_regions(regions, circuit)
    numbers = {name: number for number, name in enumerate((n for n in circuit.region_names if n in regions), start=1)}
    places = {region.name: region.centre_mni_mm for region in circuit.regions if region.centre_mni_mm is not None}
    shapes, left = [], MARGIN
    for view in VIEWS:
        shapes += _draw_view(view, left, edges, regions, numbers, places)
        left += (view.right_mm - view.left_mm) * PIXELS_PER_MM + MARGIN
    outcome_unit = answer["outcome"]["unit"]
    # A difference between two percentages is no percentage.
    unit = "percentage points" if outcome_unit == "percent" else outcome_unit
    bottom = 30 + (TOP_MM - BOTTOM_MM) * PIXELS_PER_MM
    key, height = _draw_key(regions, numbers, largest=_largest(edges), unit=unit, top=bottom, answer=answer)
    return figure(
        shapes + key,
        width=WIDTH,
        height=height,
        title="Where in the brain the number comes from",
        description=_in_words(edges, unit),
    )


@cache
def outline_path(view_name: str) -> str:
    """Return a brain outline as an SVG path in the outline's own numbers; read once from the installed nilearn.

    Parameters
    ----------
    view_name
        "side", "back" or "top".

    References
    ----------
    nilearn, `nilearn/plotting/glass_brain_files` (New BSD licence); read from the installed package, not copied.
    """
    package = find_spec("nilearn")  # found without importing it, which takes a second
    assert package is not None
    folder = Path(str(package.origin)).parent / "plotting" / "glass_brain_files"
    drawing = json.loads((folder / f"brain_schematics_{view_name}.json").read_text(encoding="utf-8"))
    return "".join(_segment(item["pts"]) for path in drawing["paths"] for item in path["items"])


def _segment(points: list[list[float]]) -> str:
    """One straight line (two points) or Bezier curve (three or four)."""
    letter = {2: "L", 3: "Q", 4: "C"}[len(points)]
    first, *others = (f"{x:.1f} {y:.1f}" for x, y in points)
    return f"M{first}{letter}{' '.join(others)}"


def _draw_view(
    view: View,
    left: float,
    edges: Mapping[tuple[str, str], float],
    regions: Mapping[str, float],
    numbers: Mapping[str, int],
    places: Mapping[str, tuple[float, float, float]],
) -> list[str]:
    def pixels(name: str) -> Pixels:
        right_mm, up_mm = (places[name][axis] for axis in view.axes)
        return left + (right_mm - view.left_mm) * PIXELS_PER_MM, 30 + (TOP_MM - up_mm) * PIXELS_PER_MM

    middle = left + (view.right_mm - view.left_mm) * PIXELS_PER_MM / 2
    shapes = [text(view.title, x=middle, y=20, font_weight="600", text_anchor="middle"), _outline(view, left)]
    if view.name in LEFT_AND_RIGHT:
        end = left + (view.right_mm - view.left_mm) * PIXELS_PER_MM
        shapes += [text("L", x=left + 2, y=44, style_class="figure-muted")]
        shapes += [text("R", x=end - 12, y=44, style_class="figure-muted")]
    largest = _largest(edges)
    for (source, target), total in sorted(edges.items(), key=lambda item: abs(item[1])):
        shapes.append(_line(pixels(source), pixels(target), total, largest=largest))
    for name in sorted(numbers, key=lambda name: abs(regions[name])):
        shapes += _node(pixels(name), numbers[name])
    return shapes


def _outline(view: View, left: float) -> str:
    """Return the outline, moved and scaled into place; its y points upwards, a drawing's downwards."""
    x_scale, y_scale = (factor * PIXELS_PER_MM for factor in view.scale)
    x = left + (view.offset_mm[0] - view.left_mm) * PIXELS_PER_MM
    y = 30 + (TOP_MM - view.offset_mm[1]) * PIXELS_PER_MM
    return element(
        "path",
        style_class="figure-outline",
        d=outline_path(view.name),
        transform=f"translate({x:.2f} {y:.2f}) scale({x_scale:.4f} {-y_scale:.4f})",
        fill="none",
        stroke=LIGHT["outline"],
        stroke_width=2,
    )


def _line(start: Pixels, end: Pixels, total: float, *, largest: float) -> str:
    width = MIN_LINE + (MAX_LINE - MIN_LINE) * abs(total) / largest
    dashes = "none" if total >= 0 else DASHES
    style_class = "figure-up" if total >= 0 else "figure-down"
    return element(
        "line",
        style_class=style_class,
        x1=start[0],
        y1=start[1],
        x2=end[0],
        y2=end[1],
        stroke_width=width,
        stroke_opacity="0.8",
        stroke_dasharray=dashes,
    )


def _node(place: Pixels, number: int) -> list[str]:
    x, y = place
    disc = element(
        "circle", style_class="figure-paper", cx=x, cy=y, r=NODE_RADIUS, stroke=LIGHT["total"], stroke_width=1
    )
    return [disc, text(str(number), x=x, y=y + 3.6, size=10, font_weight="600", text_anchor="middle")]


def _draw_key(
    regions: Mapping[str, float],
    numbers: Mapping[str, int],
    *,
    largest: float,
    unit: str,
    top: float,
    answer: Mapping[str, Any],
) -> tuple[list[str], float]:
    """Legend, the regions with their sums in three columns, and what it may be used for; and where it ends."""
    shapes, y = _draw_legend(largest, unit=unit, top=top)
    n_rows = -(-len(numbers) // 3)
    for place, (name, number) in enumerate(numbers.items()):
        column, row = divmod(place, n_rows)
        words = f"{number}  {region_in_words(name)}  {quantity(regions[name], '', signed=True)}"
        shapes.append(text(words, x=MARGIN + column * (WIDTH - MARGIN) / 3, y=y + row * KEY_ROW, size=12))
    y += n_rows * KEY_ROW + 8
    outcome, arm = outcome_in_words(answer["outcome"]["name"]), explanation_of(answer)["arm"]
    under = "" if arm == "all" else f" under {arm}"
    lines = (
        f"Numbers and widths: contributions to the expected {outcome}{under}, in {unit}.",
        "An edge sums all measures of its two regions and gives one half to each of them.",
    )
    shapes += [
        text(line, x=MARGIN, y=y + 18 * row, size=12, style_class="figure-muted") for row, line in enumerate(lines)
    ]
    shapes.append(text("Research use only.", x=MARGIN, y=y + 36, size=12, font_weight="600"))
    return shapes, y + 50


def _draw_legend(largest: float, *, unit: str, top: float) -> tuple[list[str], float]:
    y, shapes = top + 14, []
    for x, sign, words in ((MARGIN, 1, "raises the expectation"), (MARGIN + 230, -1, "lowers the expectation")):
        shapes.append(_line((x, y - 4), (x + 40, y - 4), sign * largest / 2, largest=largest))
        shapes.append(text(words, x=x + 50, y=y, size=12))
    shapes.append(_line((MARGIN + 460, y - 4), (MARGIN + 500, y - 4), largest, largest=largest))
    shapes.append(text(f"this wide: {quantity(largest, unit)}", x=MARGIN + 510, y=y, size=12))
    return shapes, y + 30


def _largest(edges: Mapping[tuple[str, str], float]) -> float:
    return max((abs(total) for total in edges.values()), default=0.0) or 1.0


def _in_words(edges: Mapping[tuple[str, str], float], unit: str) -> str:
    """Return the largest pairs as a sentence for who cannot see the drawing."""
    ordered = sorted(edges.items(), key=lambda item: (-abs(item[1]), item[0]))
    listed = [
        f"{region_in_words(source)} and {region_in_words(target)} {quantity(total, unit, signed=True)}"
        for (source, target), total in ordered[:N_TOP]
    ]
    rest = [f"and {len(ordered) - N_TOP} smaller ones"] if len(ordered) > N_TOP else []
    return "; ".join([*listed, *rest]) + ". Research use only." if listed else "No pair of regions moves the number."
