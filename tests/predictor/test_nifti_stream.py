"""Volumes out of pushed bytes, with nibabel as the writer and the truth."""

from __future__ import annotations

import gzip
import itertools
import tracemalloc
from typing import Any

import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from predictor.errors import (
    ScanCorruptError,
    ScanDimensionError,
    ScanError,
    ScanHeaderError,
    ScanTooLargeError,
    ScanTruncatedError,
)
from predictor.scan.nifti_stream import NiftiHeader, NiftiStream, ScanLimits

SHAPE = (5, 4, 3, 6)
AFFINE = np.diag([3.0, 3.0, 3.0, 1.0])
DTYPES = ["u1", "i1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"]


class Collector:
    """Keeps everything the stream hands on."""

    def __init__(self) -> None:
        self.headers: list[NiftiHeader] = []
        self.volumes: list[np.ndarray] = []

    def begin(self, header: NiftiHeader) -> None:
        self.headers.append(header)

    def volume(self, index: int, voxels: np.ndarray) -> None:
        assert index == len(self.volumes)
        self.volumes.append(voxels.copy())

    def series(self) -> np.ndarray:
        """Scaled series as nibabel would give it."""
        (header,) = self.headers
        stored = np.stack([volume.reshape(header.shape, order="F") for volume in self.volumes], axis=-1)
        return stored.astype(np.float64) * header.scl_slope + header.scl_inter


def image_bytes(
    dtype: str = "i2", order: str = "<", *, slope: float = np.nan, inter: float = 0.0, version: int = 1, **fields: Any
) -> bytes:
    """Write a random image with nibabel; `slope` scales the integers that are stored."""
    rng = np.random.default_rng(1)
    kind = np.dtype(dtype)
    if kind.kind == "f":
        stored = rng.standard_normal(SHAPE).astype(kind)
    else:
        limits = np.iinfo(kind)
        stored = rng.integers(limits.min, limits.max, SHAPE, dtype=kind, endpoint=True)
    header = (nibabel.Nifti1Header if version == 1 else nibabel.Nifti2Header)(endianness=order)
    header.set_data_dtype(kind.newbyteorder(order))
    header.set_xyzt_units("mm", "sec")
    image = (nibabel.Nifti1Image if version == 1 else nibabel.Nifti2Image)(
        stored.astype(kind.newbyteorder(order)), AFFINE, header=header, dtype=kind.newbyteorder(order)
    )
    for name, value in fields.items():
        image.header[name] = value
    block = bytearray(image.to_bytes())
    # nibabel would rescale the data to fit; the scaling is written behind its back.
    at, form = (112, "f4") if version == 1 else (176, "f8")
    scaling = np.array([slope, inter], dtype=np.dtype(form).newbyteorder(order)).tobytes()
    block[at : at + len(scaling)] = scaling
    return bytes(block)


def truth(block: bytes, version: int = 1) -> np.ndarray:
    """Give the series that nibabel reads."""
    return (nibabel.Nifti1Image if version == 1 else nibabel.Nifti2Image).from_bytes(block).get_fdata(dtype=np.float64)


def read(data: bytes, *, step: int = 1 << 20, limits: ScanLimits | None = None) -> Collector:
    """Push data in chunks of `step` bytes."""
    collector = Collector()
    stream = NiftiStream(collector, limits or ScanLimits())
    for start in range(0, len(data), step):
        stream.feed(data[start : start + step])
    stream.close()
    return collector


def compressed(block: bytes, how: str) -> bytes:
    """Compress as one gzip member, as several, or not at all."""
    if how == "plain":
        return block
    cuts = [0, len(block)] if how == "gzip" else [0, 100, 352, 353, 500, len(block)]
    return b"".join(gzip.compress(block[start:end]) for start, end in itertools.pairwise(cuts))


@pytest.mark.parametrize("how", ["plain", "gzip", "gzip members"])
@pytest.mark.parametrize("scaling", [(np.nan, 0.0), (0.0, 5.0), (0.125, -7.5)], ids=["unscaled", "slope 0", "scaled"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_type_order_scaling_and_compression_reads_as_nibabel_does(
    dtype: str, order: str, scaling: tuple[float, float], how: str
) -> None:
    block = image_bytes(dtype, order, slope=scaling[0], inter=scaling[1])
    np.testing.assert_array_equal(read(compressed(block, how)).series(), truth(block))


@pytest.mark.parametrize("order", ["<", ">"])
def test_nifti_2_reads_as_nibabel_does(order: str) -> None:
    block = image_bytes("i2", order, slope=2.0, inter=1.0, version=2)
    np.testing.assert_array_equal(read(gzip.compress(block)).series(), truth(block, 2))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(how=st.sampled_from(["plain", "gzip", "gzip members"]), step=st.integers(1, 2_000))
def test_the_size_of_chunks_changes_nothing(how: str, step: int) -> None:
    block = image_bytes()
    np.testing.assert_array_equal(read(compressed(block, how), step=step).series(), truth(block))


@pytest.mark.parametrize("step", [1, 1 << 20])
def test_header_extensions_are_skipped(step: int) -> None:
    image = nibabel.Nifti1Image.from_bytes(image_bytes())
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"made by a test" * 50))
    block = image.to_bytes()
    assert len(block) > len(image_bytes()) + 600
    np.testing.assert_array_equal(read(block, step=step).series(), truth(block))


@pytest.mark.parametrize("how", ["plain", "gzip", "gzip members"])
def test_trailing_zeros_are_padding(how: str) -> None:
    block = image_bytes()
    np.testing.assert_array_equal(read(compressed(block, how) + bytes(100)).series(), truth(block))


@pytest.mark.parametrize("how", ["plain", "gzip", "gzip members"])
def test_a_file_cut_anywhere_is_truncated(how: str) -> None:
    data = compressed(image_bytes(), how)
    for end in range(0, len(data), 3):
        with pytest.raises((ScanTruncatedError, ScanHeaderError)) as caught:
            read(data[:end])
        # A cut exactly between two members leaves a sound gzip file that holds too little.
        assert type(caught.value) is ScanTruncatedError or how == "gzip members"


def test_a_sound_gzip_with_too_few_volumes_is_the_headers_lie() -> None:
    with pytest.raises(ScanHeaderError, match="promises 6 volumes, the data end after 4"):
        read(gzip.compress(image_bytes()[: 352 + 5 * 120 - 1]))


@pytest.mark.parametrize("how", ["plain", "gzip"])
@pytest.mark.parametrize("excess", [b"\x01", bytes(119) + b"\x01", bytes(120)], ids=["byte", "late byte", "volume"])
def test_more_data_than_promised_is_refused(how: str, excess: bytes) -> None:
    with pytest.raises(ScanHeaderError, match="more data follow"):
        read(compressed(image_bytes() + excess, how))


def test_corrupt_gzip_and_wrong_checksum_are_refused() -> None:
    data = bytearray(gzip.compress(image_bytes()))
    data[-6] ^= 1
    with pytest.raises(ScanCorruptError, match="CRC32"):
        read(bytes(data))


@pytest.mark.parametrize("data", [b"", bytes(3), b"\x5c\x01\x00\x00" + bytes(100)])
def test_a_file_that_ends_in_its_header_is_truncated(data: bytes) -> None:
    with pytest.raises(ScanTruncatedError):
        read(data)


def test_single_volume_is_refused_before_its_data_arrive() -> None:
    block = nibabel.Nifti1Image(np.zeros((5, 4, 3), dtype=np.int16), AFFINE).to_bytes()
    with pytest.raises(ScanDimensionError):
        NiftiStream(Collector(), ScanLimits()).feed(block[:348])


def test_text_is_no_scan() -> None:
    with pytest.raises(ScanError, match="another kind of file"):
        read(b"onset\tduration\ttrial_type\n")


def test_a_refusing_consumer_stops_the_stream() -> None:
    class Refuser(Collector):
        def begin(self, header: NiftiHeader) -> None:
            raise ScanTooLargeError("not today")

    with pytest.raises(ScanTooLargeError, match="not today"):
        NiftiStream(Refuser(), ScanLimits()).feed(image_bytes())


class Counter(Collector):
    """Keeps nothing."""

    def volume(self, index: int, voxels: np.ndarray) -> None:
        pass


def test_a_gzip_bomb_is_refused_within_bounded_memory() -> None:
    # 352 bytes of header, 6 volumes, and then 60 MB of zeros packed into 60 kB.
    bomb = gzip.compress(image_bytes() + bytes(60_000_000), 9)
    assert len(bomb) < 100_000
    tracemalloc.start()
    with pytest.raises(ScanHeaderError, match="more data follow"):
        NiftiStream(Counter(), ScanLimits()).feed(bomb)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3_000_000


def promised(n_zero_bytes: int) -> bytes:
    """Return a header that promises as many zeros as follow, 2 MB per volume."""
    header = nibabel.Nifti1Header()
    header.set_data_shape((100, 100, 100, n_zero_bytes // 2_000_000))
    header.set_data_dtype(np.int16)
    header.set_sform(AFFINE, 4)
    header["magic"], header["vox_offset"] = b"n+1", 352
    return bytes(header.binaryblock) + bytes(4 + n_zero_bytes)


def test_a_bomb_whose_header_promises_all_of_it_is_refused_early() -> None:
    bomb = gzip.compress(promised(200_000_000), 1)
    with pytest.raises(ScanTooLargeError, match="no less than 1/100 of its size"):
        NiftiStream(Counter(), ScanLimits()).feed(bomb)
    assert len(bomb) < 1_000_000


@pytest.mark.parametrize(
    ("n_bytes", "limits"), [(60_000_000, ScanLimits()), (80_000_000, ScanLimits(max_inflation=2_000))]
)
def test_what_is_small_or_shrinks_within_the_limit_is_read(n_bytes: int, limits: ScanLimits) -> None:
    stream = NiftiStream(Counter(), limits)
    stream.feed(gzip.compress(promised(n_bytes), 1))
    stream.close()


def test_a_header_that_declares_16_gibibytes_is_refused() -> None:
    header = bytearray(promised(4_000_000)[:352])
    header[40:50] = np.array([4, 256, 256, 256, 512], dtype="<i2").tobytes()
    with pytest.raises(ScanTooLargeError, match="bytes in all"):
        NiftiStream(Counter(), ScanLimits()).feed(bytes(header))


def test_memory_does_not_grow_with_the_length_of_the_run() -> None:
    header = nibabel.Nifti1Header()
    header.set_data_shape((40, 40, 40, 300))
    header.set_data_dtype(np.int16)
    header.set_sform(AFFINE, 4)
    header["magic"], header["vox_offset"] = b"n+1", 352
    data = gzip.compress(bytes(header.binaryblock) + bytes(4 + 40**3 * 2 * 300), 1)
    tracemalloc.start()
    stream = NiftiStream(Counter(), ScanLimits())
    stream.feed(data)
    stream.close()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 40**3 * 2 + 2_000_000  # one volume and some pieces; the run would be 38 MB
