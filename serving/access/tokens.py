"""Bearer tokens of an OpenID provider: signed, for us, in time, and by nobody else.

References
----------
Sheffer, Hardt & Jones (2020), JSON Web Token best current practices, RFC 8725.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Mapping
from typing import Any

from joserfc.errors import ClaimError, ExpiredTokenError, InvalidKeyIdError, JoseError, UnsupportedAlgorithmError
from joserfc.jwt import JWTClaimsRegistry, Token, decode

from predictor.errors import CredentialsExpiredError, CredentialsInvalidError
from serving.access.principal import SCOPES, Principal, Scope
from serving.access.provider_keys import ProviderKeys

# Signatures with a public key only. Neither `none`, nor HS256 and its kin: there, the provider's public key would be
# the secret.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519")
SCOPE_PREFIX = "krp:"
MAX_TOKEN_CHARACTERS = 16_384
LEEWAY_S = 30  # clocks of two machines differ
_TOKEN = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")


class TokenVerifier:
    """Tells whose token it is, and what it allows.

    Parameters
    ----------
    provider
        Keys of the provider.
    issuer, audience
        What the claims `iss` and `aud` must say.
    now
        Seconds since 1970.
    """

    def __init__(
        self, provider: ProviderKeys, *, issuer: str, audience: str, now: Callable[[], float] = time.time
    ) -> None:
        self._provider = provider
        self._now = now
        self._claims = JWTClaimsRegistry(
            now=lambda: int(now()),
            leeway=LEEWAY_S,
            iss={"essential": True, "value": issuer},
            aud={"essential": True, "value": audience},
            exp={"essential": True},
            sub={"essential": True},
        )

    def verify(self, token: str) -> tuple[Principal, float]:
        """Return whose token it is, and for how many seconds it stays valid.

        Raises
        ------
        CredentialsExpiredError
            If the token was valid once.
        CredentialsInvalidError
            If it is not a token for this service, signed by the provider.
        ProviderUnavailableError
            If the provider's keys cannot be had.
        """
        if len(token) > MAX_TOKEN_CHARACTERS or not _TOKEN.fullmatch(token):
            raise CredentialsInvalidError("expected a signed token of three parts.")
        try:
            claims = self._decode(token).claims
            self._claims.validate(claims)
        except ExpiredTokenError as error:
            raise CredentialsExpiredError("the token has expired.") from error
        except (JoseError, ValueError, TypeError) as error:
            raise CredentialsInvalidError(_reason(error)) from error
        return Principal(_owner_of(claims), frozenset(_scopes_of(claims))), claims["exp"] + LEEWAY_S - self._now()

    def _decode(self, token: str) -> Token:
        try:
            return decode(token, self._provider.current(), algorithms=ALGORITHMS)
        except InvalidKeyIdError:
            return decode(token, self._provider.after_rotation(), algorithms=ALGORITHMS)


def _scopes_of(claims: Mapping[str, Any]) -> list[Scope]:
    """Return our scopes: `scope` is a string with blanks by RFC 8693, `scp` at some providers a list."""
    words: set[str] = set()
    for name in ("scope", "scp"):
        value = claims.get(name, "")
        found = value.split() if isinstance(value, str) else value if isinstance(value, list) else []
        words.update(item for item in found if isinstance(item, str))
    return [scope for scope in SCOPES if SCOPE_PREFIX + scope in words]


def _owner_of(claims: Mapping[str, Any]) -> str:
    """Return the same opaque owner for every token of one subject."""
    whose = f"{claims['iss']}\0{claims['sub']}".encode()
    return f"token:{hashlib.sha256(whose).hexdigest()[:16]}"


def _reason(error: Exception) -> str:
    """Say what is wrong, without a value from the token."""
    if isinstance(error, ClaimError):
        return f"the token's claim {error.claim} is not what it must be."
    if isinstance(error, UnsupportedAlgorithmError):
        return "the token is signed with an algorithm that is not taken."
    if isinstance(error, InvalidKeyIdError):
        return "the token is signed with a key that the provider does not list."
    return "the token's signature cannot be verified."
