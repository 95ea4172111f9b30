"""A folder that is written whole or not at all, and read only as it was written."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path

from predictor.errors import BundleDamagedError, ModelBundleError
from predictor.model.canonical_json import canonical_json, parse_json

MANIFEST = "manifest.json"
SIGNATURE = "manifest.sig"  # optional, of the manifest; see predictor/model/signature.py
MAX_SIGNATURE_BYTES = 1_000
MAX_MANIFEST_BYTES = 1_000_000
MAX_FOLDER_BYTES = 128_000_000


def digest_of(content: bytes) -> str:
    """SHA-256 as "sha256:" and 64 hexadecimal digits."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


def manifest_of(files: Mapping[str, bytes]) -> bytes:
    """Manifest: digest and size of every file, by its path inside the folder."""
    digests = {name: digest_of(content) for name, content in files.items()}
    return _spelled({name: len(content) for name, content in files.items()}, digests)


def write_sealed_folder(folder: Path, files: Mapping[str, bytes]) -> str:
    """Write the files and their manifest; an earlier sealed folder of that name is replaced.

    Everything is written beside the goal first and moved there at the end, so that a crash leaves either the old
    folder or the new one.

    Returns
    -------
    str
        Digest of the manifest.

    Raises
    ------
    ModelBundleError
        If something else than a sealed folder stands there, or the files are too large.
    """
    if sum(len(content) for content in files.values()) > MAX_FOLDER_BYTES:
        raise ModelBundleError(f"expected at most {MAX_FOLDER_BYTES} bytes in all, found more.")
    if folder.is_symlink() or (folder.exists() and not _is_empty_or_sealed(folder)):
        raise ModelBundleError(
            "the folder to write to exists and is no bundle.", remedy="Name a new folder, or an older bundle."
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    manifest = manifest_of(files)
    workspace = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=folder.parent))
    try:
        new, old = workspace / "new", workspace / "old"
        for name, content in {**files, MANIFEST: manifest}.items():
            path = new / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        if folder.exists():
            folder.rename(old)
        new.rename(folder)
    finally:
        shutil.rmtree(workspace)
    return digest_of(manifest)


def read_sealed_folder(folder: Path, *, expected: Collection[str]) -> tuple[dict[str, bytes], str]:
    """Return the content of every file, checked against the manifest, and the manifest's digest.

    Nothing is interpreted before all of it is checked, and what was checked is what is returned: a file that
    changes afterwards changes nothing.

    Parameters
    ----------
    folder
        The sealed folder.
    expected
        Paths that it must hold, no more and no fewer; so no manifest can name a place outside.

    Raises
    ------
    BundleDamagedError
        If a file is missing, added, changed, too large, or not a regular file.
    """
    if not folder.is_dir():
        raise BundleDamagedError(
            "expected a bundle folder, found none there.",
            where=folder.name,
            remedy="Check the path: a bundle is the folder that `krp train --bundle DIR` writes.",
        )
    found = _regular_files(folder)
    if MANIFEST not in found:
        raise BundleDamagedError(f"the folder has no {MANIFEST}.", where=MANIFEST)
    manifest = _read(folder, MANIFEST, found[MANIFEST], limit=MAX_MANIFEST_BYTES)
    sizes, digests = _parse_manifest(manifest)
    _check_names("the manifest", sizes.keys(), expected)
    _check_names("the folder", found.keys() - {MANIFEST, SIGNATURE}, expected)
    if sum(sizes.values()) > MAX_FOLDER_BYTES:
        raise BundleDamagedError(f"expected at most {MAX_FOLDER_BYTES} bytes in all, found more.")
    files = {name: _read(folder, name, sizes[name], limit=MAX_FOLDER_BYTES) for name in sorted(sizes)}
    for name, content in files.items():
        if digest_of(content) != digests[name]:
            raise BundleDamagedError("the file is not the one that was sealed: its digest differs.", where=name)
    return files, digest_of(manifest)


def read_manifest(folder: Path) -> bytes:
    """Return the manifest as it stands in a folder, unread.

    Raises
    ------
    BundleDamagedError
        If there is none, it is a link, or too large.
    """
    try:
        size = (folder / MANIFEST).lstat().st_size
    except OSError as error:
        raise BundleDamagedError(f"the folder has no {MANIFEST}.", where=MANIFEST) from error
    return _read(folder, MANIFEST, size, limit=MAX_MANIFEST_BYTES)


def read_signature(folder: Path) -> str | None:
    """Return the signature that stands beside the manifest; None if there is none.

    Raises
    ------
    BundleDamagedError
        If it is a link, too large, or no text.
    """
    file = folder / SIGNATURE
    if not file.is_symlink() and not file.exists():
        return None
    try:
        return _read(folder, SIGNATURE, file.lstat().st_size, limit=MAX_SIGNATURE_BYTES).decode("ascii")
    except UnicodeDecodeError as error:
        raise BundleDamagedError("expected a signature as text.", where=SIGNATURE) from error


def _spelled(sizes: Mapping[str, int], digests: Mapping[str, str]) -> bytes:
    return canonical_json({"files": {name: {"sha256": digests[name], "size": size} for name, size in sizes.items()}})


def _is_empty_or_sealed(folder: Path) -> bool:
    return folder.is_dir() and (not any(folder.iterdir()) or (folder / MANIFEST).is_file())


def _regular_files(folder: Path) -> dict[str, int]:
    """Size of every file by its path inside the folder, links never followed."""
    sizes: dict[str, int] = {}
    pending = [folder]
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                name = Path(entry.path).relative_to(folder).as_posix()
                mode = entry.stat(follow_symlinks=False).st_mode
                if stat.S_ISDIR(mode):
                    pending.append(Path(entry.path))
                elif stat.S_ISREG(mode):
                    sizes[name] = entry.stat(follow_symlinks=False).st_size
                else:
                    raise BundleDamagedError("expected only regular files, found a link or device.", where=name)
    return sizes


def _read(folder: Path, name: str, size: int, *, limit: int) -> bytes:
    if size > limit:
        raise BundleDamagedError(f"expected at most {limit} bytes, found {size}.", where=name)
    try:
        # No link is followed, and a pipe that took the file's place is not waited for.
        descriptor = os.open(folder / name, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
        with os.fdopen(descriptor, "rb") as file:
            content = file.read(size + 1)
    except OSError as error:
        raise BundleDamagedError("the file cannot be read.", where=name) from error
    if len(content) != size:
        raise BundleDamagedError(f"expected {size} bytes, found another number.", where=name)
    return content


def _parse_manifest(content: bytes) -> tuple[dict[str, int], dict[str, str]]:
    try:
        listed = parse_json(content)["files"]
        sizes = {str(name): int(entry["size"]) for name, entry in listed.items()}
        digests = {str(name): str(entry["sha256"]) for name, entry in listed.items()}
        is_as_written = content == _spelled(sizes, digests)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise BundleDamagedError("the manifest does not list sizes and digests of files.", where=MANIFEST) from error
    # Other spaces or another order would leave what is listed as it was, and yet give another digest.
    if not is_as_written:
        raise BundleDamagedError("the manifest is not spelled as it was written.", where=MANIFEST)
    if any(size < 0 for size in sizes.values()):
        raise BundleDamagedError("the manifest lists a negative size.", where=MANIFEST)
    return sizes, digests


def _check_names(place: str, names: Collection[str], expected: Collection[str]) -> None:
    missing, extra = sorted(set(expected) - set(names)), sorted(set(names) - set(expected))
    if missing:
        raise BundleDamagedError(f"{place} lacks {', '.join(missing[:5])}.", where=missing[0])
    if extra:
        raise BundleDamagedError(f"{place} holds {len(extra)} files too many.", where=extra[0][:80])
