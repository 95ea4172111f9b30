"""The voxels of a circuit's regions on any grid in MNI space."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from predictor.circuit.circuit import Circuit, Region
from predictor.errors import CircuitError, CircuitNotCoveredError, RegionOverlapError, ScanHeaderError

# Finer or coarser grids than these are no BOLD image; without a floor a sphere could hold any number of voxels.
MIN_VOXEL_SIZE_MM = 0.4
MAX_VOXEL_SIZE_MM = 12.0
# No image of a head has its corner farther than this from the anterior commissure.
MAX_ORIGIN_MM = 2_000.0


@dataclass(frozen=True, slots=True, eq=False)
class RegionVoxels:
    """Where each region lies in a volume stored with x fastest, as NIfTI does."""

    flat_index: NDArray[np.int64]  # (n_voxels,), x + nx * (y + ny * z), region after region
    region_start: NDArray[np.int64]  # (n_regions + 1,), where each region begins in flat_index
    n_expected: NDArray[np.int64]  # (n_regions,), voxels on a grid without edges

    def of_region(self, region_index: int) -> slice:
        """Part of `flat_index` that belongs to one region; empty when it lies outside the field of view."""
        return slice(int(self.region_start[region_index]), int(self.region_start[region_index + 1]))


def region_voxels(circuit: Circuit, shape: tuple[int, int, int], affine: NDArray[np.float64]) -> RegionVoxels:
    """Voxels whose centre lies in each region's sphere, and the one nearest to its centre (as nilearn's masker does).

    Parameters
    ----------
    circuit
        Regions with coordinates.
    shape
        Voxels along x, y and z.
    affine
        Voxel indices to MNI mm, shape (4, 4); flips and rotations are fine.

    Raises
    ------
    CircuitError
        If a region has no coordinates.
    ScanHeaderError
        If the affine is not finite, not invertible, or of an impossible voxel size.
    RegionOverlapError
        If two regions share a voxel of the grid.
    CircuitNotCoveredError
        If no region has a voxel in the field of view. A single region outside only counts as uncovered.
    """
    check_affine(affine)
    lattices = [_sphere_lattice(region, affine) for region in circuit.regions]
    in_view = [lattice[((lattice >= 0) & (lattice < shape)).all(axis=1)] for lattice in lattices]
    if not any(len(lattice) for lattice in in_view):
        raise CircuitNotCoveredError(f"none of the circuit's {len(in_view)} regions lies in the scan's field of view.")
    strides = np.array([1, shape[0], shape[0] * shape[1]], dtype=np.int64)
    indices = [np.sort(lattice @ strides) for lattice in in_view]
    _check_overlap(circuit, indices)
    return RegionVoxels(
        flat_index=np.concatenate(indices),
        region_start=np.cumsum([0, *map(len, indices)], dtype=np.int64),
        n_expected=np.array([len(lattice) for lattice in lattices], dtype=np.int64),
    )


def check_affine(affine: NDArray[np.float64]) -> None:
    """Refuse an affine that cannot be the grid of a BOLD image.

    Raises
    ------
    ScanHeaderError
        If it is not finite, not invertible, far from the head, or its voxels are not between 0.4 and 12 mm.
    """
    if not np.isfinite(affine).all():
        raise ScanHeaderError("expected an affine of finite numbers, found NaN or infinity.")
    if np.abs(affine).max() > MAX_ORIGIN_MM:
        raise ScanHeaderError(f"expected an affine within {MAX_ORIGIN_MM:g} mm, found {np.abs(affine).max():.3g}.")
    # For a grid without shear the singular values are the voxel sizes; for any grid they bound what a sphere can hold.
    sizes = np.linalg.svd(affine[:3, :3], compute_uv=False)
    if not (sizes.min() >= MIN_VOXEL_SIZE_MM and sizes.max() <= MAX_VOXEL_SIZE_MM):
        found = " x ".join(f"{size:.3g}" for size in sizes)
        raise ScanHeaderError(
            f"expected voxels of {MIN_VOXEL_SIZE_MM} to {MAX_VOXEL_SIZE_MM} mm, the affine gives {found} mm."
        )


def nearest_voxels(points_mni_mm: NDArray[np.float64], affine: NDArray[np.float64]) -> NDArray[np.int64]:
    """Grid indices, shape (n_points, 3), of the voxels nearest to points of shape (n_points, 3); may lie outside."""
    inverse = np.linalg.inv(affine)
    return np.asarray(np.round(points_mni_mm @ inverse[:3, :3].T + inverse[:3, 3]), dtype=np.int64)


def _sphere_lattice(region: Region, affine: NDArray[np.float64]) -> NDArray[np.int64]:
    """Grid indices, shape (n, 3), of the sphere's voxels, whether or not the image reaches that far."""
    if region.centre_mni_mm is None or region.radius_mm is None:
        raise CircuitError(f"region {region.name} has no coordinates, so it cannot be found in a scan.")
    centre = np.array(region.centre_mni_mm)
    nearest = nearest_voxels(centre[np.newaxis], affine)
    # How many voxels the radius spans along each grid axis, however the axes are turned; one more for rounding.
    reach = np.ceil(region.radius_mm * np.linalg.norm(np.linalg.inv(affine)[:3, :3], axis=1)).astype(np.int64) + 1
    offsets = np.indices(tuple(2 * reach + 1)).reshape(3, -1).T - reach
    lattice = nearest + offsets
    offset_mm = lattice @ affine[:3, :3].T + affine[:3, 3] - centre
    is_inside = (offset_mm**2).sum(axis=1) <= region.radius_mm**2
    return np.asarray(lattice[is_inside | (offsets == 0).all(axis=1)])


def _check_overlap(circuit: Circuit, indices: list[NDArray[np.int64]]) -> None:
    owner: dict[int, str] = {}
    for region, index in zip(circuit.regions, indices, strict=True):
        for voxel in index.tolist():
            if voxel in owner:
                raise RegionOverlapError(f"regions {owner[voxel]} and {region.name} share voxels on this scan's grid.")
            owner[voxel] = region.name
