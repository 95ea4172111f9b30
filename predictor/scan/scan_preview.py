"""What a scan's first bytes already tell; nothing behind its header is inflated."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from predictor.circuit.circuit import Circuit
from predictor.circuit.region_voxels import RegionVoxels
from predictor.errors import ScanError, ScanTruncatedError
from predictor.scan.gzip_members import GZIP_MAGIC
from predictor.scan.nifti_header import NiftiHeader, ScanLimits
from predictor.scan.nifti_stream import NiftiStream
from predictor.scan.region_signals import RegionRecording, voxels_of_scan

# A header and its gzip wrapper fit many times over.
_FIRST_BYTES = 1 << 12
# Of a gzip member: where its flags stand, and the flag of extra fields (files of many small members have those).
_FLAGS_AT, _HAS_EXTRA = 3, 0x04
# Stand-in signals: any level and spread that no check objects to.
_MEAN_SIGNAL, _SPREAD = 1000.0, 10.0


@dataclass(frozen=True, slots=True, eq=False)
class ScanPreview:
    """Header of a scan, and which share of each region lies in its field of view."""

    header: NiftiHeader
    in_view: NDArray[np.float64]  # (n_regions,), 0 to 1; coverage can only be lower

    @property
    def voxel_size_mm(self) -> float:
        """Mean edge of a voxel."""
        return float(np.abs(np.linalg.det(self.header.affine[:3, :3])) ** (1 / 3))


def preview_scan(
    path: Path, circuit: Circuit, *, limits: ScanLimits | None = None, declared_space: str | None = None
) -> ScanPreview:
    """Check a `.nii` or `.nii.gz` file as far as its header goes.

    The same checks as `read_region_signals` makes, in the same order; then the file's size (`.nii`) or end mark
    (`.nii.gz`) is compared with what the header promises.

    Raises
    ------
    ScanError
        If the file cannot be opened, or by the subclass that says what is wrong with it. A sound `.nii.gz` of several
        gzip members without extra fields is taken for truncated: its end mark speaks of the last member only.
    CircuitError, RegionOverlapError
        If the circuit cannot be placed on the scan's grid.
    """
    limits = limits or ScanLimits()
    taker = _HeaderTaker(circuit, limits, declared_space)
    stream = NiftiStream(taker, limits)
    try:
        with path.open("rb", buffering=0) as file:
            first = file.read(_FIRST_BYTES)
            chunk = first
            while chunk:
                stream.feed(chunk)
                chunk = file.read(_FIRST_BYTES)
        stream.close()  # the header was not reached: says why
    except _HeaderReached:
        _check_end(path, first, taker.header)
    except OSError as error:
        raise ScanError("the scan cannot be read from disk.", remedy="Check that the file exists.") from error
    share = np.diff(taker.voxels.region_start) / taker.voxels.n_expected
    return ScanPreview(taker.header, np.asarray(share, dtype=np.float64))


def stand_in_recording(preview: ScanPreview, circuit: Circuit, *, declared_space: str | None) -> RegionRecording:
    """Return noise in the shape of the scan's region signals, to try out whatever does not depend on the signals."""
    n_volumes = preview.header.n_volumes
    rng = np.random.default_rng(0)
    bold = rng.normal(_MEAN_SIGNAL, _SPREAD, (n_volumes, len(circuit.regions)))
    bold[:, preview.in_view == 0] = np.nan
    return RegionRecording(
        region_names=circuit.region_names,
        bold=bold,
        coverage=preview.in_view,
        temporal_snr=np.full(len(circuit.regions), np.nan),
        carpet=np.empty((n_volumes, 0), dtype=np.float32),
        repetition_time_s=preview.header.repetition_time_s,
        space=declared_space or "MNI152",
        input_digest="stand-in",
    )


class _HeaderReached(Exception):  # noqa: N818  # a stop, not an error
    """Ends the stream behind the header."""


class _HeaderTaker:
    """Makes the reader's checks of the header, and stops there."""

    header: NiftiHeader
    voxels: RegionVoxels

    def __init__(self, circuit: Circuit, limits: ScanLimits, declared_space: str | None) -> None:
        self._circuit = circuit
        self._limits = limits
        self._declared_space = declared_space

    def begin(self, header: NiftiHeader) -> None:
        self.header = header
        self.voxels, _ = voxels_of_scan(header, self._circuit, self._limits, self._declared_space)
        raise _HeaderReached

    def volume(self, index: int, voxels: NDArray[np.generic]) -> None:
        raise AssertionError("no volume is read for a preview")


def _check_end(path: Path, first: bytes, header: NiftiHeader) -> None:
    """Compare the file's end with what the header promises; raises OSError, ScanTruncatedError."""
    promised = header.data_offset_bytes + header.n_volumes * header.volume_bytes
    n_bytes = path.stat().st_size
    if not first.startswith(GZIP_MAGIC):
        if n_bytes < promised:
            n_read = max(0, n_bytes - header.data_offset_bytes) // header.volume_bytes
            raise ScanTruncatedError(f"the header promises {header.n_volumes} volumes, the data end after {n_read}.")
        return
    if first[_FLAGS_AT] & _HAS_EXTRA:
        return
    with path.open("rb") as file:
        file.seek(-4, 2)
        end_mark = int.from_bytes(file.read(4), "little")  # bytes of the last member, modulo 2**32
    # A little more is padding, which the reader lets pass.
    if not 0 <= (end_mark - promised) % 2**32 < header.volume_bytes:
        raise ScanTruncatedError(
            f"the header promises {header.n_volumes} volumes, the file's end mark speaks of another size: it was cut "
            "off, or consists of several gzip members."
        )
