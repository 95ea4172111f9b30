"""Region signals, motion and noise become a four-dimensional image on a coarse MNI grid."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from predictor.circuit.circuit import Circuit
from predictor.circuit.region_voxels import region_voxels
from training.simulation.head_motion import HeadMotion

FloatArray = NDArray[np.float64]

VOXEL_SIZE_MM = 6.0
GRID_SHAPE = (31, 33, 25)
# Chosen so that the smallest spheres of the circuit (5 mm) hold at least two voxels; the brain fits with a margin.
GRID_ORIGIN_MM = (-90.0, -117.0, -63.0)

# Brain-shaped: ellipsoids (centre, semi-axes in mm) of cerebrum, temporal lobes and cerebellum, rough but in place.
BRAIN_MM = (
    ((0.0, -18.0, 14.0), (69.0, 88.0, 62.0)),
    ((-44.0, -10.0, -24.0), (22.0, 40.0, 22.0)),
    ((44.0, -10.0, -24.0), (22.0, 40.0, 22.0)),
    ((0.0, -62.0, -36.0), (48.0, 34.0, 24.0)),
)
WHITE_MATTER_MM = (((-26.0, -24.0, 24.0), (13.0, 44.0, 17.0)), ((26.0, -24.0, 24.0), (13.0, 44.0, 17.0)))
CSF_MM = (((-8.0, -12.0, 16.0), (6.0, 26.0, 9.0)), ((8.0, -12.0, 16.0), (6.0, 26.0, 9.0)))
BRIGHTNESS = {"grey": 1.0, "white": 0.85, "csf": 1.3}

# Noise in percent of the voxel's brightness. Frozen together with the spread of the couplings in `neural_model`, which
# says what for; ordinary sizes for smooth 6 mm voxels.
VOXEL_NOISE_PERCENT = 0.4
REGION_NOISE_PERCENT = 0.15  # vascular and physiological, one course per region
REGION_NOISE_PERSISTENCE = 0.3
GLOBAL_PERCENT = 0.25  # carbon dioxide, arousal: in grey matter everywhere
TISSUE_PERCENT = 0.6  # pulsation in white matter and CSF; a little of it leaks everywhere
NETWORK_PERCENT = 0.5  # ordinary fluctuations of cortex outside the circuit
N_NETWORKS = 6
DRIFT_PERCENT = 0.8
MOTION_PERCENT_PER_MM = 0.8  # partial volume at edges, linear in the realignment parameters
SPIKE_PERCENT_PER_MM = 1.5  # signal lost in volumes with displacement above the threshold
SPIKE_THRESHOLD_MM = 0.2
SPIKE_PERSISTENCE = 0.4  # spin history


@dataclass(frozen=True, slots=True)
class Scanner:
    """What differs between sites."""

    brightness: float  # mean image intensity
    noise_factor: float
    global_factor: float


SCANNERS = {
    "north": Scanner(300.0, 1.0, 1.0),
    "centre": Scanner(270.0, 1.12, 1.15),
    "south": Scanner(320.0, 0.92, 0.9),
}


@dataclass(frozen=True, slots=True, eq=False)
class BrainGrid:
    """The grid and its anatomy; voxel arrays list brain voxels in Fortran order."""

    shape: tuple[int, int, int]
    affine: FloatArray  # (4, 4)
    flat_index: NDArray[np.int64]  # (n_voxels,), x fastest
    position: FloatArray  # (n_voxels, 3), MNI mm scaled to about -1..1
    tissue: NDArray[np.str_]  # (n_voxels,), "grey", "white" or "csf"
    region_loading: FloatArray  # (n_regions, n_voxels), 1 inside the region


@dataclass(frozen=True, slots=True, eq=False)
class RunImage:
    """One simulated run: brain voxels only, whole numbers as they are stored."""

    grid: BrainGrid
    voxels: NDArray[np.int16]  # (n_volumes, n_voxels)

    def volumes(self) -> NDArray[np.int16]:
        """Return the image as (n_volumes, x * y * z) in file order, 0 outside the brain."""
        full = np.zeros((len(self.voxels), int(np.prod(self.grid.shape))), dtype="<i2")
        full[:, self.grid.flat_index] = self.voxels
        return full

    def tissue_mean(self, tissue: str) -> FloatArray:
        """Return the mean course of a tissue, shape (n_volumes,)."""
        return np.asarray(self.voxels[:, self.grid.tissue == tissue].mean(axis=1, dtype=np.float64))


@lru_cache(maxsize=2)
def brain_grid(circuit: Circuit) -> BrainGrid:
    """Lay the circuit's regions into a brain-shaped mask."""
    affine = np.diag([VOXEL_SIZE_MM, VOXEL_SIZE_MM, VOXEL_SIZE_MM, 1.0])
    affine[:3, 3] = GRID_ORIGIN_MM
    lattice = np.stack([axis.ravel(order="F") for axis in np.indices(GRID_SHAPE)], axis=1)
    position_mm = lattice @ affine[:3, :3].T + affine[:3, 3]
    found = region_voxels(circuit, GRID_SHAPE, affine)
    in_brain = _inside(position_mm, BRAIN_MM)
    in_brain[found.flat_index] = True
    tissue = np.full(len(lattice), "grey", dtype="<U5")
    tissue[_inside(position_mm, WHITE_MATTER_MM)] = "white"
    tissue[_inside(position_mm, CSF_MM)] = "csf"
    tissue[found.flat_index] = "grey"
    loading = np.zeros((len(circuit.regions), len(lattice)))
    for region_index in range(len(circuit.regions)):
        loading[region_index, found.flat_index[found.of_region(region_index)]] = 1.0
    flat_index = np.flatnonzero(in_brain)
    return BrainGrid(
        GRID_SHAPE, affine, flat_index, position_mm[flat_index] / 80.0, tissue[flat_index], loading[:, flat_index]
    )


def simulate_run(
    grid: BrainGrid, region_bold: FloatArray, motion: HeadMotion, scanner: Scanner, rng: np.random.Generator
) -> RunImage:
    """Put region signals, nuisance and noise together.

    Parameters
    ----------
    region_bold
        Percent BOLD of the circuit's regions, shape (n_volumes, n_regions).

    Returns
    -------
    RunImage
        Intensities; percent signal plus 100 times the voxel's brightness.
    """
    n_volumes = len(region_bold)
    noisy_bold = region_bold + REGION_NOISE_PERCENT * autoregressive(
        rng, region_bold.shape, persistence=REGION_NOISE_PERSISTENCE
    )
    courses, loadings = [noisy_bold], [grid.region_loading]
    for course, loading in (
        _physiology(grid, n_volumes, scanner, rng),
        _networks(grid, n_volumes, rng),
        _drift(grid, n_volumes, rng),
        _motion_artefact(grid, motion, rng),
    ):
        courses.append(course)
        loadings.append(loading)
    percent = np.column_stack(courses).astype(np.float32) @ np.vstack(loadings).astype(np.float32)
    noise = rng.standard_normal(percent.shape, dtype=np.float32)
    percent += np.float32(VOXEL_NOISE_PERCENT * scanner.noise_factor) * noise
    tissue_brightness = np.array([BRIGHTNESS[tissue] for tissue in grid.tissue], dtype=np.float32)
    brightness = scanner.brightness * tissue_brightness * _shading(grid)
    return RunImage(grid, np.rint(brightness * (1 + percent / 100)).astype("<i2"))


def autoregressive(rng: np.random.Generator, shape: tuple[int, ...], *, persistence: float) -> FloatArray:
    """Draw AR(1) courses along the first axis with a standard deviation of 1."""
    noise = rng.standard_normal(shape)
    noise[1:] *= np.sqrt(1 - persistence**2)
    return np.asarray(signal.lfilter([1.0], [1.0, -persistence], noise, axis=0))


def _inside(
    position_mm: FloatArray, ellipsoids: tuple[tuple[tuple[float, ...], tuple[float, ...]], ...]
) -> NDArray[np.bool_]:
    inside = [(((position_mm - centre) / np.array(axes)) ** 2).sum(axis=1) <= 1 for centre, axes in ellipsoids]
    return np.asarray(np.logical_or.reduce(inside), dtype=np.bool_)


def _shading(grid: BrainGrid) -> NDArray[np.float32]:
    """Receive coils see the rim better than the middle."""
    return np.asarray(0.9 + 0.15 * (grid.position**2).sum(axis=1), dtype=np.float32)


def _physiology(
    grid: BrainGrid, n_volumes: int, scanner: Scanner, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    courses = autoregressive(rng, (n_volumes, 3), persistence=0.6)
    white, csf = grid.tissue == "white", grid.tissue == "csf"
    whole = np.select([white, csf], [0.5, 0.3], 1.0) * rng.normal(1.0, 0.15, len(white))
    loading = np.stack(
        [
            GLOBAL_PERCENT * scanner.global_factor * whole,
            TISSUE_PERCENT * np.where(white, 1.0, 0.1),
            TISSUE_PERCENT * np.where(csf, 1.0, 0.1),
        ]
    )
    return courses, loading


def _networks(grid: BrainGrid, n_volumes: int, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    courses = autoregressive(rng, (n_volumes, N_NETWORKS), persistence=0.7)
    centres = grid.position[rng.integers(len(grid.position), size=N_NETWORKS)]
    distance = ((grid.position[None] - centres[:, None]) ** 2).sum(axis=2)
    # The circuit's own signals come from the neuronal model alone.
    outside = (grid.region_loading.sum(axis=0) == 0) & (grid.tissue == "grey")
    return courses, NETWORK_PERCENT * np.exp(-distance / 0.18) * outside


def _drift(grid: BrainGrid, n_volumes: int, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    when = np.linspace(0, 1, n_volumes)
    courses = np.stack([when - 0.5, 0.5 * np.cos(2 * np.pi * when)], axis=1)
    return courses, DRIFT_PERCENT * _gradients(grid, 2, rng)


def _motion_artefact(grid: BrainGrid, motion: HeadMotion, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    lost = np.maximum(motion.framewise_displacement_mm - SPIKE_THRESHOLD_MM, 0)
    lost = signal.lfilter([1.0], [1.0, -SPIKE_PERSISTENCE], lost)
    moved_mm = motion.parameters * np.array([1.0, 1.0, 1.0, 50.0, 50.0, 50.0])
    loading = np.vstack(
        [
            MOTION_PERCENT_PER_MM * _gradients(grid, 6, rng),
            -SPIKE_PERCENT_PER_MM * (1 + 0.3 * _gradients(grid, 1, rng)),
        ]
    )
    return np.column_stack([moved_mm - moved_mm.mean(axis=0), lost]), loading


def _gradients(grid: BrainGrid, n_gradients: int, rng: np.random.Generator) -> FloatArray:
    """Random smooth fields over the brain, shape (n_gradients, n_voxels), sizes of about 1."""
    basis = np.column_stack([np.ones(len(grid.position)), grid.position, grid.position**2])
    weights = rng.standard_normal((basis.shape[1], n_gradients)) * np.array([0.5, 1, 1, 1, 0.7, 0.7, 0.7])[:, None]
    return np.asarray((basis @ weights).T)
