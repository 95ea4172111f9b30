from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from predictor.errors import BundleIncompatibleError
from predictor.model.bundle import ModelBundle, load_bundle, save_bundle
from predictor.model.canonical_json import canonical_json
from predictor.model.reading_matter import READING_MATTER, parse_reading_matter, reading_matter_files, reading_matter_in

CARD = {"metrics": {"r2": 0.3}, "cohort": "made-up"}
TABLE = ({"item": "1", "status": "answered"},)


def test_what_is_written_comes_back() -> None:
    files = reading_matter_files(CARD, "# card\n", TABLE, "# tafel äöü\n")
    assert set(files) == set(READING_MATTER)
    read = parse_reading_matter(files)
    assert read == {"card": CARD, "card_text": "# card\n", "tripod_ai": [TABLE[0]], "tripod_ai_text": "# tafel äöü\n"}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("card.json", b"{"),
        ("card.json", b"[]"),
        ("card.json", b'{"r2": NaN}'),
        ("tripod_ai.json", b"{}"),
        ("tripod_ai.json", b"[1]"),
        ("card.md", b"\xff"),
    ],
)
def test_other_content_is_a_named_error(name: str, content: bytes) -> None:
    files = reading_matter_files(CARD, "", TABLE, "") | {name: content}
    with pytest.raises(BundleIncompatibleError):
        parse_reading_matter(files)


def reseal(folder: Path, change: dict[str, bytes | None]) -> None:
    """Change or remove files and make the manifest agree."""
    manifest = json.loads((folder / "manifest.json").read_bytes())
    for name, content in change.items():
        if content is None:
            (folder / name).unlink()
            del manifest["files"][name]
        else:
            (folder / name).write_bytes(content)
            digest = "sha256:" + hashlib.sha256(content).hexdigest()
            manifest["files"][name] = {"sha256": digest, "size": len(content)}
    (folder / "manifest.json").write_bytes(canonical_json(manifest))


def test_a_bundle_from_before_there_were_such_files_is_still_read(bundle: ModelBundle, tmp_path: Path) -> None:
    save_bundle(replace(bundle, card=CARD, tripod_ai=TABLE), tmp_path / "bundle")
    document: dict[str, Any] = json.loads((tmp_path / "bundle" / "bundle.json").read_bytes())
    reseal(
        tmp_path / "bundle",
        {**dict.fromkeys(READING_MATTER), "bundle.json": canonical_json({**document, "card": CARD})},
    )
    assert reading_matter_in(tmp_path / "bundle") == ()
    loaded = load_bundle(tmp_path / "bundle")
    assert loaded.card == CARD
    assert (loaded.card_text, loaded.tripod_ai, loaded.tripod_ai_text) == ("", (), "")


def test_a_bundle_without_any_card_is_incompatible(bundle: ModelBundle, tmp_path: Path) -> None:
    save_bundle(bundle, tmp_path / "bundle")
    reseal(tmp_path / "bundle", dict.fromkeys(READING_MATTER))
    with pytest.raises(BundleIncompatibleError, match="do not fit together"):
        load_bundle(tmp_path / "bundle")
