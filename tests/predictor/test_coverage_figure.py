from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from predictor.features.extraction import session_quality
from predictor.features.recipe import Recipe
from predictor.report.coverage_figure import FIELD_MM, PLANES, coverage_svg, slice_mm
from predictor.report.palette import ON_IMAGE_PARTIAL, ON_IMAGE_WHOLE
from predictor.scan.region_signals import MeanImage
from predictor.scan.session import BaselineSession


def _ramp(axis: int, signs: tuple[int, int, int]) -> MeanImage:
    """Image whose values are the coordinate along one axis, in mm, on a 4 mm grid stored in any direction."""
    shape = np.array([50, 60, 50])
    affine = np.diag([*(4.0 * np.array(signs)), 1.0])
    affine[:3, 3] = -affine[:3, :3] @ (shape / 2)
    coordinates = affine[axis, axis] * np.arange(shape[axis]) + affine[axis, 3]
    values = np.broadcast_to(np.expand_dims(coordinates, [other for other in range(3) if other != axis]), shape)
    return MeanImage(values.astype(np.float32), affine)


@pytest.mark.parametrize("signs", [(1, 1, 1), (-1, 1, 1), (-1, -1, -1)])
@pytest.mark.parametrize("plane", PLANES)
def test_slices_lie_where_they_say_however_the_image_is_stored(
    plane: tuple[int, int, int], signs: tuple[int, int, int]
) -> None:
    cut, right, up = plane
    across = slice_mm(_ramp(right, signs), plane, 10.0)
    upwards = slice_mm(_ramp(up, signs), plane, 10.0)
    constant = slice_mm(_ramp(cut, signs), plane, 10.0)
    at_right = np.arange(FIELD_MM[right][0] + 1, FIELD_MM[right][1], 2)
    at_up = np.arange(FIELD_MM[up][0] + 1, FIELD_MM[up][1], 2)[::-1]  # first row on top
    assert np.abs(across - at_right).max() <= 2.0
    assert np.abs(upwards - at_up[:, np.newaxis]).max() <= 2.0
    assert np.abs(constant - 10.0).max() <= 2.0


def test_outside_the_image_there_is_nothing() -> None:
    image = MeanImage(np.ones((2, 2, 2), dtype=np.float32), np.diag([4.0, 4.0, 4.0, 1.0]))
    assert np.isnan(slice_mm(image, (2, 0, 1), 60.0)).all()
    assert np.nansum(slice_mm(image, (2, 0, 1), 0.0)) == 4 * 4  # each voxel of 4 mm is sampled every 2 mm


def test_regions_that_lost_signal_stand_out(report_session: BaselineSession, report_recipe: Recipe) -> None:
    run, quality = report_session.runs[0], session_quality(report_session, report_recipe).runs[0]
    assert run.recording.mean_image is not None
    svg = coverage_svg(run.recording.mean_image, report_recipe.circuit, quality)
    assert svg.count(ON_IMAGE_PARTIAL) == 3  # the last region, in three slices
    assert svg.count(ON_IMAGE_WHOLE) == 3 * 11
    assert "75 % covered" in svg
    assert "(−24 −4 −19)" in svg
    assert "Covered in part: right anterior insula 75 %" in svg


def test_a_large_circuit_shows_its_first_regions(report_session: BaselineSession, report_recipe: Recipe) -> None:
    run, quality = report_session.runs[0], session_quality(report_session, report_recipe).runs[0]
    circuit = report_recipe.circuit
    many = tuple(replace(circuit.regions[0], name=f"region_{number}") for number in range(40))
    assert run.recording.mean_image is not None
    svg = coverage_svg(run.recording.mean_image, replace(circuit, regions=many, edges=()), quality)
    assert len(re.findall("<image", svg)) == 24
