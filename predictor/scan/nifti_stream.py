"""NIfTI as a stream: bytes pushed in, a checked header and whole volumes handed on.

Memory is one volume plus one piece of inflated data, however long the run and however the bytes arrive, so the same
parser reads a file and a request body.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from predictor.errors import ScanHeaderError, ScanTooLargeError, ScanTruncatedError
from predictor.scan.gzip_members import GZIP_MAGIC, GzipMembers
from predictor.scan.nifti_header import LENGTH_BYTES, NiftiHeader, ScanLimits, header_length, parse_header

__all__ = ["NiftiHeader", "NiftiStream", "ScanLimits", "VolumeConsumer"]

# Inflating this much costs 50 ms, whatever it comes from; beyond it, what shrinks as no scan does is refused.
ALWAYS_INFLATED_BYTES = 64 * 2**20


class VolumeConsumer(Protocol):
    """Takes what a `NiftiStream` reads."""

    def begin(self, header: NiftiHeader) -> None:
        """Take the header, once, before any volume; raise to refuse the scan."""

    def volume(self, index: int, voxels: NDArray[Any]) -> None:
        """Take one volume: shape (n_voxels,), x fastest, unscaled, of the header's dtype; valid during the call."""


class NiftiStream:
    """Push parser of one 4-D NIfTI image, plain or gzip-compressed (told by its first byte).

    Parameters
    ----------
    consumer
        Takes header and volumes.
    limits
        What is refused as soon as the header is read.
    """

    def __init__(self, consumer: VolumeConsumer, limits: ScanLimits) -> None:
        self._consumer = consumer
        self._limits = limits
        self._has_begun = False
        self._gzip: GzipMembers | None = None
        self._n_compressed = self._n_inflated = 0  # bytes
        self._head = bytearray()
        self._header: NiftiHeader | None = None
        self._n_to_skip = 0  # bytes of header extensions
        self._volume = memoryview(b"")
        self._voxels: NDArray[Any] = np.empty(0)
        self._n_filled = 0  # bytes of the current volume
        self._n_read = 0  # whole volumes
        self._n_padding = 0  # zero bytes behind the last volume

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Take the next bytes of the file, any number of them.

        Raises
        ------
        ScanError
            As soon as the bytes show that the scan cannot be read; the stream is of no use afterwards.
        """
        view = memoryview(data).cast("B")
        if not self._has_begun and len(view):
            self._has_begun = True
            # No NIfTI header begins with this byte: its first four are 348 or 540.
            self._gzip = GzipMembers() if view[0] == GZIP_MAGIC[0] else None
        if self._gzip is None:
            self._read(view)
            return
        self._n_compressed += len(view)
        for piece in self._gzip.inflate(view):
            self._check_inflation(len(piece))
            self._read(memoryview(piece))

    def close(self) -> None:
        """Check that the image was complete.

        Raises
        ------
        ScanTruncatedError
            If the file ends too early.
        ScanHeaderError
            If a compressed file is sound but holds less than its header promises.
        """
        if not self._has_begun:
            raise ScanTruncatedError("expected a NIfTI image, found an empty file.")
        if self._gzip is not None:
            self._gzip.close()
        if self._header is None:
            raise ScanTruncatedError("the file ends within the NIfTI header.")
        if self._n_read < self._header.n_volumes:
            message = f"the header promises {self._header.n_volumes} volumes, the data end after {self._n_read}."
            raise ScanTruncatedError(message) if self._gzip is None else ScanHeaderError(message)

    def _check_inflation(self, n_bytes: int) -> None:
        """Refuse a bomb early, also one whose header promises all of it."""
        self._n_inflated += n_bytes
        limit = self._limits.max_inflation
        if self._n_inflated > max(ALWAYS_INFLATED_BYTES, limit * self._n_compressed):
            raise ScanTooLargeError(
                f"expected a scan compressed to no less than 1/{limit} of its size, found one that inflates further.",
                remedy="Send the scan as fMRIPrep writes it; an image that is empty nearly everywhere, uncompressed.",
            )

    def _read(self, data: memoryview) -> None:
        """Take inflated bytes."""
        while len(data):
            if self._header is None:
                data = self._read_header(data)
            elif self._n_to_skip:
                n_skipped = min(self._n_to_skip, len(data))
                self._n_to_skip -= n_skipped
                data = data[n_skipped:]
            elif self._n_read < self._header.n_volumes:
                data = self._read_volume(data, self._header)
            else:
                self._check_padding(data, self._header)
                return

    def _read_header(self, data: memoryview) -> memoryview:
        length = header_length(bytes(self._head[:LENGTH_BYTES])) if len(self._head) >= LENGTH_BYTES else LENGTH_BYTES
        n_missing = length - len(self._head)
        self._head += data[:n_missing]
        if len(self._head) == length > LENGTH_BYTES:
            header = parse_header(bytes(self._head), self._limits)
            self._consumer.begin(header)
            self._volume = memoryview(bytearray(header.volume_bytes))
            self._voxels = np.frombuffer(self._volume, dtype=header.dtype)
            self._n_to_skip = header.data_offset_bytes - length
            self._header = header
        return data[n_missing:]

    def _read_volume(self, data: memoryview, header: NiftiHeader) -> memoryview:
        n_taken = min(header.volume_bytes - self._n_filled, len(data))
        self._volume[self._n_filled : self._n_filled + n_taken] = data[:n_taken]
        self._n_filled += n_taken
        if self._n_filled == header.volume_bytes:
            self._consumer.volume(self._n_read, self._voxels)
            self._n_read += 1
            self._n_filled = 0
        return data[n_taken:]

    def _check_padding(self, data: memoryview, header: NiftiHeader) -> None:
        """Let zeros pass, as block devices and archives append them, but never a whole volume of them."""
        self._n_padding += len(data)
        if self._n_padding >= header.volume_bytes or bytes(data).strip(b"\0"):
            raise ScanHeaderError(
                f"the header promises {header.n_volumes} volumes of {header.shape}, but more data follow."
            )
