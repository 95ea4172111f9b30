"""Voxels of regions, compared with nilearn's sphere masker on the same grids."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
from nilearn.maskers import NiftiSpheresMasker

from predictor.circuit.circuit import Circuit, Edge, Region, circuit_of_names, load_circuit
from predictor.circuit.region_voxels import region_voxels
from predictor.errors import CircuitError, CircuitNotCoveredError, RegionOverlapError, ScanHeaderError


def grid(
    voxel_mm: float, *, flip_x: bool = False, turn_degrees: float = 0.0
) -> tuple[tuple[int, int, int], np.ndarray]:
    """Give shape and affine of a grid over the circuit, no larger, because nilearn lists every voxel."""
    size = np.ceil(np.array([108, 104, 76]) / voxel_mm).astype(int)
    turn = np.deg2rad(turn_degrees)
    axes = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]]) * voxel_mm
    if flip_x:
        axes[:, 0] *= -1
    affine = np.eye(4)
    affine[:3, :3] = axes
    affine[:3, 3] = [0, 20, 4] - axes @ (size / 2)
    return (int(size[0]), int(size[1]), int(size[2])), affine


GRIDS = {
    "2 mm": grid(2.0),
    "2.2 mm": grid(2.2),
    "3 mm, x flipped": grid(3.0, flip_x=True),
    "4 mm": grid(4.0),
    "6 mm": grid(6.0),
    "3 mm, turned": grid(3.0, turn_degrees=17.0),
}


@pytest.mark.parametrize("name", GRIDS)
def test_region_voxels_are_those_of_nilearns_sphere_masker(name: str, rng: np.random.Generator) -> None:
    shape, affine = GRIDS[name]
    # With random values in every voxel, equal means can only come from equal voxels.
    data = rng.standard_normal((*shape, 2))
    circuit = load_circuit()
    voxels = region_voxels(circuit, shape, affine)
    flat = data.reshape(-1, 2, order="F")
    image = nibabel.Nifti1Image(data, affine)
    for radius in sorted({region.radius_mm for region in circuit.regions if region.radius_mm}):
        chosen = [index for index, region in enumerate(circuit.regions) if region.radius_mm == radius]
        masker = NiftiSpheresMasker(
            [circuit.regions[index].centre_mni_mm for index in chosen], radius=radius, standardize=None
        )
        expected = masker.fit_transform(image)
        found = np.array([flat[voxels.flat_index[voxels.of_region(index)]].mean(axis=0) for index in chosen]).T
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-13)


def test_voxels_cut_off_by_the_field_of_view_are_still_expected() -> None:
    shape, affine = grid(2.0)
    whole = region_voxels(load_circuit(), shape, affine)
    # Cut the image at x = -24 mm, through the middle of the left amygdala.
    cut = round((-24 - affine[0, 3]) / 2.0)
    cut_affine = affine.copy()
    cut_affine[0, 3] += 2.0 * cut
    part = region_voxels(load_circuit(), (shape[0] - cut, shape[1], shape[2]), cut_affine)
    assert part.n_expected.tolist() == whole.n_expected.tolist()
    n_found = part.of_region(0).stop - part.of_region(0).start
    assert 0.5 < n_found / whole.n_expected[0] < 0.7


def test_region_outside_the_field_of_view_has_no_voxels() -> None:
    shape, affine = grid(3.0)
    n_low = int((-5 - affine[2, 3]) // 3)
    affine[2, 3] += 3.0 * n_low  # nothing below z = -5 mm: amygdalae and hippocampi are gone
    voxels = region_voxels(load_circuit(), (shape[0], shape[1], shape[2] - n_low), affine)
    sizes = np.diff(voxels.region_start)
    assert sizes[:4].tolist() == [0, 0, 0, 0]
    assert (sizes[5:] > 0).all()


def test_scan_that_misses_the_whole_circuit_is_refused() -> None:
    shape, affine = grid(3.0)
    affine[0, 3] += 500
    with pytest.raises(CircuitNotCoveredError, match="none of the circuit's 12 regions"):
        region_voxels(load_circuit(), shape, affine)


def test_overlapping_regions_are_both_named() -> None:
    regions = (Region("a", "a", (0.0, 0.0, 0.0), 6.0), Region("b", "b", (20.0, 0.0, 0.0), 6.0))
    regions += (Region("c", "c", (10.0, 0.0, 0.0), 5.0),)
    circuit = Circuit("test", "MNI152NLin2009cAsym", regions, (Edge("a", "b"),))
    with pytest.raises(RegionOverlapError, match="a and c share"):
        region_voxels(circuit, *grid(2.0))


def test_region_without_coordinates_cannot_be_found_in_a_scan() -> None:
    with pytest.raises(CircuitError, match="has no coordinates"):
        region_voxels(circuit_of_names(["N1", "N2"], name="table"), *grid(3.0))


@pytest.mark.parametrize(
    "scale", [np.nan, np.inf, 0.0, 1e-3, 1e3, 1e30], ids=["NaN", "infinite", "singular", "in metres", "huge", "absurd"]
)
def test_impossible_affine_is_refused(scale: float) -> None:
    shape, affine = grid(2.0)
    affine[:3, 0] *= scale if np.isfinite(scale) else 1.0
    affine[1, 1] = scale if not np.isfinite(scale) else affine[1, 1]
    with pytest.raises(ScanHeaderError):
        region_voxels(load_circuit(), shape, affine)
