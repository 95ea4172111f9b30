"""Where the circuit's regions lie in a scan: slices of its mean image through each region's centre."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from predictor.circuit.circuit import Circuit, Region
from predictor.circuit.region_voxels import nearest_voxels
from predictor.report.palette import ON_IMAGE_EDGE, ON_IMAGE_PARTIAL, ON_IMAGE_WHOLE
from predictor.report.themed_figure import MUTED, SMALL, WIDTH_INCHES, drawing, inline_svg, show_pixels
from predictor.report.wording import in_percent, region_in_words
from predictor.scan.quality import RunQuality
from predictor.scan.region_signals import MeanImage

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# What is shown of each axis in MNI mm: the head of the template with a little air.
FIELD_MM: Final = ((-80.0, 80.0), (-114.0, 82.0), (-70.0, 88.0))
SLICE_STEP_MM: Final = 2.0
# Brightest shown: a few voxels of vessels or fat must not darken the brain.
BRIGHTEST_PERCENTILE: Final = 99.0
# Sagittal, coronal, axial: the axis that is cut, then the ones shown from left to right and from bottom to top.
PLANES: Final = ((0, 1, 2), (1, 0, 2), (2, 0, 1))
PER_ROW: Final = 3
MAX_REGIONS: Final = 24
INCHES_PER_MM: Final = 0.0058
GAP_PIXELS: Final = 3
_SLICE_HEIGHT = INCHES_PER_MM * (FIELD_MM[1][1] - FIELD_MM[1][0])
_TITLE_HEIGHT = 0.4  # inches


def coverage_svg(mean_image: MeanImage, circuit: Circuit, quality: RunQuality) -> str:
    """Draw three slices of the mean image per region, with the region's outline.

    Parameters
    ----------
    mean_image
        Mean of the run.
    circuit
        Regions with coordinates; of more than 24 the first are shown.
    quality
        The run's coverage and temporal signal-to-noise ratio per region.

    Returns
    -------
    str
        `<svg>` for a page; left of the image is left of the brain.
    """
    regions = circuit.regions[:MAX_REGIONS]
    n_rows = -(-len(regions) // PER_ROW)
    height = n_rows * (_SLICE_HEIGHT + _TITLE_HEIGHT) + 0.05
    brightest = _brightest(mean_image)
    with drawing(height) as figure:
        # One sheet in inches: axes of their own for every slice would take ten times as long.
        axes = figure.add_axes((0, 0, 1, 1))
        for number, region in enumerate(regions):
            row, column = divmod(number, PER_ROW)
            left = column * WIDTH_INCHES / PER_ROW + 0.03
            top = height - row * (_SLICE_HEIGHT + _TITLE_HEIGHT) - _TITLE_HEIGHT
            axes.text(left, top + 0.19, region_in_words(region.name), weight="bold")
            axes.text(left, top + 0.05, " · ".join(_facts(quality, region)), color=MUTED, size=SMALL - 0.5)
            covered = quality.coverage.get(region.name)
            colour = ON_IMAGE_WHOLE if covered is None or covered == 1 else ON_IMAGE_PARTIAL
            _draw_region(axes, mean_image, region, left, top, brightest, colour)
        axes.set(xlim=(0, WIDTH_INCHES), ylim=(0, height))
        axes.set_axis_off()
        return inline_svg(
            figure,
            name=f"coverage-{quality.name}",
            title=f"Regions on the mean image of {quality.name}",
            description=_in_words(quality.coverage),
        )


def slice_mm(
    mean_image: MeanImage, plane: tuple[int, int, int], at_mm: float, *, step_mm: float = SLICE_STEP_MM
) -> NDArray[np.float64]:
    """Cut a plane in MNI space out of an image, however its voxels lie.

    Parameters
    ----------
    mean_image
        Any grid.
    plane
        Axis that is cut, axis from left to right, axis from bottom to top; 0, 1, 2 for x, y, z.
    at_mm
        Where the first axis is cut.
    step_mm
        Distance of the samples; each takes the nearest voxel.

    Returns
    -------
    ndarray of shape (n_up, n_right)
        First row on top; NaN outside the image.
    """
    cut, right, up = plane
    rightwards, upwards = (np.arange(low + step_mm / 2, high, step_mm) for low, high in (FIELD_MM[right], FIELD_MM[up]))
    points = np.empty((upwards.size, rightwards.size, 3))
    points[..., cut], points[..., right], points[..., up] = at_mm, rightwards, upwards[::-1, np.newaxis]
    voxels = nearest_voxels(points.reshape(-1, 3), mean_image.affine)
    is_inside = ((voxels >= 0) & (voxels < mean_image.values.shape)).all(axis=1)
    values = np.full(len(voxels), np.nan)
    values[is_inside] = mean_image.values[tuple(voxels[is_inside].T)]
    return values.reshape(points.shape[:2])


def _draw_region(
    axes: Axes, mean_image: MeanImage, region: Region, left: float, top: float, brightest: float, colour: str
) -> None:
    """Draw three slices side by side, one scale for all, below and to the right of a place in inches."""
    from matplotlib.patches import Circle

    centre, radius = region.centre_mni_mm, region.radius_mm
    if centre is None or radius is None:
        return  # circuits without coordinates have no mean image either
    tallest = round(_span(1) / SLICE_STEP_MM)
    picture = np.full((tallest, 0), np.nan)
    for cut, right, up in PLANES:
        start, bottom = picture.shape[1] * INCHES_PER_MM * SLICE_STEP_MM, top - tallest * INCHES_PER_MM * SLICE_STEP_MM
        values = np.nan_to_num(slice_mm(mean_image, (cut, right, up), centre[cut]))
        below = tallest - len(values)
        gap = np.full((tallest, GAP_PIXELS), np.nan)
        column = np.vstack(
            [np.full((below // 2, values.shape[1]), 0.0), values, np.zeros((below - below // 2, values.shape[1]))]
        )
        middle = (
            left + start + (centre[right] - FIELD_MM[right][0]) * INCHES_PER_MM,
            bottom
            + (below - below // 2) * SLICE_STEP_MM * INCHES_PER_MM
            + (centre[up] - FIELD_MM[up][0]) * INCHES_PER_MM,
        )
        for edge, width in ((ON_IMAGE_EDGE, 2.6), (colour, 1.4)):
            outline = Circle(middle, radius * INCHES_PER_MM, fill=False, edgecolor=edge, linewidth=width)
            axes.add_patch(outline)
        picture = np.hstack([picture, column, gap])
    across, down = (size * SLICE_STEP_MM * INCHES_PER_MM for size in picture.shape[::-1])
    show_pixels(axes, picture, extent=(left, left + across, top - down, top), limits=(0.0, brightest))


def _brightest(mean_image: MeanImage) -> float:
    finite = mean_image.values[np.isfinite(mean_image.values) & (mean_image.values > 0)]
    return float(np.percentile(finite, BRIGHTEST_PERCENTILE)) if finite.size else 1.0


def _span(axis: int) -> float:
    return FIELD_MM[axis][1] - FIELD_MM[axis][0]


def _facts(quality: RunQuality, region: Region) -> list[str]:
    covered, snr = quality.coverage.get(region.name), quality.temporal_snr.get(region.name)
    place = " ".join(f"{value:g}" for value in region.centre_mni_mm or ()).replace("-", "−")
    facts = [f"({place})"] if covered is None else [f"({place})", f"{in_percent(covered)} covered"]
    return facts if snr is None else [*facts, f"tSNR {snr:.0f}"]


def _in_words(coverage: Mapping[str, float | None]) -> str:
    low = [f"{region_in_words(name)} {in_percent(share)}" for name, share in coverage.items() if share and share < 1]
    lost = [region_in_words(name) for name, share in coverage.items() if share == 0]
    if not low and not lost:
        return "Every region is covered completely."
    return "Covered in part: " + (", ".join(low) or "none") + "; not at all: " + (", ".join(lost) or "none") + "."
