"""From volumes to region signals, in one pass and without ever holding the run."""

from __future__ import annotations

import hashlib
import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from predictor.circuit.circuit import Circuit
from predictor.circuit.region_voxels import RegionVoxels, nearest_voxels, region_voxels
from predictor.errors import FeatureError, ScanError, ScanSpaceError, ScanTooLargeError
from predictor.scan.nifti_header import MNI_SPACE_CODE
from predictor.scan.nifti_stream import NiftiHeader, NiftiStream, ScanLimits

# A voxel this dark compared with the circuit's median voxel has lost its signal (air, drop-out, outside the brain).
MIN_SHARE_OF_MEDIAN_SIGNAL = 0.2
# Larger values are no signal but a broken file, and would overflow when squared.
MAX_SIGNAL = 1e30
# The carpet: a regular lattice in an ellipsoid about as large as the MNI brain, 608 points.
CARPET_CENTRE_MNI_MM = (0.0, -18.0, 8.0)
CARPET_SEMI_AXES_MM = (68.0, 86.0, 68.0)
CARPET_SPACING_MM = 14.0

# Hashing takes a fifth of the time of inflating and lets go of the interpreter's lock, so it runs beside it; below this
# size, handing over costs more than it saves.
MIN_BYTES_HASHED_ASIDE = 1 << 18

_FILE_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, eq=False)
class MeanImage:
    """Mean of a run's volumes on the scan's own grid, to look at."""

    values: NDArray[np.float32]  # (nx, ny, nz), unit of the scan; NaN where some volume holds no number
    affine: NDArray[np.float64]  # (4, 4), voxel indices to MNI mm

    def __post_init__(self) -> None:
        if self.values.ndim != 3 or self.affine.shape != (4, 4):
            raise FeatureError(f"expected a volume and a 4 x 4 affine, got {self.values.shape}, {self.affine.shape}.")


@dataclass(frozen=True, slots=True, eq=False)
class RegionRecording:
    """Region signals of one run, as recorded: nothing cleaned, nothing normalised."""

    region_names: tuple[str, ...]
    bold: NDArray[np.float64]  # (n_volumes, n_regions), mean over the region's voxels; NaN column: not covered at all
    coverage: NDArray[np.float64]  # (n_regions,), share of the region's voxels with signal; NaN: unknown (tables)
    temporal_snr: NDArray[np.float64]  # (n_regions,), median over voxels of mean / standard deviation in time
    carpet: NDArray[np.float32]  # (n_volumes, n_sample), voxels on a coarse lattice over the brain; NaN: no number
    repetition_time_s: float | None  # None: the source does not say
    space: str
    input_digest: str  # "sha256:..." of the bytes that came in, compressed or not
    mean_image: MeanImage | None = None  # None unless it was asked for; no feature uses it
    circuit: Circuit | None = None  # whose regions these are; None: columns of a table, known by name only

    def __post_init__(self) -> None:
        n_regions = len(self.region_names)
        if self.bold.ndim != 2 or self.bold.shape[1] != n_regions:
            raise FeatureError(f"expected BOLD of shape (n_volumes, {n_regions}), got {self.bold.shape}. Transposed?")
        if self.coverage.shape != (n_regions,) or self.temporal_snr.shape != (n_regions,):
            raise FeatureError(f"expected coverage and temporal SNR of {n_regions} regions.")
        if self.carpet.ndim != 2 or len(self.carpet) != len(self.bold):
            raise FeatureError(f"expected a carpet of {len(self.bold)} volumes, got shape {self.carpet.shape}.")

    @property
    def n_volumes(self) -> int:
        """Length of the run in volumes."""
        return len(self.bold)


class RegionReader:
    """Reads region signals from the bytes of a scan as they arrive.

    Parameters
    ----------
    circuit
        Regions with coordinates in MNI space.
    limits
        What is refused from the header, before memory is taken.
    declared_space
        The space that the file name or the sender names ("MNI152NLin2009cAsym"). It outranks the header's code; with
        None the code must be 4 (MNI152). fMRIPrep writes 4 for template spaces, 2 for T1w, 1 for the scanner's space.
    keep_mean_image
        Also sum up whole volumes, for reports. That adds one volume of doubles to memory and some milliseconds per
        volume; without it nothing is added.

    Examples
    --------
    >>> from predictor.circuit.circuit import load_circuit
    >>> reader = RegionReader(load_circuit())
    >>> reader.feed(b"no scan at all")
    Traceback (most recent call last):
    predictor.errors.ScanError: expected a NIfTI image (.nii or .nii.gz), found another kind of file.
    """

    def __init__(
        self,
        circuit: Circuit,
        *,
        limits: ScanLimits | None = None,
        declared_space: str | None = None,
        keep_mean_image: bool = False,
    ) -> None:
        limits = limits or ScanLimits()
        self._sampler = _VoxelSampler(circuit, limits, declared_space, keep_mean_image=keep_mean_image)
        self._stream = NiftiStream(self._sampler, limits)
        self._digest = hashlib.sha256()
        self._hasher = ThreadPoolExecutor(max_workers=1)  # starts its thread when first used

    def feed(self, chunk: bytes | bytearray | memoryview) -> None:
        """Take the next bytes of the file, any number of them.

        Raises
        ------
        ScanError
            As soon as the bytes show that the scan cannot be used, by the subclass that says why.
        RegionOverlapError
            If two regions share voxels on the scan's grid.
        """
        if len(chunk) < MIN_BYTES_HASHED_ASIDE:
            self._digest.update(chunk)
            self._stream.feed(chunk)
            return
        hashed = self._hasher.submit(self._digest.update, chunk)
        try:
            self._stream.feed(chunk)
        finally:
            hashed.result()  # the chunk is the caller's again

    def finish(self) -> RegionRecording:
        """Region signals, once all bytes were fed.

        Raises
        ------
        ScanTruncatedError, ScanHeaderError
            If the scan is shorter than its header promises.
        """
        self._hasher.shutdown()
        self._stream.close()
        return self._sampler.recording("sha256:" + self._digest.hexdigest())


def read_region_signals(
    path: Path,
    circuit: Circuit,
    *,
    limits: ScanLimits | None = None,
    declared_space: str | None = None,
    keep_mean_image: bool = False,
) -> RegionRecording:
    """Region signals of a `.nii` or `.nii.gz` file; see `RegionReader`.

    Raises
    ------
    ScanError
        If the file cannot be opened, or by the subclass that says what is wrong with it.
    """
    reader = RegionReader(circuit, limits=limits, declared_space=declared_space, keep_mean_image=keep_mean_image)
    try:
        with path.open("rb", buffering=0) as file:
            while chunk := file.read(_FILE_CHUNK_BYTES):
                reader.feed(chunk)
    except OSError as error:
        raise ScanError("the scan cannot be read from disk.", remedy="Check that the file exists.") from error
    return reader.finish()


class _VoxelSampler:
    """Keeps the circuit's and the carpet's voxels of every volume; everything else is let go at once."""

    def __init__(
        self, circuit: Circuit, limits: ScanLimits, declared_space: str | None, *, keep_mean_image: bool
    ) -> None:
        self._circuit = circuit
        self._limits = limits
        self._declared_space = declared_space
        self._keep_mean_image = keep_mean_image
        self._sum: NDArray[np.float64] | None = None  # over volumes, per voxel, unscaled
        self._header: NiftiHeader
        self._voxels: RegionVoxels
        self._index: NDArray[np.int64]
        self._samples: NDArray[Any]

    def begin(self, header: NiftiHeader) -> None:
        """Choose the voxels to keep on this scan's grid."""
        self._header = header
        self._voxels, self._index = voxels_of_scan(header, self._circuit, self._limits, self._declared_space)
        self._samples = np.empty((header.n_volumes, self._index.size), dtype=header.dtype.newbyteorder("="))
        if self._keep_mean_image:
            self._sum = np.zeros(math.prod(header.shape))

    def volume(self, index: int, voxels: NDArray[Any]) -> None:
        """Keep the chosen voxels of one volume."""
        self._samples[index] = voxels[self._index]
        if self._sum is not None:
            with np.errstate(over="ignore", invalid="ignore"):  # what is no number shows as NaN in the mean
                self._sum += voxels

    def recording(self, input_digest: str) -> RegionRecording:
        """Summarise what was kept."""
        n_circuit_voxels = len(self._voxels.flat_index)
        bold, coverage, temporal_snr = _summarise(self._samples, self._voxels, self._header)
        return RegionRecording(
            region_names=self._circuit.region_names,
            bold=bold,
            coverage=coverage,
            temporal_snr=temporal_snr,
            carpet=_scaled(self._samples[:, n_circuit_voxels:], self._header).astype(np.float32),
            repetition_time_s=self._header.repetition_time_s,
            space=self._declared_space or "MNI152",
            input_digest=input_digest,
            mean_image=None if self._sum is None else _mean_image(self._sum, self._header),
            circuit=self._circuit,
        )


def voxels_of_scan(
    header: NiftiHeader, circuit: Circuit, limits: ScanLimits, declared_space: str | None
) -> tuple[RegionVoxels, NDArray[np.int64]]:
    """Return the circuit's voxels on a scan's grid, and flat indices of all voxels to keep (theirs, then the carpet's).

    Raises
    ------
    ScanSpaceError
        If the scan is not in MNI space.
    ScanTooLargeError
        If the voxels of all volumes would not fit into memory.
    CircuitError, CircuitNotCoveredError, RegionOverlapError
        As `region_voxels`.
    """
    _check_space(header, declared_space)
    voxels = region_voxels(circuit, header.shape, header.affine)
    index = np.concatenate([voxels.flat_index, _carpet_index(header)])
    n_kept_bytes = header.n_volumes * index.size * header.dtype.itemsize
    if n_kept_bytes > limits.max_kept_bytes:
        raise ScanTooLargeError(
            f"expected at most {limits.max_kept_bytes} bytes of region signals, "
            f"this grid and length give {n_kept_bytes}."
        )
    return voxels, index


def _check_space(header: NiftiHeader, declared_space: str | None) -> None:
    if declared_space is not None:
        if not declared_space.startswith("MNI"):
            raise ScanSpaceError(f"expected a scan in MNI space, this one is declared to be in {declared_space}.")
    elif header.space_code != MNI_SPACE_CODE:
        raise ScanSpaceError(
            f"expected a scan in MNI space (xform code {MNI_SPACE_CODE}), the header's code is {header.space_code}.",
            remedy="Use the derivative in MNI space; if this is one, keep space-MNI... in its file name.",
        )


def _carpet_index(header: NiftiHeader) -> NDArray[np.int64]:
    """Flat indices, ascending, of the carpet's voxels in the field of view."""
    half = [np.arange(CARPET_SPACING_MM / 2, axis, CARPET_SPACING_MM) for axis in CARPET_SEMI_AXES_MM]
    axes = [np.concatenate([-positive[::-1], positive]) for positive in half]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    points = points[((points / CARPET_SEMI_AXES_MM) ** 2).sum(axis=1) <= 1] + CARPET_CENTRE_MNI_MM
    voxels = nearest_voxels(points, header.affine)
    voxels = voxels[((voxels >= 0) & (voxels < header.shape)).all(axis=1)]
    strides = np.array([1, header.shape[0], header.shape[0] * header.shape[1]])
    return np.unique(voxels @ strides)


def _scaled(samples: NDArray[Any], header: NiftiHeader) -> NDArray[np.float64]:
    """Return stored values in the image's unit; what is no number or beyond all reason becomes NaN."""
    with np.errstate(over="ignore", invalid="ignore"):
        values = samples.astype(np.float64) * header.scl_slope + header.scl_inter
        values[~(np.abs(values) <= MAX_SIGNAL)] = np.nan
    return values


def _mean_image(total: NDArray[np.float64], header: NiftiHeader) -> MeanImage:
    values = _scaled(total / header.n_volumes, header)
    return MeanImage(values.astype(np.float32).reshape(header.shape, order="F"), header.affine)


def _summarise(
    samples: NDArray[Any], voxels: RegionVoxels, header: NiftiHeader
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Mean signal, coverage and temporal SNR of every region."""
    n_regions = len(voxels.n_expected)
    bold = np.full((len(samples), n_regions), np.nan)
    # Per voxel: mean over time and signal-to-noise; NaN where a volume holds no number, so it counts in no mean.
    voxel_mean = np.full(len(voxels.flat_index), np.nan)
    voxel_snr = np.full(len(voxels.flat_index), np.nan)
    for region in range(n_regions):
        columns = voxels.of_region(region)
        values = _scaled(samples[:, columns], header)
        is_finite = np.isfinite(values).all(axis=0)
        if is_finite.any():
            bold[:, region] = values[:, is_finite].mean(axis=1)
        voxel_mean[columns] = values.mean(axis=0)
        voxel_snr[columns] = _temporal_snr(values)
    coverage, temporal_snr = _coverage_and_snr(voxel_mean, voxel_snr, voxels)
    bold[:, coverage == 0] = np.nan
    return bold, coverage, temporal_snr


def _temporal_snr(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over standard deviation in time, per column; NaN where the column is constant or not finite."""
    # Rounding can give a constant column a deviation, and take a varying one's away (values near 1e-200).
    with np.errstate(divide="ignore", over="ignore", invalid="ignore", under="ignore"):
        snr = values.mean(axis=0) / values.std(axis=0)
    return np.where((np.ptp(values, axis=0) > 0) & np.isfinite(snr), snr, np.nan)


def _coverage_and_snr(
    voxel_mean: NDArray[np.float64], voxel_snr: NDArray[np.float64], voxels: RegionVoxels
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Share of voxels with a signal that varies and is not dark, and the median SNR of those."""
    finite_means = voxel_mean[np.isfinite(voxel_mean)]
    darkest = MIN_SHARE_OF_MEDIAN_SIGNAL * np.median(finite_means) if finite_means.size else np.inf
    is_covered = np.isfinite(voxel_snr) & (voxel_mean > darkest)
    coverage = np.zeros(len(voxels.n_expected))
    temporal_snr = np.full(len(voxels.n_expected), np.nan)
    for region, n_expected in enumerate(voxels.n_expected):
        columns = voxels.of_region(region)
        covered_snr = voxel_snr[columns][is_covered[columns]]
        coverage[region] = covered_snr.size / n_expected
        if covered_snr.size:
            temporal_snr[region] = np.median(covered_snr)
    return coverage, temporal_snr
