"""No key may stand twice in an object: the parser would take the last value without a word."""

from __future__ import annotations

from predictor.errors import JsonInvalidError
from predictor.model.canonical_json import parse_json


def check_unique_keys(body: bytes, *, n_strings: int, where: str = "body") -> None:
    """Refuse what the parser overlooked in a body that it took.

    Counting quotation marks settles it for nearly every body; where a text holds one itself, or a key stands twice, the
    slow parser looks.

    Parameters
    ----------
    body
        JSON.
    n_strings
        How many keys and texts the parser found in it; with fewer than there are, the slow parser looks as well.
    where
        What errors call the JSON.

    Raises
    ------
    JsonInvalidError
        If a key stands twice in an object.
    """
    if body.count(b'"') == 2 * n_strings and b"\\" not in body:
        return
    try:
        parse_json(body)
    except ValueError as error:
        raise JsonInvalidError(f"expected JSON: {error}.", where=where) from None
