"""What a bundle holds for people to read: the model card and the TRIPOD+AI table, each as JSON and as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from predictor.errors import BundleIncompatibleError
from predictor.model.canonical_json import canonical_json, parse_json

CARD, CARD_TEXT, TRIPOD, TRIPOD_TEXT = "card.json", "card.md", "tripod_ai.json", "tripod_ai.md"
READING_MATTER = (CARD, CARD_TEXT, TRIPOD, TRIPOD_TEXT)


def reading_matter_in(folder: Path) -> tuple[str, ...]:
    """Return the files that a folder must hold: all, or none where the card still stands inside the bundle's document.

    Whoever removes files to pass for an old bundle fails on the manifest, which lists them.
    """
    return READING_MATTER if (folder / CARD).is_file() else ()


def reading_matter_files(
    card: Mapping[str, Any], card_text: str, tripod_ai: Sequence[Mapping[str, Any]], tripod_ai_text: str
) -> dict[str, bytes]:
    """Return the files' content by name; there is no time stamp in it, so equal content gives equal bytes.

    Raises
    ------
    TypeError, ValueError
        If card or table hold what JSON cannot.
    """
    return {
        CARD: canonical_json(dict(card)),
        CARD_TEXT: card_text.encode(),
        TRIPOD: canonical_json([dict(row) for row in tripod_ai]),
        TRIPOD_TEXT: tripod_ai_text.encode(),
    }


def parse_reading_matter(files: Mapping[str, bytes]) -> dict[str, Any]:
    """Return card and table by the names of the bundle's fields; nothing of a folder without such files.

    Raises
    ------
    BundleIncompatibleError
        If a file is not the JSON or the text that it should be.
    """
    if CARD not in files:
        return {}
    try:
        card, table = parse_json(files[CARD]), parse_json(files[TRIPOD])
        texts = {"card_text": files[CARD_TEXT].decode(), "tripod_ai_text": files[TRIPOD_TEXT].decode()}
    except ValueError as error:
        raise BundleIncompatibleError("expected a card and a TRIPOD+AI table as JSON and text.", where=CARD) from error
    if not isinstance(card, dict) or not isinstance(table, list) or not all(isinstance(row, dict) for row in table):
        raise BundleIncompatibleError("expected a card with entries and a table with rows.", where=CARD)
    return {"card": card, "tripod_ai": table, **texts}
