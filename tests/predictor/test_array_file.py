from __future__ import annotations

import io

import numpy as np
import pytest

from predictor.errors import BundleDamagedError
from predictor.model.array_file import FLOAT, INTEGER, array_bytes, array_from_bytes


def npy(array: np.ndarray, *, allow_pickle: bool = False) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=allow_pickle)
    return buffer.getvalue()


@pytest.mark.parametrize("shape", [(0,), (5,), (2, 3), (0, 4)])
def test_numpy_reads_what_is_written_and_the_other_way_round(rng: np.random.Generator, shape: tuple[int, ...]) -> None:
    array = rng.standard_normal(shape)
    content = array_bytes(array)
    assert np.array_equal(np.load(io.BytesIO(content)), array)
    again = array_from_bytes(npy(array), dtype=FLOAT, n_dimensions=len(shape), where="a")
    assert np.array_equal(again, array)
    assert not again.flags.writeable


def test_equal_arrays_give_equal_bytes_whatever_their_layout(rng: np.random.Generator) -> None:
    array = rng.standard_normal((4, 3))
    assert array_bytes(np.asfortranarray(array)) == array_bytes(array.astype(">f8")) == array_bytes(array)
    assert array_bytes(np.arange(3, dtype=np.int32)) == array_bytes(np.arange(3, dtype=np.int64))


def lying_header() -> bytes:
    """8 bytes that claim to be 8 terabytes."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "<f8", "fortran_order": False, "shape": (10**12,)})
    return buffer.getvalue() + bytes(8)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x93NUMPY\x01\x00",
        npy(np.zeros(3, dtype=np.float32)),
        npy(np.zeros(3, dtype=np.int64)),
        npy(np.zeros((3, 1))),
        npy(np.array([{}], dtype=object), allow_pickle=True),
        npy(np.zeros(3))[:-1],
        npy(np.zeros(3)) + b"x",
        lying_header(),
        npy(np.zeros(3)).replace(b"}", b"["),
    ],
)
def test_anything_else_is_refused_before_memory_is_taken(content: bytes) -> None:
    with pytest.raises(BundleDamagedError) as caught:
        array_from_bytes(content, dtype=FLOAT, n_dimensions=1, where="arrays/a.npy")
    assert caught.value.where == "arrays/a.npy"


def test_integers_stay_integers() -> None:
    assert array_from_bytes(array_bytes(np.arange(4)), dtype=INTEGER, n_dimensions=1, where="a").tolist() == [
        0,
        1,
        2,
        3,
    ]
