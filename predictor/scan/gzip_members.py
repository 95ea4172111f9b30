"""Gzip, member after member, inflated in bounded pieces.

ISA-L inflates the deflate data; the wrapper around it is read here. ISA-L's own gzip mode stops after the first member
and, when the header arrives in small pieces, misreads some of its optional fields.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator

from isal import igzip_lib, isal_zlib

from predictor.errors import ScanCorruptError, ScanTruncatedError

GZIP_MAGIC = b"\x1f\x8b"
# A tiny input can inflate a thousandfold; it is handed on in pieces of this size instead.
MAX_PIECE_BYTES = 1 << 18
# What stands behind a member's end is copied, so that many tiny members in one big slice would cost quadratic time.
MAX_SLICE_BYTES = 1 << 16
# File name and comment have no limit in the format; nobody writes more than this.
MAX_MEMBER_HEADER_BYTES = 1 << 17

_FIXED_HEADER_BYTES = 10
_TRAILER_BYTES = 8
_DEFLATE = 8
_HAS_HEADER_CRC, _HAS_EXTRA, _HAS_NAME, _HAS_COMMENT, _RESERVED = 0x02, 0x04, 0x08, 0x10, 0xE0


class GzipMembers:
    """Inflates gzip data pushed in chunks of any size; checks CRC32 and length of every member."""

    def __init__(self) -> None:
        self._pending = bytearray()  # an incomplete header or trailer
        self._body: igzip_lib.IgzipDecompressor | None = None  # set while inside deflate data
        self._crc = 0
        self._length = 0
        self._n_members = 0
        self._is_in_trailer = False

    def inflate(self, data: memoryview) -> Iterator[bytes]:
        """Yield what `data` adds, in pieces of at most `MAX_PIECE_BYTES`.

        Raises
        ------
        ScanCorruptError
            If a header, the deflate data, a CRC or a length is wrong, or something else follows the last member.
        """
        for start in range(0, len(data), MAX_SLICE_BYTES):
            rest = bytes(data[start : start + MAX_SLICE_BYTES])
            while rest:
                if self._body is not None:
                    rest = yield from self._inflate_body(self._body, rest)
                elif self._is_in_trailer:
                    rest = self._read_trailer(rest)
                else:
                    rest = self._read_header(rest)

    def close(self) -> None:
        """Check that the data ended with the end of a member.

        Raises
        ------
        ScanTruncatedError
            If it ended earlier.
        """
        if self._body is not None or self._is_in_trailer or self._pending or not self._n_members:
            raise ScanTruncatedError("the compressed stream ends before its end mark.")

    def _read_header(self, data: bytes) -> bytes:
        if not self._pending:
            # Tapes and some archives pad with zeros, which a member cannot begin with.
            data = data.lstrip(b"\0") if self._n_members else data
            if data and data[0] != GZIP_MAGIC[0]:
                raise ScanCorruptError("expected the end of the file or another gzip member, found other bytes.")
        self._pending += data
        n_header = _member_header_bytes(self._pending)
        if n_header is None:
            if len(self._pending) > MAX_MEMBER_HEADER_BYTES:
                raise ScanCorruptError("the gzip header has no end.")
            return b""
        rest = bytes(self._pending[n_header:])
        self._pending.clear()
        self._body = igzip_lib.IgzipDecompressor(igzip_lib.DECOMP_DEFLATE)
        self._crc = self._length = 0
        return rest

    def _inflate_body(self, body: igzip_lib.IgzipDecompressor, data: bytes) -> Generator[bytes, None, bytes]:
        """Yield pieces; return what stands behind the deflate data."""
        while True:
            try:
                piece = body.decompress(data, MAX_PIECE_BYTES)
            except igzip_lib.IsalError as error:  # type: ignore[misc]  # the stub takes the class for an instance
                raise ScanCorruptError("the compressed data are damaged.") from error
            if piece:
                self._crc = isal_zlib.crc32(piece, self._crc)
                self._length += len(piece)
                yield piece
            if body.eof:
                self._body, self._is_in_trailer = None, True
                return bytes(body.unused_data)
            if body.needs_input or not piece:
                return b""
            data = b""

    def _read_trailer(self, data: bytes) -> bytes:
        n_missing = _TRAILER_BYTES - len(self._pending)
        self._pending += data[:n_missing]
        if len(self._pending) < _TRAILER_BYTES:
            return b""
        crc, length = (int.from_bytes(self._pending[at : at + 4], "little") for at in (0, 4))
        if crc != self._crc:
            raise ScanCorruptError("the checksum (CRC32) of the compressed file does not match its content.")
        if length != self._length % 2**32:
            raise ScanCorruptError("the length stored in the compressed file does not match its content.")
        self._pending.clear()
        self._is_in_trailer = False
        self._n_members += 1
        return data[n_missing:]


def _member_header_bytes(header: bytes | bytearray) -> int | None:
    """Length of the member header at the start of `header`, None while it is incomplete."""
    if not GZIP_MAGIC.startswith(header[:2]):
        raise ScanCorruptError("expected a gzip member, found other bytes.")
    if len(header) < _FIXED_HEADER_BYTES:
        return None
    method, flags = header[2], header[3]
    if method != _DEFLATE or flags & _RESERVED:
        raise ScanCorruptError("the gzip header names an unknown compression method or flag.")
    end = _FIXED_HEADER_BYTES
    if flags & _HAS_EXTRA:
        end += 2 + int.from_bytes(header[end : end + 2], "little")
    for flag in (_HAS_NAME, _HAS_COMMENT):
        if flags & flag:
            end = header.find(b"\0", end) + 1
            if end == 0:
                return None
    if flags & _HAS_HEADER_CRC:
        end += 2
    if len(header) < end:
        return None
    if flags & _HAS_HEADER_CRC and int.from_bytes(header[end - 2 : end], "little") != (
        isal_zlib.crc32(bytes(header[: end - 2])) & 0xFFFF
    ):
        raise ScanCorruptError("the checksum of the gzip header does not match.")
    return end
