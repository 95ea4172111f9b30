"""Who asks: a key, a token, a signed-in browser, or, while no keys are asked for, anybody on this machine."""

from __future__ import annotations

import asyncio
import hashlib
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from predictor.errors import (
    CredentialsInvalidError,
    CredentialsMissingError,
    RateLimitedError,
    SignInsLimitedError,
    UsageError,
)
from serving.access.api_keys import KEY_PREFIX, ApiKeys
from serving.access.loopback import is_reached_by_others
from serving.access.principal import Principal
from serving.access.rate_limit import TokenBuckets
from serving.access.route_table import Rule
from serving.access.sign_ins import SignIns
from serving.settings import Settings
from serving.store.database import Database

if TYPE_CHECKING:
    from serving.access.tokens import TokenVerifier

# A verified key is believed for so long, so that a busy client does not cost a look into the database per request;
# a revoked one is turned away after it, and so is everybody without a key once the first key is made.
BELIEVED_S = 5.0
MAX_BELIEVED = 10_000
# Keys and tokens that were not valid, from one address.
WRONG_CREDENTIALS_PER_MINUTE = 20
_T = TypeVar("_T")


class AccessControl:
    """Tells who asks, and how much they may.

    Parameters
    ----------
    settings
        Whether keys are asked for, which provider's tokens are taken, how much one caller may send.
    database
        Holds the keys.
    clock
        Seconds, never going back.
    """

    def __init__(self, settings: Settings, database: Database, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.keys = ApiKeys(database)
        self.sign_ins = SignIns(database, self.keys)
        self._clock = clock
        self._believed: OrderedDict[bytes, tuple[Principal, float]] = OrderedDict()
        self._requests = TokenBuckets(per_minute=settings.requests_per_minute, clock=clock)
        self._scans = TokenBuckets(per_minute=settings.scans_per_minute, clock=clock)
        self._failures = TokenBuckets(per_minute=WRONG_CREDENTIALS_PER_MINUTE, clock=clock)
        # Apart from the threads that score; and a provider that is slow to answer holds up no key.
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="access")
        self._token_threads = ThreadPoolExecutor(1, thread_name_prefix="access-tokens")
        self._key = _Lookup(b"key:", lambda secret: (self.keys.verify(secret), math.inf), self._threads)
        self._cookie = _Lookup(b"cookie:", lambda cookie: (self.sign_ins.verify(cookie), math.inf), self._threads)
        tokens = token_verifier_of(settings)
        self._token = _Lookup(b"token:", tokens.verify, self._token_threads) if tokens else None
        # A service that others reach stays closed even when a database without keys takes the place of its own.
        self._demands_keys = settings.require_keys or tokens is not None or is_reached_by_others(settings)
        self._is_open_until = -math.inf

    async def is_open(self) -> bool:
        """Whether everybody who reaches the service may use it: until a key is made, or unless settings say no.

        Raises
        ------
        DatabaseUnavailableError
            If nobody can tell.
        """
        if self._demands_keys:
            return False
        if self._clock() >= self._is_open_until:
            self._demands_keys = await self._in_thread(self.keys.any_was_ever_made)
            self._is_open_until = self._clock() + BELIEVED_S
        return not self._demands_keys

    async def bearer_of(self, credential: str, *, address: str) -> Principal:
        """Return who holds a key or token.

        Raises
        ------
        CredentialsInvalidError
            If it is not valid here.
        SignInsLimitedError
            If too many from this address were not.
        """
        lookup = self._key if self._token is None or credential.startswith(KEY_PREFIX) else self._token
        return await self._verified(credential, lookup, address=address)

    async def browser_of(self, cookie: str | None, *, address: str) -> Principal:
        """Return who signed in with a browser.

        Raises
        ------
        CredentialsMissingError
            If nobody did.
        """
        if cookie is None:
            raise CredentialsMissingError("expected a key or a token, found none.")
        try:
            return await self._verified(cookie, self._cookie, address=address)
        except CredentialsInvalidError as error:
            raise CredentialsMissingError("you are not signed in any more.") from error

    async def sign_in(self, secret: str, *, address: str) -> tuple[str, Principal]:
        """Sign a browser in; return its cookie, and who it is.

        Raises
        ------
        CredentialsInvalidError
            If the key is not valid.
        SignInsLimitedError
            If too many from this address were not.
        """
        self._check_failures(address)
        try:
            return await self._in_thread(self.sign_ins.begin, secret)
        except CredentialsInvalidError:
            self._failures.take(address)
            raise

    async def sign_out(self, cookie: str) -> None:
        """Forget a browser."""
        await self._in_thread(self.sign_ins.end, cookie)
        self._believed.pop(self._cookie.digest(cookie), None)  # last: who asks meanwhile would be believed again

    def spend(self, principal: Principal, rule: Rule) -> None:
        """Count a request of a key or token.

        Raises
        ------
        RateLimitedError
            If it was one too many.
        """
        if not principal.is_signed_in:
            return
        wait_s = self._requests.take(principal.owner)
        if not wait_s and rule.is_scan:
            wait_s = self._scans.take(principal.owner)
        if wait_s:
            what = "visits" if rule.is_scan else "requests"
            raise RateLimitedError(f"too many {what} in a minute.", retry_after_s=math.ceil(wait_s))

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown()
        self._token_threads.shutdown()

    async def _in_thread(self, work: Callable[..., _T], *arguments: str) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)

    async def _verified(self, credential: str, lookup: _Lookup, *, address: str) -> Principal:
        digest = lookup.digest(credential)
        believed = self._believed.get(digest)
        if believed is not None and believed[1] > self._clock():
            return believed[0]
        if believed is None:  # who was known a moment ago must not be held up by a neighbour who guesses
            self._check_failures(address)
        try:
            principal, valid_for_s = await lookup.run(credential)
        except CredentialsInvalidError:
            self._believed.pop(digest, None)
            self._failures.take(address)
            raise
        self._believe(digest, principal, for_s=min(BELIEVED_S, valid_for_s))
        return principal

    def _believe(self, digest: bytes, principal: Principal, *, for_s: float) -> None:
        self._believed.pop(digest, None)  # behind the others again
        self._believed[digest] = (principal, self._clock() + for_s)
        if len(self._believed) > MAX_BELIEVED:
            self._believed.popitem(last=False)

    def _check_failures(self, address: str) -> None:
        wait_s = self._failures.wait_s(address)
        if wait_s:
            raise SignInsLimitedError(
                "too many keys or tokens from this address were not valid.", retry_after_s=math.ceil(wait_s)
            )


@dataclass(frozen=True, slots=True)
class _Lookup:
    """How one kind of credential is verified, and in which threads."""

    kind: bytes
    verify: Callable[[str], tuple[Principal, float]]  # who it is, and for how many seconds at most
    threads: ThreadPoolExecutor

    def digest(self, credential: str) -> bytes:
        """Return what a credential is remembered by: a dump of the memory must not hold the key itself.

        The kind is part of it, so that a verified cookie is not believed when it comes as a key.
        """
        return hashlib.sha256(self.kind + credential.encode("utf-8", "surrogateescape")).digest()

    async def run(self, credential: str) -> tuple[Principal, float]:
        return await asyncio.get_running_loop().run_in_executor(self.threads, self.verify, credential)


def token_verifier_of(settings: Settings) -> TokenVerifier | None:
    """Return what verifies a provider's tokens, None if none is named.

    Raises
    ------
    UsageError
        If only one of issuer and audience is named, or the issuer's address is not private.
    """
    issuer, audience = settings.oidc_issuer, settings.oidc_audience
    if not issuer and not audience:
        return None
    if not issuer or not audience:
        raise UsageError(
            "expected both an issuer and an audience, found one.", where="KRP_OIDC_ISSUER, KRP_OIDC_AUDIENCE"
        )
    # Signatures take a tenth of a second to import; only a service with a provider waits for them.
    from serving.access.provider_keys import ProviderKeys
    from serving.access.tokens import TokenVerifier

    return TokenVerifier(ProviderKeys(issuer), issuer=issuer, audience=audience)
