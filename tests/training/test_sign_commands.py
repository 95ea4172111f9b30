from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from predictor.__main__ import main
from predictor.errors import BundleDamagedError, BundleUnsignedError
from predictor.model.bundle import ModelBundle, save_bundle
from predictor.model.signature import BundleKey
from training.log_book.tracking import Store
from training.shelf.registry import RegisteredVersion, downloaded, fetch_verified
from training.shelf.signing import SIGNATURE_TAG, sign_version

PutOnShelf = Callable[..., RegisteredVersion]
PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = BundleKey(PRIVATE.public_key())


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    file = tmp_path / "signing.pem"
    file.write_bytes(PRIVATE.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return file


def test_a_registered_version_is_signed_by_a_tag_and_its_files_stay(
    shelf: Store, put_on_shelf: PutOnShelf, key_file: Path
) -> None:
    registered = put_on_shelf(shelf, "signed")
    assert main(["sign", "signed/candidate", "--key", str(key_file), "--store", str(shelf.folder)]) == 0
    found = fetch_verified("signed", registered.version, store=shelf)
    assert found.bundle.digest == registered.bundle_digest
    with downloaded(shelf, "signed", registered.version) as folder:
        assert PUBLIC.check(folder, found.tags[SIGNATURE_TAG]) == registered.bundle_digest
        with pytest.raises(BundleUnsignedError):
            PUBLIC.check(folder)


def test_a_version_whose_files_were_changed_is_not_signed(shelf: Store, put_on_shelf: PutOnShelf) -> None:
    registered = put_on_shelf(shelf, "changed")
    shelf.client.set_model_version_tag("changed", registered.version, "bundle_digest", "sha256:" + "0" * 64)
    with pytest.raises(BundleDamagedError):
        sign_version(f"changed/{registered.version}", PRIVATE, store=shelf)
    assert SIGNATURE_TAG not in shelf.client.get_model_version("changed", registered.version).tags


def test_a_folder_is_signed_by_a_file_unless_it_was_changed(
    complete_bundle: ModelBundle, tmp_path: Path, key_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    digest = save_bundle(complete_bundle, tmp_path / "bundle")
    changed = Path(shutil.copytree(tmp_path / "bundle", tmp_path / "changed"))
    assert main(["sign", str(tmp_path / "bundle"), "--key", str(key_file)]) == 0
    assert PUBLIC.check(tmp_path / "bundle") == digest
    (changed / "bundle.json").write_bytes(b"{}")
    assert main(["sign", str(changed), "--key", str(key_file)]) == 3
    assert "bundle-damaged" in capsys.readouterr().err
    assert not (changed / "manifest.sig").exists()


def test_what_is_neither_folder_nor_version_is_refused(key_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sign", "nothing", "--key", str(key_file)]) == 2
    assert "usage: expected a bundle folder or MODEL/VERSION" in capsys.readouterr().err
    assert main(["sign", "nothing", "--key", "missing.pem"]) == 2
