"""Signing keys of an OpenID provider: found by discovery, kept for a while, fetched anew when it rotates them."""

from __future__ import annotations

import json
import logging
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from typing import Any, Protocol
from urllib.parse import urlsplit

from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from predictor.errors import ProviderUnavailableError, UsageError
from serving.access.loopback import is_loopback

logger = logging.getLogger(__name__)

DISCOVERY = "/.well-known/openid-configuration"
# Fetched anew after ten minutes; while the provider is away, the last ones are trusted for an hour.
FRESH_FOR_S, TRUSTED_FOR_S = 600.0, 3600.0
# After a failure, and for keys that nobody has heard of, it is not asked more often than this.
ASK_AGAIN_AFTER_S = 10.0
TIMEOUT_S = 3.0
MAX_DOCUMENT_BYTES = 1024 * 1024
# Symmetric keys ("oct") have no place in a public list: with one, whoever reads the list could sign.
KEY_TYPES = ("RSA", "EC", "OKP")


class Fetch(Protocol):
    """Gets a JSON document from an address."""

    def __call__(self, address: str) -> Any:
        """Return the document, or raise OSError or ValueError."""


class ProviderKeys:
    """The keys that one provider signs with.

    Raises
    ------
    UsageError
        If the issuer's address is not https; plain http is taken from loopback only, for trying things out.
    """

    def __init__(self, issuer: str, *, fetch: Fetch | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        if not _is_private(issuer):
            raise UsageError("expected an https address of an OpenID provider.", where="KRP_OIDC_ISSUER")
        self._issuer = issuer
        self._fetch = fetch or fetch_json
        self._clock = clock
        self._lock = threading.Lock()  # tokens are verified in threads
        self._keys: KeySet | None = None
        self._fetched_at = self._asked_at = float("-inf")

    def current(self) -> KeySet:
        """Return the keys, fetched anew when they are old.

        Raises
        ------
        ProviderUnavailableError
            If the provider does not answer, and the last keys are too old.
        """
        with self._lock:
            if self._clock() - self._fetched_at >= FRESH_FOR_S:
                self._ask()
            if self._keys is None or self._clock() - self._fetched_at >= TRUSTED_FOR_S:
                raise ProviderUnavailableError("the identity provider does not answer.")
            return self._keys

    def after_rotation(self) -> KeySet:
        """Return the keys after a token named one that is not among them.

        Raises
        ------
        ProviderUnavailableError
            If the provider does not answer, so that nobody can say whether the key is new or made up.
        """
        with self._lock:
            may_ask = self._clock() - self._asked_at >= ASK_AGAIN_AFTER_S
            if may_ask:
                self._ask()
            if self._keys is None or self._fetched_at < self._asked_at:
                raise ProviderUnavailableError("the identity provider does not answer.")
            return self._keys

    def _ask(self) -> None:
        now = self._clock()
        if now - self._asked_at < ASK_AGAIN_AFTER_S:
            return
        self._asked_at = now
        try:
            self._keys = self._fetch_keys()
            self._fetched_at = now
        except (OSError, HTTPException, ValueError, KeyError, TypeError, AttributeError, JoseError) as error:
            logger.warning("the identity provider gave no signing keys: %s", type(error).__name__)

    def _fetch_keys(self) -> KeySet:
        about = self._fetch(self._issuer.rstrip("/") + DISCOVERY)
        if about["issuer"] != self._issuer:
            raise ValueError("the discovery document is another issuer's")
        address = about["jwks_uri"]
        if not _is_private(address):
            raise ValueError("the keys are not behind https")
        keys = self._fetch(address)["keys"]
        return KeySet.import_key_set({"keys": [key for key in keys if _can_verify(key)]})


def fetch_json(address: str) -> Any:
    """Return the JSON document at an address; it follows no redirects and reads no more than a mebibyte.

    Raises
    ------
    OSError, HTTPException, ValueError
        If there is none, or it is too large.
    """
    opener = urllib.request.build_opener(_NoRedirects)
    with opener.open(address, timeout=TIMEOUT_S) as response:
        content = response.read(MAX_DOCUMENT_BYTES + 1)
    if len(content) > MAX_DOCUMENT_BYTES:
        raise ValueError("the document is too large")
    return json.loads(content)


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Who may answer for the issuer is the issuer's address, not whom it points to."""

    def redirect_request(self, *arguments: Any) -> None:
        """Refuse, which urllib turns into an HTTPError."""


def _is_private(address: str) -> bool:
    """Whether nobody on the way can change what comes from an address."""
    parts = urlsplit(address)
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or ""))


def _can_verify(key: Any) -> bool:
    return isinstance(key, dict) and key.get("kty") in KEY_TYPES and key.get("use", "sig") == "sig"
