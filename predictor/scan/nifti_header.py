"""The NIfTI header: read, and checked before anything is allocated for it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from predictor.circuit.region_voxels import check_affine
from predictor.errors import (
    ScanDimensionError,
    ScanError,
    ScanHeaderError,
    ScanSpaceError,
    ScanTooLargeError,
    ScanTypeError,
)

# The header's first four bytes are its own length; they also tell version and byte order.
LENGTH_BYTES = 4
MNI_SPACE_CODE = 4  # NIFTI_XFORM_MNI_152


@dataclass(frozen=True, slots=True)
class ScanLimits:
    """What a scan may ask of the machine; the defaults hold an hour at 1 mm and nothing absurd."""

    max_volumes: int = 5_000
    max_voxels_per_volume: int = 24_000_000  # 0.7 mm whole head
    max_inflated_bytes: int = 16 * 2**30 - 1  # all volumes together, as the header promises them
    # Inflated over compressed bytes. Masked scans come to 10, integers kept as doubles to 40; deflate itself to 1,000.
    max_inflation: int = 100
    max_extension_bytes: int = 16 * 2**20  # between the header and the first volume
    max_kept_bytes: int = 256 * 2**20  # region and carpet voxels of all volumes, which stay in memory


@dataclass(frozen=True, slots=True, eq=False)
class NiftiHeader:
    """What the header says about a 4-D series."""

    shape: tuple[int, int, int]  # voxels along x, y, z
    n_volumes: int
    dtype: np.dtype[np.generic]  # with the file's byte order
    affine: NDArray[np.float64]  # (4, 4), voxel indices to mm
    repetition_time_s: float | None  # None: 0, not finite, or not in units of time
    scl_slope: float
    scl_inter: float
    space_code: int  # xform code of the transform that gave the affine; 4 is MNI152
    data_offset_bytes: int

    @property
    def volume_bytes(self) -> int:
        """Bytes of one volume."""
        return math.prod(self.shape) * self.dtype.itemsize


def _layout(fields: dict[str, tuple[str, int]], itemsize: int) -> np.dtype[np.void]:
    formats, offsets = zip(*fields.values(), strict=True)
    return np.dtype({"names": list(fields), "formats": formats, "offsets": offsets, "itemsize": itemsize})


# Field: (type, offset in bytes); https://nifti.nimh.nih.gov/nifti-1 and .../nifti-2
_NIFTI_1 = _layout(
    {
        "dim": ("8i2", 40),
        "intent_code": ("i2", 68),
        "datatype": ("i2", 70),
        "bitpix": ("i2", 72),
        "pixdim": ("8f4", 76),
        "vox_offset": ("f4", 108),
        "scl_slope": ("f4", 112),
        "scl_inter": ("f4", 116),
        "xyzt_units": ("u1", 123),
        "qform_code": ("i2", 252),
        "sform_code": ("i2", 254),
        "quatern_bcd": ("3f4", 256),
        "qoffset": ("3f4", 268),
        "srow": ("(3,4)f4", 280),
        "magic": ("S4", 344),
    },
    348,
)
_NIFTI_2 = _layout(
    {
        "magic": ("S8", 4),
        "datatype": ("i2", 12),
        "bitpix": ("i2", 14),
        "dim": ("8i8", 16),
        "pixdim": ("8f8", 104),
        "vox_offset": ("i8", 168),
        "scl_slope": ("f8", 176),
        "scl_inter": ("f8", 184),
        "qform_code": ("i4", 344),
        "sform_code": ("i4", 348),
        "quatern_bcd": ("3f8", 352),
        "qoffset": ("3f8", 376),
        "srow": ("(3,4)f8", 400),
        "xyzt_units": ("i4", 500),
        "intent_code": ("i4", 504),
    },
    540,
)
_MAGIC = {_NIFTI_1.itemsize: b"n+1", _NIFTI_2.itemsize: b"n+2\0\r\n\x1a\n"}
_PAIR_MAGIC = {_NIFTI_1.itemsize: b"ni1", _NIFTI_2.itemsize: b"ni2\0\r\n\x1a\n"}

_TYPE_OF_CODE = {
    2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8",
}  # fmt: skip
_REFUSED_TYPE = {
    1: "single bits",
    32: "complex numbers",
    128: "RGB colours",
    1536: "128-bit floats",
    1792: "complex numbers",
    2048: "complex numbers",
    2304: "RGBA colours",
}
# Intent codes of the CIFTI-2 family (dense series, parcellated series, ...).
_CIFTI_INTENTS = range(3000, 3100)
_SECONDS_PER_UNIT = {0: 1.0, 8: 1.0, 16: 1e-3, 24: 1e-6}  # unknown is taken as seconds, the format's custom


def header_length(first_bytes: bytes) -> int:
    """Length of the header in bytes, from its first four.

    Raises
    ------
    ScanError
        If the file is no NIfTI image.
    """
    for length in (int.from_bytes(first_bytes, "little"), int.from_bytes(first_bytes, "big")):
        if length in _MAGIC:
            return length
    raise ScanError("expected a NIfTI image (.nii or .nii.gz), found another kind of file.")


def parse_header(header: bytes, limits: ScanLimits) -> NiftiHeader:
    """Header of a single-file NIfTI-1 or NIfTI-2 image of either byte order.

    Parameters
    ----------
    header
        As many bytes as `header_length` says.
    limits
        What is refused before any memory is taken.

    Raises
    ------
    ScanError
        If the file is an image/header pair or Analyze, or by the subclass for its type, dimensions, size,
        affine or offsets.
    """
    layout = _NIFTI_1 if len(header) == _NIFTI_1.itemsize else _NIFTI_2
    order: Literal["<", ">"] = "<" if int.from_bytes(header[:LENGTH_BYTES], "little") == layout.itemsize else ">"
    fields = np.frombuffer(header, dtype=layout.newbyteorder(order), count=1)[0]
    _check_kind(fields, layout.itemsize)
    dtype = _dtype(fields, order)
    shape, n_volumes = _dimensions(fields)
    _check_size(shape, n_volumes, dtype, limits)
    slope, inter = _scaling(fields)
    affine, space_code = _affine(fields)
    return NiftiHeader(
        shape=shape,
        n_volumes=n_volumes,
        dtype=dtype,
        affine=affine,
        repetition_time_s=_repetition_time_s(fields),
        scl_slope=slope,
        scl_inter=inter,
        space_code=space_code,
        data_offset_bytes=_data_offset(fields, layout.itemsize, limits),
    )


def _check_kind(fields: np.void, length: int) -> None:
    magic = bytes(fields["magic"])
    if magic == _PAIR_MAGIC[length].rstrip(b"\0"):
        raise ScanError(
            "expected a single .nii file, found the header of an image/header pair (.hdr/.img).",
            remedy="Convert the pair to one .nii.gz file, for example with nibabel or fslchfiletype.",
        )
    if magic != _MAGIC[length].rstrip(b"\0"):
        raise ScanError("expected a NIfTI image, found an Analyze header or a damaged magic number.")
    if int(fields["intent_code"]) in _CIFTI_INTENTS:
        raise ScanDimensionError(
            "expected a volume series, found a CIFTI file (grayordinates).",
            remedy="Send the volumetric derivative (space-MNI152..._desc-preproc_bold.nii.gz), not .dtseries.nii.",
        )


def _dtype(fields: np.void, order: Literal["<", ">"]) -> np.dtype[np.generic]:
    code, bitpix = int(fields["datatype"]), int(fields["bitpix"])
    if code not in _TYPE_OF_CODE:
        found = _REFUSED_TYPE.get(code, f"the unknown type code {code}")
        raise ScanTypeError(f"expected integers or real floats of up to 64 bits, found {found}.")
    dtype = np.dtype(_TYPE_OF_CODE[code]).newbyteorder(order)
    if bitpix != 8 * dtype.itemsize:
        raise ScanHeaderError(
            f"the header stores {dtype.name} in {bitpix} bits per voxel; expected {8 * dtype.itemsize}."
        )
    return dtype


def _dimensions(fields: np.void) -> tuple[tuple[int, int, int], int]:
    n_dimensions, *lengths = fields["dim"].tolist()
    if not 1 <= n_dimensions <= 7:
        raise ScanHeaderError(f"expected 1 to 7 dimensions, the header says {n_dimensions}.")
    used = lengths[:n_dimensions]
    if min(used) < 1:
        raise ScanHeaderError(f"expected every dimension to be at least 1, the header says {used}.")
    if any(length > 1 for length in used[4:]):
        raise ScanDimensionError(f"expected x, y, z and time, found {n_dimensions} dimensions: {used}.")
    x, y, z, n_volumes = [*used, 1, 1, 1][:4]
    if n_volumes < 2:
        raise ScanDimensionError(f"expected a series of volumes, found one volume of {x} x {y} x {z}.")
    return (x, y, z), n_volumes


def _check_size(shape: tuple[int, int, int], n_volumes: int, dtype: np.dtype[np.generic], limits: ScanLimits) -> None:
    n_voxels = math.prod(shape)
    for what, found, limit in (
        ("volumes", n_volumes, limits.max_volumes),
        ("voxels per volume", n_voxels, limits.max_voxels_per_volume),
        ("bytes in all", n_voxels * n_volumes * dtype.itemsize, limits.max_inflated_bytes),
    ):
        if found > limit:
            raise ScanTooLargeError(f"expected at most {limit} {what}, the header promises {found}.")


def _scaling(fields: np.void) -> tuple[float, float]:
    slope, inter = float(fields["scl_slope"]), float(fields["scl_inter"])
    if slope == 0 or not math.isfinite(slope):
        return 1.0, 0.0
    if not math.isfinite(inter):
        raise ScanHeaderError(f"the header scales values by {slope:g} but adds {inter}.")
    return slope, inter


def _data_offset(fields: np.void, length: int, limits: ScanLimits) -> int:
    offset = float(fields["vox_offset"])
    # Four bytes behind the header say whether extensions follow.
    if not math.isfinite(offset) or offset != int(offset) or offset < length + 4:
        raise ScanHeaderError(f"expected the data to start at byte {length + 4} or later, the header says {offset:g}.")
    if offset - length > limits.max_extension_bytes:
        raise ScanTooLargeError(
            f"expected at most {limits.max_extension_bytes} bytes of header extensions, found {int(offset) - length}."
        )
    return int(offset)


def _repetition_time_s(fields: np.void) -> float | None:
    unit = _SECONDS_PER_UNIT.get(int(fields["xyzt_units"]) & 0x38)
    duration = float(fields["pixdim"][4])
    if unit is None or not math.isfinite(duration) or duration <= 0:
        return None
    return duration * unit


def _affine(fields: np.void) -> tuple[NDArray[np.float64], int]:
    """Affine and its code by nibabel's rule: the sform when it has a code, else the qform."""
    sform_code, qform_code = int(fields["sform_code"]), int(fields["qform_code"])
    if sform_code > 0:
        affine = np.vstack([_numbers(fields, "srow"), [0, 0, 0, 1]])
    elif qform_code > 0:
        affine = _qform(fields)
    else:
        raise ScanSpaceError("the header holds no orientation (sform and qform codes are 0).")
    check_affine(affine)
    return affine, sform_code if sform_code > 0 else qform_code


def _numbers(fields: np.void, name: str) -> NDArray[np.float64]:
    """Return a field in double precision; a signalling NaN becomes a quiet one, without an alarm."""
    with np.errstate(invalid="ignore"):
        numbers: NDArray[np.float64] = fields[name].astype(np.float64)
    return numbers


def _qform(fields: np.void) -> NDArray[np.float64]:
    pixdim, quaternion = _numbers(fields, "pixdim"), _numbers(fields, "quatern_bcd")
    zooms, offset = pixdim[1:4], _numbers(fields, "qoffset")
    numbers = np.concatenate([quaternion, zooms, offset])
    if not np.isfinite(numbers).all() or (zooms <= 0).any() or np.abs(quaternion).max() > 1.1:
        raise ScanHeaderError("the header's qform holds impossible numbers (NaN, infinity or no voxel size).")
    b, c, d = quaternion.tolist()
    a_squared = 1.0 - (b * b + c * c + d * d)
    # The three were rounded when stored; within that, the quaternion is a half turn.
    if a_squared < -3 * np.finfo(fields["quatern_bcd"].dtype).eps:
        raise ScanHeaderError("the header's qform is no rotation (its quaternion is longer than 1).")
    a = math.sqrt(max(a_squared, 0.0))
    rotation = np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ]
    )
    handedness = -1.0 if pixdim[0] < 0 else 1.0
    affine = np.eye(4)
    affine[:3, :3] = rotation * zooms * [1.0, 1.0, handedness]
    affine[:3, 3] = offset
    return affine
