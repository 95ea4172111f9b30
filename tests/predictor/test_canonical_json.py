from __future__ import annotations

import math
import struct

import numpy as np
import pytest

from predictor.model.canonical_json import canonical_json, parse_json


def test_keys_are_sorted_and_spaces_are_left_out() -> None:
    assert (
        canonical_json({"ü": [1, None], "a": {"z": True, "b": "x"}}) == '{"a":{"b":"x","z":true},"ü":[1,null]}'.encode()
    )


def test_every_double_survives_to_the_last_bit(rng: np.random.Generator) -> None:
    bits = rng.integers(0, 2**64, 5_000, dtype=np.uint64)
    numbers = [float(x) for x in bits.view(np.float64) if math.isfinite(x)]
    returned = parse_json(canonical_json(numbers))
    assert [struct.pack("<d", x) for x in returned] == [struct.pack("<d", x) for x in numbers]


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_what_is_no_number_is_not_written(number: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json({"a": number})


@pytest.mark.parametrize("text", [b"NaN", b'{"a": Infinity}', b'{"a": 1, "a": 2}', b"[" * 100_000, b"{", b"\xff"])
def test_what_is_no_json_is_not_read(text: bytes) -> None:
    with pytest.raises(ValueError):
        parse_json(text)
