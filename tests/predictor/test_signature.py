from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as make_other_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from predictor.errors import (
    BundleDamagedError,
    BundleSignatureError,
    BundleUnsignedError,
    ModelBundleError,
    UsageError,
)
from predictor.model.sealed_folder import MANIFEST, SIGNATURE, read_sealed_folder, write_sealed_folder
from predictor.model.signature import BundleKey, read_private_key, sign_folder, sign_manifest


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    write_sealed_folder(tmp_path / "bundle", {"a.txt": b"one", "b.txt": b"two"})
    return tmp_path / "bundle"


@pytest.fixture
def private() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


@pytest.fixture
def public(private: Ed25519PrivateKey) -> BundleKey:
    return BundleKey(private.public_key())


def test_a_signed_folder_is_known_by_its_digest_and_still_whole(
    sealed: Path, private: Ed25519PrivateKey, public: BundleKey
) -> None:
    before = read_sealed_folder(sealed, expected={"a.txt", "b.txt"})
    sign_folder(sealed, private)
    assert public.check(sealed) == before[1]
    assert read_sealed_folder(sealed, expected={"a.txt", "b.txt"}) == before


def test_equal_folders_get_equal_signatures(sealed: Path, private: Ed25519PrivateKey) -> None:
    assert sign_manifest(sealed, private) == sign_manifest(sealed, private)


def test_an_unsigned_folder_is_refused_unless_the_signature_came_along(
    sealed: Path, private: Ed25519PrivateKey, public: BundleKey
) -> None:
    with pytest.raises(BundleUnsignedError):
        public.check(sealed)
    public.check(sealed, sign_manifest(sealed, private))


@pytest.mark.parametrize("name", [MANIFEST, SIGNATURE])
def test_a_pipe_in_place_of_a_file_is_refused_and_not_waited_for(
    sealed: Path, private: Ed25519PrivateKey, public: BundleKey, name: str
) -> None:
    sign_folder(sealed, private)
    (sealed / name).unlink()
    os.mkfifo(sealed / name)
    with pytest.raises(ModelBundleError):
        public.check(sealed)


def test_the_signature_of_another_key_is_refused(sealed: Path, public: BundleKey) -> None:
    sign_folder(sealed, Ed25519PrivateKey.generate())
    with pytest.raises(BundleSignatureError):
        public.check(sealed)


def test_the_signature_of_another_folder_is_refused(
    sealed: Path, tmp_path: Path, private: Ed25519PrivateKey, public: BundleKey
) -> None:
    write_sealed_folder(tmp_path / "other", {"a.txt": b"three"})
    (sealed / SIGNATURE).write_text(sign_manifest(tmp_path / "other", private))
    with pytest.raises(BundleSignatureError):
        public.check(sealed)


def test_a_manifest_signed_without_saying_what_for_is_refused(
    sealed: Path, private: Ed25519PrivateKey, public: BundleKey
) -> None:
    import base64

    signature = private.sign((sealed / MANIFEST).read_bytes())
    with pytest.raises(BundleSignatureError):
        public.check(sealed, base64.b64encode(signature).decode())


@pytest.mark.parametrize("content", ["", "not base64!", "AAAA", "A" * 900])
def test_what_is_no_signature_is_refused(sealed: Path, public: BundleKey, content: str) -> None:
    (sealed / SIGNATURE).write_text(content)
    with pytest.raises((BundleSignatureError, BundleUnsignedError)):
        public.check(sealed)


def test_a_signature_that_is_a_link_or_too_large_is_refused(sealed: Path, public: BundleKey) -> None:
    (sealed / SIGNATURE).write_text("A" * 5_000)
    with pytest.raises(BundleDamagedError):
        public.check(sealed)
    (sealed / SIGNATURE).unlink()
    (sealed / SIGNATURE).symlink_to(sealed / "a.txt")
    with pytest.raises(BundleDamagedError):
        public.check(sealed)


def test_a_folder_without_manifest_is_damaged(tmp_path: Path, public: BundleKey) -> None:
    with pytest.raises(BundleDamagedError):
        public.check(tmp_path)


def test_keys_made_with_openssl_are_read(sealed: Path, tmp_path: Path) -> None:
    private, public = tmp_path / "signing.pem", tmp_path / "signing.pub.pem"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", str(private)], check=True)
    subprocess.run(["openssl", "pkey", "-in", str(private), "-pubout", "-out", str(public)], check=True)
    sign_folder(sealed, read_private_key(private))
    assert BundleKey.from_file(public).check(sealed).startswith("sha256:")


def test_keys_of_other_kinds_are_wrong_use(tmp_path: Path) -> None:
    other = make_other_key(SECP256R1())
    private = other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "private.pem").write_bytes(private)
    public = other.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "public.pem").write_bytes(public)
    with pytest.raises(UsageError, match="Ed25519"):
        read_private_key(tmp_path / "private.pem")
    with pytest.raises(UsageError, match="Ed25519"):
        BundleKey.from_file(tmp_path / "public.pem")
    with pytest.raises(UsageError):
        BundleKey.from_file(tmp_path / "missing.pem")
    with pytest.raises(UsageError):
        read_private_key(tmp_path / "public.pem")
