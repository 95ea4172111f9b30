"""Browsers of people who signed in with a key: a random cookie here, its hash and an end in the database."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from sqlalchemy import delete, select

from predictor.errors import CredentialsInvalidError
from serving.access.api_keys import ApiKeys, hash_of_secret, key_of_row
from serving.access.principal import Principal
from serving.store.database import Database
from serving.store.tables import access_keys, sign_ins

# A working day; who stays away longer pastes the key again.
SIGNED_IN_FOR = timedelta(hours=12)
_COOKIE_BYTES = 32


class SignIns:
    """The signed-in browsers of one database."""

    def __init__(
        self, database: Database, keys: ApiKeys, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._database = database
        self._keys = keys
        self._now = now

    def begin(self, secret: str) -> tuple[str, Principal]:
        """Sign a browser in with a key; return the value of its cookie, and who it is.

        Raises
        ------
        CredentialsInvalidError
            If the key is not valid.
        """
        principal = self._keys.verify(secret)
        key_id = principal.owner.removeprefix("key:")
        cookie, now = secrets.token_urlsafe(_COOKIE_BYTES), self._now()
        with self._database.writing() as connection:
            connection.execute(delete(sign_ins).where(sign_ins.c.expires <= now))
            connection.execute(
                sign_ins.insert().values(hash=hash_of_secret(cookie), key_id=key_id, expires=now + SIGNED_IN_FOR)
            )
        return cookie, principal

    def verify(self, cookie: str) -> Principal:
        """Return who signed in, with the scopes of the key.

        Raises
        ------
        CredentialsInvalidError
            If nobody did, the time is over, or the key has expired or was revoked since.
        """
        query = (
            select(access_keys)
            .join(sign_ins, sign_ins.c.key_id == access_keys.c.id)
            .where(sign_ins.c.hash == hash_of_secret(cookie), sign_ins.c.expires > self._now())
        )
        with self._database.reading() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            raise CredentialsInvalidError("you are not signed in any more.")
        return key_of_row(row).principal(self._now())

    def end(self, cookie: str) -> None:
        """Sign a browser out."""
        with self._database.writing() as connection:
            connection.execute(delete(sign_ins).where(sign_ins.c.hash == hash_of_secret(cookie)))
