from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from predictor.errors import BundleDamagedError, ModelBundleError
from predictor.model import sealed_folder
from predictor.model.canonical_json import canonical_json
from predictor.model.sealed_folder import MANIFEST, read_sealed_folder, write_sealed_folder

FILES = {"bundle.json": b"{}", "arrays/a.npy": b"12345", "arrays/b.npy": b""}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "bundle"
    write_sealed_folder(folder, FILES)
    return folder


def test_what_was_written_comes_back(folder: Path) -> None:
    files, digest = read_sealed_folder(folder, expected=FILES)
    assert files == FILES
    assert digest == "sha256:" + hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()


def test_equal_files_give_equal_bytes(folder: Path, tmp_path: Path) -> None:
    write_sealed_folder(tmp_path / "again", dict(reversed(FILES.items())))
    assert (tmp_path / "again" / MANIFEST).read_bytes() == (folder / MANIFEST).read_bytes()


def append_to(folder: Path) -> None:
    with (folder / "arrays/a.npy").open("ab") as file:
        file.write(b"x")


def change_in_place(folder: Path) -> None:
    (folder / "arrays/a.npy").write_bytes(b"12346")


def link_to_the_same_content(folder: Path) -> None:
    (folder / "arrays/a.npy").rename(folder.parent / "a.npy")
    (folder / "arrays/a.npy").symlink_to(folder.parent / "a.npy")


def link_the_folder_inside(folder: Path) -> None:
    (folder / "arrays").rename(folder.parent / "arrays")
    (folder / "arrays").symlink_to(folder.parent / "arrays")


def rewrite_manifest(folder: Path, change: Callable[[dict[str, object]], object]) -> None:
    manifest = json.loads((folder / MANIFEST).read_bytes())
    change(manifest["files"])
    (folder / MANIFEST).write_bytes(canonical_json(manifest))


DAMAGES: list[Callable[[Path], object]] = [
    append_to,
    change_in_place,
    link_to_the_same_content,
    link_the_folder_inside,
    lambda folder: (folder / "arrays/b.npy").unlink(),
    lambda folder: (folder / "arrays/c.npy").write_bytes(b""),
    lambda folder: (folder / MANIFEST).unlink(),
    lambda folder: (folder / MANIFEST).write_text("{"),
    lambda folder: (folder / MANIFEST).write_text('{"files": 3}'),
    lambda folder: (folder / MANIFEST).write_bytes(b" " * 2_000_000),
    lambda folder: os.mkfifo(folder / "pipe"),
    lambda folder: rewrite_manifest(folder, lambda files: files.pop("arrays/b.npy")),
    lambda folder: rewrite_manifest(folder, lambda files: files.update({"../secret": files["bundle.json"]})),
    lambda folder: rewrite_manifest(folder, lambda files: files["bundle.json"].update({"size": 10**15})),
    lambda folder: rewrite_manifest(folder, lambda files: files["bundle.json"].update({"size": -1})),
    lambda folder: (folder / MANIFEST).write_text(json.dumps(json.loads((folder / MANIFEST).read_bytes()))),
    lambda folder: rewrite_manifest(folder, lambda files: files["bundle.json"].update({"size": "2"})),
    lambda folder: (folder / MANIFEST).write_bytes((folder / MANIFEST).read_bytes().replace(b"sha256:", rb"\ud800")),
    lambda folder: (folder / MANIFEST).write_bytes((folder / MANIFEST).read_bytes() + b"\n"),
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_any_damage_is_noticed(folder: Path, damage: Callable[[Path], object]) -> None:
    damage(folder)
    with pytest.raises(BundleDamagedError):
        read_sealed_folder(folder, expected=FILES)


def test_a_path_out_of_the_folder_is_refused_even_if_all_else_fits(folder: Path) -> None:
    (folder.parent / "secret").write_bytes(b"{}")
    rewrite_manifest(folder, lambda files: files.update({"../secret": files["bundle.json"]}))
    with pytest.raises(BundleDamagedError, match="1 files too many"):
        read_sealed_folder(folder, expected=FILES)


def test_an_older_bundle_is_replaced_and_nothing_else_is_touched(folder: Path) -> None:
    write_sealed_folder(folder, {"bundle.json": b"new"})
    assert read_sealed_folder(folder, expected=["bundle.json"])[0] == {"bundle.json": b"new"}
    assert os.listdir(folder.parent) == ["bundle"]


def test_a_folder_of_someone_elses_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.tex").write_text("...")
    with pytest.raises(ModelBundleError, match="is no bundle"):
        write_sealed_folder(tmp_path / "thesis", FILES)
    assert os.listdir(tmp_path / "thesis") == ["chapter1.tex"]


def test_a_crash_leaves_the_old_bundle_and_no_rubbish(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written, write_bytes = [], Path.write_bytes

    def fail_at_the_second(path: Path, content: bytes) -> int:
        written.append(path)
        if len(written) == 2:
            raise OSError("disk full")
        return write_bytes(path, content)

    monkeypatch.setattr(Path, "write_bytes", fail_at_the_second)
    with pytest.raises(OSError, match="disk full"):
        write_sealed_folder(folder, {"bundle.json": b"new", "other": b""})
    assert read_sealed_folder(folder, expected=FILES)[0] == FILES
    assert os.listdir(folder.parent) == ["bundle"]


def test_too_much_is_refused_before_it_is_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealed_folder, "MAX_FOLDER_BYTES", 6)
    with pytest.raises(BundleDamagedError, match="at most 6 bytes"):
        read_sealed_folder(folder, expected=FILES)


def test_a_missing_folder_is_a_named_error(tmp_path: Path) -> None:
    with pytest.raises(BundleDamagedError, match="found none"):
        read_sealed_folder(tmp_path / "nowhere", expected=FILES)
