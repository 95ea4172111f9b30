"""Reading and refusing headers, with nibabel as the writer and the truth."""

from __future__ import annotations

import struct
from typing import Any

import nibabel
import numpy as np
import pytest
from nibabel.quaternions import mat2quat

from predictor.errors import (
    PredictorError,
    ScanDimensionError,
    ScanError,
    ScanHeaderError,
    ScanSpaceError,
    ScanTooLargeError,
    ScanTypeError,
)
from predictor.scan.nifti_header import ScanLimits, header_length, parse_header

AFFINE = np.array([[-3.0, 0, 0, 78], [0, 3, 0, -112], [0, 0, 3, -70], [0, 0, 0, 1]])


def header_bytes(*, order: str = "<", version: int = 1, n_volumes: int = 5, **fields: Any) -> bytes:
    """Write a valid header with nibabel, then overwrite fields without its checks."""
    kind = nibabel.Nifti1Header if version == 1 else nibabel.Nifti2Header
    header = kind(endianness=order)
    header.set_data_shape((20, 30, 40, n_volumes))
    header.set_data_dtype(np.int16)
    header.set_sform(AFFINE, 4)
    header.set_xyzt_units("mm", "sec")
    header["magic"] = b"n+1" if version == 1 else b"n+2\0\r\n\x1a\n"
    header["vox_offset"] = 352 if version == 1 else 544
    header["pixdim"][4] = 2.0
    for name, value in fields.items():
        header[name] = value
    return bytes(header.binaryblock)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("version", [1, 2])
def test_reads_both_versions_in_both_byte_orders(order: str, version: int) -> None:
    block = header_bytes(order=order, version=version, scl_slope=0.5, scl_inter=-3.0)
    assert header_length(block[:4]) == len(block)
    header = parse_header(block, ScanLimits())
    assert (header.shape, header.n_volumes, header.repetition_time_s) == ((20, 30, 40), 5, 2.0)
    assert (header.dtype.kind, header.dtype.itemsize, header.volume_bytes) == ("i", 2, 48_000)
    assert (header.scl_slope, header.scl_inter, header.space_code) == (0.5, -3.0, 4)
    np.testing.assert_array_equal(header.affine, AFFINE)


@pytest.mark.parametrize("handedness", [1.0, -1.0])
def test_qform_gives_nibabels_affine(handedness: float, rng: np.random.Generator) -> None:
    for _ in range(50):
        rotation, _ = np.linalg.qr(rng.standard_normal((3, 3)))
        rotation *= np.sign(np.linalg.det(rotation))
        block = header_bytes(
            sform_code=0,
            qform_code=4,
            pixdim=[handedness, 2.0, 2.5, 3.0, 2.0, 1, 1, 1],
            quatern_b=mat2quat(rotation)[1],
            quatern_c=mat2quat(rotation)[2],
            quatern_d=mat2quat(rotation)[3],
            qoffset_x=-90.0,
            qoffset_y=-126.0,
            qoffset_z=-72.0,
        )
        header = parse_header(block, ScanLimits())
        expected = nibabel.Nifti1Header(block).get_qform()
        np.testing.assert_allclose(header.affine, expected, atol=1e-6)
        assert header.space_code == 4


def test_a_half_turn_survives_the_rounding_of_its_quaternion() -> None:
    # 180 degrees about x, as flipped images store it: the scalar part is lost to rounding.
    block = header_bytes(sform_code=0, qform_code=1, quatern_b=np.float32(1.0) + np.finfo(np.float32).eps)
    expected = nibabel.Nifti1Header(block).get_qform()
    np.testing.assert_allclose(parse_header(block, ScanLimits()).affine, expected, atol=1e-5)


def test_sform_outranks_qform_as_in_nibabel() -> None:
    block = header_bytes(sform_code=2, qform_code=4, quatern_b=0.5)
    header = parse_header(block, ScanLimits())
    np.testing.assert_array_equal(header.affine, nibabel.Nifti1Header(block).get_best_affine())
    assert header.space_code == 2


@pytest.mark.parametrize("slope", [0.0, np.nan, np.inf])
def test_slope_without_meaning_means_no_scaling(slope: float) -> None:
    block = header_bytes(scl_slope=slope, scl_inter=7.0)
    assert nibabel.Nifti1Header(block).get_slope_inter() == (None, None)
    header = parse_header(block, ScanLimits())
    assert (header.scl_slope, header.scl_inter) == (1.0, 0.0)


@pytest.mark.parametrize(
    ("units", "stored", "expected_s"),
    [
        (10, 2.0, 2.0),
        (18, 2000.0, 2.0),
        (26, 2e6, 2.0),
        (2, 2.0, 2.0),
        (0, 2.0, 2.0),
        (10, 0.0, None),
        (10, -1.0, None),
        (10, np.nan, None),
        (34, 2.0, None),
        (63, 2.0, None),
    ],
    ids=["s", "ms", "us", "mm only", "no units", "zero", "negative", "NaN", "hertz", "nonsense"],
)
def test_repetition_time_is_in_seconds_or_unknown(units: int, stored: float, expected_s: float | None) -> None:
    pixdim = [1, 3, 3, 3, stored, 1, 1, 1]
    found = parse_header(header_bytes(xyzt_units=units, pixdim=pixdim), ScanLimits()).repetition_time_s
    assert found == (None if expected_s is None else pytest.approx(expected_s))


@pytest.mark.parametrize("dimensions", [[5, 9, 9, 9, 5, 1, 1, 1], [4, 9, 9, 9, 5, 0, 0, 0], [7, 9, 9, 9, 5, 1, 1, 1]])
def test_empty_dimensions_behind_time_do_not_matter(dimensions: list[int]) -> None:
    assert parse_header(header_bytes(dim=dimensions), ScanLimits()).n_volumes == 5


# Bytes that a processor answers with an alarm when they are converted; damaged files hold them.
SIGNALLING_NAN = np.array([0x7FA80000] * 4, dtype=np.uint32).view(np.float32)
FAULTS: dict[str, tuple[type[PredictorError], str, dict[str, Any]]] = {
    "three dimensions": (ScanDimensionError, "one volume", {"dim": [3, 9, 9, 9, 0, 0, 0, 0]}),
    "one volume": (ScanDimensionError, "one volume", {"dim": [4, 9, 9, 9, 1, 1, 1, 1]}),
    "two dimensions": (ScanDimensionError, "one volume", {"dim": [2, 9, 9, 0, 0, 0, 0, 0]}),
    "five dimensions": (ScanDimensionError, "5 dimensions", {"dim": [5, 9, 9, 9, 5, 3, 1, 1]}),
    "vectors": (ScanDimensionError, "5 dimensions", {"dim": [5, 9, 9, 9, 1, 3, 1, 1]}),
    "negative length": (ScanHeaderError, "at least 1", {"dim": [4, 9, -9, 9, 5, 1, 1, 1]}),
    "empty axis": (ScanHeaderError, "at least 1", {"dim": [4, 9, 0, 9, 5, 1, 1, 1]}),
    "eight dimensions": (ScanHeaderError, "1 to 7", {"dim": [8, 9, 9, 9, 5, 1, 1, 1]}),
    "negative number of dimensions": (ScanHeaderError, "1 to 7", {"dim": [-4, 9, 9, 9, 5, 1, 1, 1]}),
    "huge volume": (ScanTooLargeError, "voxels per volume", {"dim": [4, 32767, 32767, 32767, 5, 1, 1, 1]}),
    "endless run": (ScanTooLargeError, "volumes", {"dim": [4, 9, 9, 9, 32767, 1, 1, 1]}),
    "too much in all": (ScanTooLargeError, "bytes in all", {"dim": [4, 280, 280, 280, 4000, 1, 1, 1]}),
    "complex": (ScanTypeError, "complex", {"datatype": 32, "bitpix": 64}),
    "double complex": (ScanTypeError, "complex", {"datatype": 1792, "bitpix": 128}),
    "RGB": (ScanTypeError, "RGB", {"datatype": 128, "bitpix": 24}),
    "RGBA": (ScanTypeError, "RGBA", {"datatype": 2304, "bitpix": 32}),
    "quadruple precision": (ScanTypeError, "128-bit", {"datatype": 1536, "bitpix": 128}),
    "bits": (ScanTypeError, "single bits", {"datatype": 1, "bitpix": 1}),
    "no type": (ScanTypeError, "unknown type code 0", {"datatype": 0}),
    "false bit width": (ScanHeaderError, "16", {"bitpix": 32}),
    "NaN affine": (ScanHeaderError, "finite", {"srow_y": [0, np.nan, 0, 0]}),
    "signalling NaN affine": (ScanHeaderError, "finite", {"srow_y": SIGNALLING_NAN}),
    "signalling NaN quaternion": (
        ScanHeaderError,
        "qform",
        {"sform_code": 0, "qform_code": 4, "quatern_b": SIGNALLING_NAN[0]},
    ),
    "infinite affine": (ScanHeaderError, "finite", {"srow_y": [0, 3, 0, np.inf]}),
    "singular affine": (ScanHeaderError, "voxels of", {"srow_y": [-3, 0, 0, 0]}),
    "NaN quaternion": (ScanHeaderError, "qform", {"sform_code": 0, "qform_code": 4, "quatern_b": np.nan}),
    "long quaternion": (ScanHeaderError, "no rotation", {"sform_code": 0, "qform_code": 4, "quatern_b": 1.05}),
    "qform without voxel size": (ScanHeaderError, "qform", {"sform_code": 0, "qform_code": 4, "pixdim": [1] + [0] * 7}),
    "no orientation": (ScanSpaceError, "no orientation", {"sform_code": 0, "qform_code": 0}),
    "data inside the header": (ScanHeaderError, "byte 352", {"vox_offset": 100}),
    "fraction of a byte": (ScanHeaderError, "byte 352", {"vox_offset": 352.5}),
    "NaN offset": (ScanHeaderError, "byte 352", {"vox_offset": np.nan}),
    "endless extension": (ScanTooLargeError, "extensions", {"vox_offset": 2**30}),
    "NaN intercept": (ScanHeaderError, "adds nan", {"scl_slope": 2.0, "scl_inter": np.nan}),
    "pair": (ScanError, "image/header pair", {"magic": b"ni1"}),
    "Analyze": (ScanError, "Analyze", {"magic": b""}),
    "CIFTI": (ScanDimensionError, "CIFTI", {"intent_code": 3002}),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_unusable_header_is_refused_by_name(fault: str) -> None:
    kind, message, fields = FAULTS[fault]
    with pytest.raises(kind, match=message) as caught:
        parse_header(header_bytes(**fields), ScanLimits())
    assert type(caught.value) is kind
    assert caught.value.remedy


def test_cifti_as_connectome_workbench_writes_it_is_refused_as_such() -> None:
    dim = [6, 1, 1, 1, 1, 200, 91282, 1]
    with pytest.raises(ScanDimensionError, match="CIFTI"):
        parse_header(header_bytes(version=2, intent_code=3002, dim=dim), ScanLimits())


def test_limits_are_the_callers() -> None:
    block = header_bytes(n_volumes=6)
    parse_header(block, ScanLimits(max_volumes=6))
    with pytest.raises(ScanTooLargeError, match="at most 5 volumes, the header promises 6"):
        parse_header(block, ScanLimits(max_volumes=5))


@pytest.mark.parametrize("first_bytes", [b"\x89PNG", b"PK\x03\x04", b"<htm", bytes(4), struct.pack("<i", 349)])
def test_other_kinds_of_file_are_no_nifti(first_bytes: bytes) -> None:
    with pytest.raises(ScanError, match="another kind of file"):
        header_length(first_bytes)
