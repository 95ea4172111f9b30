"""The card of a bundle that is not loaded, read only if it is the one that was registered."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from predictor.errors import BundleDamagedError
from predictor.model.canonical_json import parse_json
from predictor.model.reading_matter import CARD
from predictor.model.sealed_folder import MAX_MANIFEST_BYTES, digest_of

DOCUMENT = "bundle.json"  # holds the card in bundles of old
MAX_CARD_BYTES = 10_000_000


def read_card(manifest: Path, *, digest: str, fetch: Callable[[str], Path]) -> Mapping[str, Any]:
    """Return a bundle's card without fetching all of the bundle.

    Parameters
    ----------
    manifest
        The bundle's manifest.
    digest
        The digest that was registered.
    fetch
        Fetches one file of the bundle by its name.

    Raises
    ------
    BundleDamagedError
        If manifest or card are not those that were registered.
    """
    content = _read(manifest, MAX_MANIFEST_BYTES)
    if digest_of(content) != digest:
        raise BundleDamagedError("the manifest is not the one that was registered.")
    try:
        files = parse_json(content)["files"]
        name = CARD if CARD in files else DOCUMENT
        expected = str(files[name]["sha256"])
        found = _read(fetch(name), MAX_CARD_BYTES)
        if digest_of(found) != expected:
            raise BundleDamagedError("the card is not the one that was registered.", where=name)
        document = parse_json(found)
        card = document if name == CARD else document.get("card", {})
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise BundleDamagedError("expected a manifest and a card, found something else.") from error
    if not isinstance(card, dict):
        raise BundleDamagedError("expected a card with entries.", where=name)
    return card


def _read(file: Path, limit: int) -> bytes:
    with file.open("rb") as opened:
        content = opened.read(limit + 1)
    if len(content) > limit:
        raise BundleDamagedError(f"expected at most {limit} bytes.", where=file.name)
    return content
