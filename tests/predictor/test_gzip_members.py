"""Inflating gzip members in pieces, compared with Python's own gzip."""

from __future__ import annotations

import gzip
import random
import struct
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from predictor.errors import ScanCorruptError, ScanTruncatedError
from predictor.scan.gzip_members import MAX_PIECE_BYTES, GzipMembers

CONTENT = random.Random(0).randbytes(3_000) + bytes(5_000)
TEXT, HEADER_CRC, EXTRA, NAME, COMMENT = 1, 2, 4, 8, 16


def member(content: bytes, *, flags: int = 0, crc: int | None = None, length: int | None = None) -> bytes:
    """Write a gzip member with optional header fields and, if asked, a false trailer."""
    header = b"\x1f\x8b\x08" + bytes([flags]) + bytes(4) + b"\0\xff"
    header += struct.pack("<H", 260) + bytes(260) if flags & EXTRA else b""
    header += b"sub-01_bold.nii\0" if flags & NAME else b""
    header += b"a comment\0" if flags & COMMENT else b""
    header += struct.pack("<H", zlib.crc32(header) & 0xFFFF) if flags & HEADER_CRC else b""
    deflate = zlib.compressobj(6, zlib.DEFLATED, -15)
    crc = zlib.crc32(content) if crc is None else crc
    length = len(content) if length is None else length
    return header + deflate.compress(content) + deflate.flush() + struct.pack("<II", crc, length)


def inflate(data: bytes, step: int) -> bytes:
    """Push data in chunks of `step` bytes."""
    members = GzipMembers()
    pieces = [
        piece
        for start in range(0, len(data), step)
        for piece in members.inflate(memoryview(data[start : start + step]))
    ]
    members.close()
    return b"".join(pieces)


@pytest.mark.parametrize("step", [1, 2, 7, 100, 1 << 20])
@pytest.mark.parametrize("flags", range(32))
def test_every_optional_header_field_is_skipped_however_the_bytes_arrive(flags: int, step: int) -> None:
    data = member(CONTENT, flags=flags)
    assert gzip.decompress(data) == CONTENT
    assert inflate(data, step) == CONTENT


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    parts=st.lists(
        st.tuples(st.sampled_from([0, 1, 1_000, MAX_PIECE_BYTES, 2 * MAX_PIECE_BYTES + 1]), st.booleans()),
        min_size=1,
        max_size=4,
    ),
    step=st.sampled_from([1_000, 4_096, 65_536, 65_537, 10**7]),
    n_padding=st.sampled_from([0, 1, 700]),
)
def test_any_number_of_members_inflates_as_with_gzip(parts: list[tuple[int, bool]], step: int, n_padding: int) -> None:
    contents = [random.Random(size).randbytes(size) if is_random else bytes(size) for size, is_random in parts]
    data = b"".join(gzip.compress(content, 1) for content in contents) + bytes(n_padding)
    assert inflate(data, step) == b"".join(contents)


def test_a_stream_cut_anywhere_is_truncated() -> None:
    data = member(CONTENT[:300], flags=31)
    for end in range(len(data)):
        with pytest.raises(ScanTruncatedError):
            inflate(data[:end], 1 << 20)


@pytest.mark.parametrize("step", [1, 1 << 20])
@pytest.mark.parametrize(
    ("data", "message"),
    [
        (member(CONTENT, crc=1), "CRC32"),
        (member(CONTENT, length=1), "length"),
        (member(CONTENT)[:10] + b"\xff" * 200, "damaged"),
        (member(CONTENT) + b"tail", "other bytes"),
        (member(CONTENT) + b"\x1ftail", "other bytes"),
        (b"\x1f\x8b\x07" + member(CONTENT)[3:], "unknown compression method"),
        (b"\x1f\x8b\x08\xe0" + member(CONTENT)[4:], "unknown compression method or flag"),
        (b"\x1f\x8b\x08\x02" + bytes(6) + b"xx" + member(CONTENT)[10:], "checksum of the gzip header"),
        (b"\x1f\x8b\x08\x08" + bytes(6) + b"n" * 200_000, "has no end"),
    ],
)
def test_damage_is_named(data: bytes, message: str, step: int) -> None:
    if len(data) > 100_000:
        step = 1 << 12
    with pytest.raises(ScanCorruptError, match=message):
        inflate(data, step)


def test_no_flipped_bit_changes_the_content_unnoticed() -> None:
    content = CONTENT[:200]
    data = member(content)
    n_noticed = 0
    for bit in range(8 * len(data)):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        try:
            # Time stamp, labels and the bits that fill up the last byte carry nothing.
            assert inflate(bytes(changed), 1 << 20) == content
        except (ScanCorruptError, ScanTruncatedError):
            n_noticed += 1
    assert n_noticed > 8 * len(content)


def test_a_small_input_that_inflates_a_thousandfold_comes_in_bounded_pieces() -> None:
    data = memoryview(gzip.compress(bytes(50_000_000)))
    assert max(len(piece) for piece in GzipMembers().inflate(data)) <= MAX_PIECE_BYTES
