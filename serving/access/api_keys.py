"""Access keys: made once, shown once, kept as a hash.

A key is `krp_<id>_<secret>` with 256 random bits in its secret. What is kept is its plain SHA-256: slow hashes such as
argon2 protect what people think up, because that can be guessed; of 256 random bits nobody guesses one in the lifetime
of the sun, so a slow hash would only slow down the service.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from sqlalchemy import Connection, Row, select, update

from predictor.errors import CredentialsExpiredError, CredentialsInvalidError, KeyUnknownError
from serving.access.principal import SCOPES, Principal, Scope
from serving.store.database import Database
from serving.store.tables import access_keys

KEY_PREFIX = "krp_"
_KEY = re.compile(r"krp_([0-9a-f]{12})_[A-Za-z0-9_-]{43}")
_SECRET_BYTES = 32
# Compared with when there is no such key, so that an unknown id takes as long as a wrong secret.
_NO_HASH = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What is kept of a key."""

    id: str
    name: str
    scopes: frozenset[Scope]
    created: datetime
    expires: datetime | None
    revoked: datetime | None
    last_used: str | None  # ISO day

    def state(self, now: datetime) -> Literal["valid", "expired", "revoked"]:
        """Whether the key lets anybody in."""
        if self.revoked is not None:
            return "revoked"
        return "expired" if self.expires is not None and self.expires <= now else "valid"

    def principal(self, now: datetime) -> Principal:
        """Return who holds the key.

        Raises
        ------
        CredentialsExpiredError
            If it was valid once.
        CredentialsInvalidError
            If it was revoked.
        """
        state = self.state(now)
        if state == "expired":
            raise CredentialsExpiredError("the key has expired.")
        if state == "revoked":
            raise CredentialsInvalidError("the key is not valid.")
        return Principal(f"key:{self.id}", self.scopes)


class ApiKeys:
    """The keys of one database."""

    def __init__(self, database: Database, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._database = database
        self._now = now

    def create(self, name: str, *, scopes: Iterable[Scope], valid_for: timedelta | None) -> tuple[ApiKey, str]:
        """Make a key; return what is kept, and the key itself, which cannot be had again.

        Raises
        ------
        DatabaseUnavailableError
            If it cannot be kept.
        """
        key_id = secrets.token_hex(6)
        secret = f"{KEY_PREFIX}{key_id}_{secrets.token_urlsafe(_SECRET_BYTES)}"
        now = self._now()
        held = frozenset(scopes)
        made = ApiKey(key_id, name, held, now, now + valid_for if valid_for else None, None, None)
        with self._database.writing() as connection:
            connection.execute(
                access_keys.insert().values(
                    id=key_id,
                    hash=hash_of_secret(secret),
                    name=name,
                    scopes=" ".join(scope for scope in SCOPES if scope in held),
                    created=made.created,
                    expires=made.expires,
                )
            )
        return made, secret

    def listed(self) -> list[ApiKey]:
        """Return every key that was ever made, oldest first."""
        with self._database.reading() as connection:
            return [key_of_row(row) for row in connection.execute(select(access_keys).order_by(access_keys.c.created))]

    def revoke(self, key_id: str) -> ApiKey:
        """Let nobody in with this key any more; once revoked it stays as it is.

        Raises
        ------
        KeyUnknownError
            If there is no such key.
        """
        is_meant = access_keys.c.id == key_id
        with self._database.writing() as connection:
            connection.execute(
                update(access_keys).where(is_meant, access_keys.c.revoked.is_(None)).values(revoked=self._now())
            )
            row = connection.execute(select(access_keys).where(is_meant)).one_or_none()
        if row is None:
            raise KeyUnknownError("no key has this id.")
        return key_of_row(row)

    def any_was_ever_made(self) -> bool:
        """Whether there is a key, valid or not: what closes the service must not open it again by expiring."""
        with self._database.reading() as connection:
            return connection.execute(select(access_keys.c.id).limit(1)).one_or_none() is not None

    def verify(self, secret: str) -> Principal:
        """Return who holds a key.

        Raises
        ------
        CredentialsInvalidError
            If it is no key of ours, or revoked; CredentialsExpiredError if it was valid once.
        """
        form = _KEY.fullmatch(secret)
        if form is None:
            raise CredentialsInvalidError("the key is not valid.")
        with self._database.reading() as connection:
            row = _find(connection, form[1])
        expected = row.hash if row is not None else _NO_HASH
        if not hmac.compare_digest(hash_of_secret(secret), expected) or row is None:
            raise CredentialsInvalidError("the key is not valid.")
        return self._use(key_of_row(row))

    def _use(self, key: ApiKey) -> Principal:
        """Note the day, at most once a day, so that reading does not become writing."""
        now = self._now()
        principal = key.principal(now)
        today = now.date().isoformat()
        if key.last_used != today:
            with self._database.writing() as connection:
                connection.execute(update(access_keys).where(access_keys.c.id == key.id).values(last_used=today))
        return principal


def hash_of_secret(secret: str) -> str:
    """Return what is kept of a key or a cookie."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _find(connection: Connection, key_id: str) -> Row[Any] | None:
    return connection.execute(select(access_keys).where(access_keys.c.id == key_id)).one_or_none()


def key_of_row(row: Row[Any]) -> ApiKey:
    """Return what a row of the table says."""
    scopes = frozenset(scope for scope in SCOPES if scope in row.scopes.split())
    return ApiKey(row.id, row.name, scopes, row.created, row.expires, row.revoked, row.last_used)
