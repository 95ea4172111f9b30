"""Arrays as .npy bytes of which there is exactly one spelling, read without trusting them."""

from __future__ import annotations

import io
import math
import re
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from predictor.errors import BundleDamagedError

FLOAT, INTEGER = np.dtype("<f8"), np.dtype("<i8")

# Exactly what numpy writes for such arrays. Its reader takes much more, down to Python 2's spelling of integers.
_HEADER = re.compile(
    rb"\x93NUMPY\x01\x00(?P<length>..)"
    rb"\{'descr': '(?P<dtype><[fi]8)', 'fortran_order': False, 'shape': \((?P<shape>[0-9, ]{1,60})\), \} *\n",
    re.DOTALL,
)


def array_bytes(array: NDArray[Any]) -> bytes:
    """.npy version 1.0, C order, little-endian float64 or int64; equal arrays give equal bytes."""
    dtype = INTEGER if np.issubdtype(array.dtype, np.integer) else FLOAT
    buffer = io.BytesIO()
    npy.write_array(buffer, np.ascontiguousarray(array, dtype=dtype), version=(1, 0), allow_pickle=False)
    return buffer.getvalue()


def array_from_bytes(content: bytes, *, dtype: np.dtype[Any], n_dimensions: int, where: str) -> NDArray[Any]:
    """Return the array, read-only.

    The header is checked against the bytes that are there before anything is allocated; objects cannot occur.

    Raises
    ------
    BundleDamagedError
        If it is no such array.
    """
    match = _HEADER.match(content)
    if match is None:
        raise BundleDamagedError("expected an array in .npy format 1.0, C order.", where=where)
    shape = tuple(int(length) for length in match["shape"].replace(b",", b" ").split())
    found, body = match["dtype"].decode(), memoryview(content)[match.end() :]
    if (
        found != dtype.str
        or len(shape) != n_dimensions
        or 10 + int.from_bytes(match["length"], "little") != match.end()
    ):
        raise BundleDamagedError(f"expected {n_dimensions}-D {dtype.str}, found {len(shape)}-D {found}.", where=where)
    # An axis of no length hides how long the others claim to be.
    if max(shape) > len(body) + 2**32 or math.prod(shape) * dtype.itemsize != len(body):
        raise BundleDamagedError(
            f"the header promises shape {shape}, which {len(body)} bytes do not hold.", where=where
        )
    # A copy, since the bytes need not be aligned.
    array = np.frombuffer(body, dtype=dtype).reshape(shape).copy()
    array.flags.writeable = False
    return array
