"""Who made a bundle: an Ed25519 signature of its manifest, which lists the digest of every file.

The manifest says that no file was changed since it was written; the signature says who wrote it. It stands beside the
manifest (`manifest.sig`), or with the version in the registry, and is no part of the digest: signing changes nothing.

References
----------
S. Josefsson, I. Liusvaara: Edwards-Curve Digital Signature Algorithm (EdDSA). RFC 8032, 2017.
"""

from __future__ import annotations

import base64
import binascii
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from predictor.errors import BundleSignatureError, BundleUnsignedError, UsageError
from predictor.model.sealed_folder import SIGNATURE, digest_of, read_manifest, read_signature

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

# So that a signature of something else with the same key can never pass for one of a bundle.
_PURPOSE = b"ketamine-response-predictor bundle manifest v1\n"
MAX_KEY_BYTES = 10_000
N_SIGNATURE_BYTES = 64


@dataclass(frozen=True, slots=True)
class BundleKey:
    """The public key of whoever may make bundles for this service."""

    key: Ed25519PublicKey

    @classmethod
    def from_file(cls, file: Path) -> BundleKey:
        """Read a public key in PEM, as `openssl pkey -pubout` writes it.

        Raises
        ------
        UsageError
            If the file holds no such key.
        """
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
        from cryptography.hazmat.primitives.serialization import load_pem_public_key

        try:
            key = load_pem_public_key(_read_key(file))
        except ValueError as error:
            raise UsageError("expected an Ed25519 public key in PEM.", where=file.name) from error
        if not isinstance(key, Ed25519PublicKey):
            raise UsageError("expected an Ed25519 public key, found one of another kind.", where=file.name)
        return cls(key)

    def check(self, folder: Path, signature: str | None = None) -> str:
        """Return the digest of a folder's manifest if the key's owner signed it; nothing of it is interpreted.

        Parameters
        ----------
        folder
            The bundle.
        signature
            One that came with the version; used where the folder holds none.

        Raises
        ------
        BundleUnsignedError
            If there is no signature.
        BundleSignatureError
            If it is not this key's, or not of this manifest.
        BundleDamagedError
            If there is no manifest.
        """
        from cryptography.exceptions import InvalidSignature

        manifest = read_manifest(folder)
        found = read_signature(folder) or signature
        if not found:
            raise BundleUnsignedError("expected a signed bundle, found no signature.", where=SIGNATURE)
        try:
            self.key.verify(_decode(found), _PURPOSE + manifest)
        except InvalidSignature as error:
            raise BundleSignatureError("the signature is not one of this bundle by the expected key.") from error
        return digest_of(manifest)


def sign_manifest(folder: Path, key: Ed25519PrivateKey) -> str:
    """Return the signature of a folder's manifest, base64 of 64 bytes; equal input gives equal output."""
    return base64.b64encode(key.sign(_PURPOSE + read_manifest(folder))).decode()


def sign_folder(folder: Path, key: Ed25519PrivateKey) -> Path:
    """Write the signature beside the manifest, whole or not at all, and return its file."""
    file = folder / SIGNATURE
    unfinished = folder.parent / f".{folder.name}-{SIGNATURE}-unfinished"
    unfinished.write_text(sign_manifest(folder, key) + "\n", encoding="ascii")
    os.replace(unfinished, file)
    return file


def read_private_key(file: Path) -> Ed25519PrivateKey:
    """Read a private key in PEM without a passphrase, as `openssl genpkey -algorithm ed25519` writes it.

    Raises
    ------
    UsageError
        If the file holds no such key.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(_read_key(file), password=None)
    except (ValueError, TypeError) as error:  # TypeError: it needs a passphrase
        raise UsageError("expected an Ed25519 private key in PEM, without a passphrase.", where=file.name) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise UsageError("expected an Ed25519 private key, found one of another kind.", where=file.name)
    return key


def _read_key(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            return opened.read(MAX_KEY_BYTES)
    except OSError as error:
        raise UsageError(f"the key file cannot be read: {error.strerror}.", where=file.name) from error


def _decode(signature: str) -> bytes:
    try:
        decoded = base64.b64decode(signature.strip(), validate=True)
    except (binascii.Error, ValueError) as error:
        raise BundleSignatureError("expected a signature in base64.", where=SIGNATURE) from error
    if len(decoded) != N_SIGNATURE_BYTES:
        raise BundleSignatureError(f"expected a signature of {N_SIGNATURE_BYTES} bytes.", where=SIGNATURE)
    return decoded
