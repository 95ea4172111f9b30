"""A signature beside a registered version, so that a service that asks for one takes it; files stay as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from predictor.errors import BundleDamagedError
from predictor.model.bundle import verify_bundle
from predictor.model.signature import sign_manifest
from training.log_book.store_errors import in_our_words
from training.log_book.tracking import Store
from training.shelf.registry import downloaded, resolve, verified_digest

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

SIGNATURE_TAG = "bundle_signature"  # of a registered version, read by the service


def sign_version(reference: str, key: Ed25519PrivateKey, *, store: Store) -> tuple[str, str]:
    """Sign a registered bundle after its files were found to be those that were registered.

    Parameters
    ----------
    reference
        "MODEL/VERSION"; the version may be an alias such as `candidate`.
    key
        The private key of whoever answers for the model.
    store
        The log book.

    Returns
    -------
    name, version
        What was signed.

    Raises
    ------
    ModelUnavailableError
        If there is no such version, or registering it was cut off.
    BundleDamagedError
        If the files are not those that were registered; nothing is signed then.
    TrackingError
        If the store does not take the signature.
    """
    name, version = resolve(reference, store=store)
    expected = verified_digest(name, version, store=store)
    with downloaded(store, name, version) as folder:
        found = verify_bundle(folder)
        if found != expected:
            raise BundleDamagedError(f"expected the bundle {expected[:19]}, found {found[:19]}.", where=reference)
        signature = sign_manifest(folder, key)
    with in_our_words("write the signature"):
        store.client.set_model_version_tag(name, version, SIGNATURE_TAG, signature)
    return name, version
