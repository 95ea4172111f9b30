"""Bundles that somebody laid hands on: every one is refused before anything in it is interpreted.

Asked: at least 500 random bytes changed, one at a time, and files added, removed, renamed, linked; 100 % refused before
parsing. Changed here are 600 bytes, 20,000 with KRP_ROBUST=long.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from predictor.console import emit
from predictor.errors import BundleDamagedError, BundleSignatureError, BundleUnsignedError, ModelBundleError
from predictor.model import bundle as bundle_module
from predictor.model.bundle import load_bundle
from predictor.model.sealed_folder import MANIFEST, SIGNATURE
from predictor.model.signature import BundleKey, sign_folder
from serving.model_source import BundleFolder
from serving.model_store import ModelStore

PARSERS = ("_parse_document", "parse_reading_matter", "array_from_bytes", "_bundle_of")


@pytest.fixture
def folder(bundle_dir: Path, tmp_path: Path) -> Path:
    """Return a copy to lay hands on."""
    return Path(shutil.copytree(bundle_dir, tmp_path / "bundle"))


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names of what interpreted a part of a bundle, one per call."""
    calls: list[str] = []
    for name in PARSERS:
        real = getattr(bundle_module, name)

        def noted(*given: object, real: Callable[..., object] = real, name: str = name, **named: object) -> object:
            calls.append(name)
            return real(*given, **named)

        monkeypatch.setattr(bundle_module, name, noted)
    return calls


def files_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def flips(folder: Path, n_flips: int) -> Iterator[tuple[Path, int, int]]:
    """File, place and what is added to the byte there: half spread over all bytes, half over the files alike."""
    rng, files = np.random.default_rng(0), [path for path in files_of(folder) if path.stat().st_size]
    sizes = np.array([path.stat().st_size for path in files], dtype=float)
    for number in range(n_flips):
        shares = sizes / sizes.sum() if number % 2 else None
        path = files[int(rng.choice(len(files), p=shares))]
        yield path, int(rng.integers(path.stat().st_size)), int(rng.integers(1, 256))


def flip(path: Path, place: int, by: int) -> int:
    """Change one byte in place; returns what it was."""
    with path.open("r+b") as file:
        file.seek(place)
        before = file.read(1)[0]
        file.seek(place)
        file.write(bytes([(before + by) % 256]))
    return before


def test_the_bundle_loads_before_anybody_changes_it(folder: Path, parsed: list[str]) -> None:
    assert load_bundle(folder).digest
    assert set(parsed) == set(PARSERS)


def test_every_changed_byte_is_refused_before_parsing(folder: Path, parsed: list[str], run_long: bool) -> None:
    n_flips = 20_000 if run_long else 600
    n_refused = 0
    for path, place, by in flips(folder, n_flips):
        before = flip(path, place, by)
        with pytest.raises(BundleDamagedError):
            load_bundle(folder)
        n_refused += 1
        flip(path, place, before - path.read_bytes()[place])
    assert parsed == []
    assert load_bundle(folder).digest  # everything was put back, so each refusal was of one byte
    emit(f"changed bytes: {n_refused} of {n_flips} refused before parsing (asked: all of at least 500)")


def test_every_change_of_the_manifest_s_last_and_first_byte_is_refused(folder: Path, parsed: list[str]) -> None:
    manifest = folder / MANIFEST
    for place in (0, manifest.stat().st_size - 1):
        for by in range(1, 256):
            before = flip(manifest, place, by)
            with pytest.raises(BundleDamagedError):
                load_bundle(folder)
            flip(manifest, place, before - manifest.read_bytes()[place])
    assert parsed == []


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def lengthen(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"\n")


def link(path: Path) -> None:
    """Put a link to the very same bytes in the file's place."""
    outside = next(parent for parent in path.parents if parent.name == "bundle").with_name("outside")
    shutil.copy(path, outside)
    path.unlink()
    path.symlink_to(outside)


CHANGES: dict[str, Callable[[Path], object]] = {
    "removed": Path.unlink,
    "renamed": lambda path: path.rename(path.with_name("other")),
    "name in capitals": lambda path: path.rename(path.with_name(path.name.upper())),
    "emptied": lambda path: path.write_bytes(b""),
    "one byte less": truncate,
    "one byte more": lengthen,
    "linked": link,
    "a folder": lambda path: (path.unlink(), path.mkdir()),
    "a pipe": lambda path: (path.unlink(), os.mkfifo(path)),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_every_file_that_is_gone_or_another_kind_is_refused(
    bundle_dir: Path, tmp_path: Path, parsed: list[str], change: Callable[[Path], object]
) -> None:
    for number, original in enumerate(path for path in files_of(bundle_dir) if path.stat().st_size):
        folder = Path(shutil.copytree(bundle_dir, tmp_path / str(number) / "bundle"))
        change(folder / original.relative_to(bundle_dir))
        with pytest.raises(BundleDamagedError):
            load_bundle(folder)
        shutil.rmtree(folder.parent)
    assert parsed == []


ADDITIONS: dict[str, Callable[[Path], object]] = {
    "a file": lambda folder: (folder / "model.pkl").write_bytes(b"cos\nsystem\n(S'true'\ntR."),
    "a hidden file": lambda folder: (folder / ".hidden").write_bytes(b""),
    "a file deep inside": lambda folder: (
        (folder / "arrays/a/b").mkdir(parents=True),
        lengthen(folder / "arrays/a/b/c"),
    ),
    "a link to nowhere": lambda folder: (folder / "link").symlink_to("/nowhere"),
    "a link to its parent": lambda folder: (folder / "link").symlink_to(".."),
    "a link to itself": lambda folder: (folder / "link").symlink_to("link"),
    "a pipe": lambda folder: os.mkfifo(folder / "pipe"),
    "an array of a group that it does not have": lambda folder: lengthen(folder / "arrays/harmonization.shift.npy"),
}


@pytest.mark.parametrize("add", ADDITIONS.values(), ids=ADDITIONS)
def test_whatever_is_added_is_refused(folder: Path, parsed: list[str], add: Callable[[Path], object]) -> None:
    add(folder)
    with pytest.raises(BundleDamagedError):
        load_bundle(folder)
    assert parsed == []


def test_two_arrays_in_each_other_s_place_are_refused(folder: Path, parsed: list[str]) -> None:
    first, second = sorted((folder / "arrays").iterdir())[:2]
    kept = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(kept)
    with pytest.raises(BundleDamagedError):
        load_bundle(folder)
    assert parsed == []


def test_every_changed_byte_of_a_signature_is_refused(folder: Path, parsed: list[str]) -> None:
    private = Ed25519PrivateKey.generate()
    file = sign_folder(folder, private)
    signed = file.read_bytes()
    store = ModelStore(BundleFolder(folder), key=BundleKey(private.public_key()))
    for place in range(len(signed.strip())):
        file.write_bytes(signed[:place] + bytes([signed[place] ^ 1]) + signed[place + 1 :])
        with pytest.raises(ModelBundleError):
            store.refresh()
    assert parsed == []
    file.write_bytes(signed)
    assert store.refresh()


def test_a_swapped_signature_is_refused(folder: Path, parsed: list[str], tmp_path: Path) -> None:
    private = Ed25519PrivateKey.generate()
    other = Path(shutil.copytree(folder, tmp_path / "other"))
    (other / MANIFEST).write_bytes((folder / MANIFEST).read_bytes() + b" ")  # another bundle of the same owner
    swapped = sign_folder(other, private).read_bytes()
    store = ModelStore(BundleFolder(folder), key=BundleKey(private.public_key()))
    with pytest.raises(BundleUnsignedError):
        store.refresh()
    for signature in (swapped, sign_folder(folder, Ed25519PrivateKey.generate()).read_bytes()):
        (folder / SIGNATURE).write_bytes(signature)
        with pytest.raises(BundleSignatureError):
            store.refresh()
    assert parsed == []
