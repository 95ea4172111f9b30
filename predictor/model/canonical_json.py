"""JSON of which there is exactly one spelling."""

from __future__ import annotations

import json
from typing import Any


def canonical_json(document: Any) -> bytes:
    """UTF-8 JSON with sorted keys and no spaces; numbers keep every digit, NaN and infinity are a ValueError.

    Examples
    --------
    >>> canonical_json({"b": 0.1, "a": None})
    b'{"a":null,"b":0.1}'
    """
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8")


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
