"""JSON of which there is exactly one spelling."""

from __future__ import annotations

import json
from collections.abc import Iterable
from math import isfinite
from typing import Any

import orjson


def canonical_json(document: Any) -> bytes:
    """UTF-8 JSON with sorted keys and no spaces; numbers keep every digit, NaN and infinity are a ValueError.

    Examples
    --------
    >>> canonical_json({"b": 0.1, "a": None})
    b'{"a":null,"b":0.1}'
    """
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8")


def answer_json(document: Any, *, n_missing: int = 0) -> bytes:
    """Canonical JSON as answers have it, made ten times as fast; tiny and huge numbers are spelled 1e-7, not 1e-07.

    Not for what is hashed into a manifest or a recipe: those keep the spelling that their digests were made of.

    Parameters
    ----------
    document
        What JSON can hold.
    n_missing
        How many values in it are known to be None. The fast writer turns NaN into null without a word; where there are
        no more nulls than these, none was a NaN, and nothing need be searched.

    Raises
    ------
    ValueError
        If a number is NaN or infinite.
    TypeError
        If something is no JSON.

    Examples
    --------
    >>> answer_json({"b": 3e-14, "a": None})
    b'{"a":null,"b":3e-14}'
    """
    content = orjson.dumps(document, default=_plain_number, option=orjson.OPT_SORT_KEYS)
    if content.count(b"null") > n_missing:
        _refuse_not_finite((document,))
    return content


def parse_json(content: bytes) -> Any:
    """Parse JSON, refusing what standard JSON does not have: NaN, infinity, repeated keys.

    Raises
    ------
    ValueError
        If it is no such document.
    """
    try:
        return json.loads(content, parse_constant=_refuse_constant, object_pairs_hook=_unique_keys)
    except RecursionError as error:
        raise ValueError("the document is nested too deeply") from error


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return document


def _refuse_not_finite(values: Iterable[Any]) -> None:
    """Look into everything for a float that is NaN or infinite."""
    for value in values:
        if isinstance(value, float):
            if not isfinite(value):
                raise ValueError("a number of the document is not finite")
        elif isinstance(value, dict):
            _refuse_not_finite(value.values())
        elif isinstance(value, list | tuple):
            _refuse_not_finite(value)


def _plain_number(value: Any) -> float:
    """Return numpy's floats as Python's, which they are to the plain writer."""
    if not isinstance(value, float):
        raise TypeError(f"a value of type {type(value).__name__} is not JSON")
    return float(value)
