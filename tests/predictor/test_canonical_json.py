from __future__ import annotations

import math
import struct

import numpy as np
import pytest

from predictor.model.canonical_json import answer_json, canonical_json, parse_json


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


def test_answers_hold_the_same_numbers_in_the_same_order(rng: np.random.Generator) -> None:
    bits = rng.integers(0, 2**64, 5_000, dtype=np.uint64)
    numbers = [float(x) for x in bits.view(np.float64) if math.isfinite(x)]
    document = {"ü": [1, None, True, -0.0, "null", 'a\u2028"b'], "b": {"z": np.float64(0.1), "a": numbers}, "a": (1, 2)}
    content = answer_json(document)
    assert parse_json(content) == parse_json(canonical_json(document))
    returned = parse_json(content)["b"]["a"]
    assert [struct.pack("<d", x) for x in returned] == [struct.pack("<d", x) for x in numbers]
    assert content.startswith(b'{"a":[1,2],"b":{"a":[')


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, np.float64("nan"), np.float64("inf")])
@pytest.mark.parametrize("n_missing", [0, 1])
def test_an_answer_with_what_is_no_number_is_not_written(number: float, n_missing: int) -> None:
    document = {"missing": None, "deep": [{"words": "null", "numbers": (1.0, [0.5, number])}]}
    with pytest.raises(ValueError, match="not finite"):
        answer_json(document, n_missing=n_missing)


def test_an_answer_with_what_is_no_json_is_not_written() -> None:
    with pytest.raises(TypeError):
        answer_json({"a": object()})
