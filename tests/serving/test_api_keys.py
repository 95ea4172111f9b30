from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from predictor.errors import CredentialsExpiredError, CredentialsInvalidError, KeyUnknownError
from serving.access.api_keys import ApiKeys
from serving.store.database import Database
from serving.store.tables import access_keys

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    """Return the address of a file; that PostgreSQL does the same is one test below."""
    return f"sqlite:///{tmp_path}/service.db"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def keys(database: Database, clock: Clock) -> ApiKeys:
    return ApiKeys(database, now=clock)


def test_a_key_lets_in_its_holder_with_its_scopes_and_no_others(keys: ApiKeys) -> None:
    made, secret = keys.create("robot", scopes=["score", "read"], valid_for=None)
    found = keys.verify(secret)
    assert found.owner == f"key:{made.id}"
    assert (found.may("score"), found.may("read"), found.may("admin")) == (True, True, False)


def test_a_key_carries_256_random_bits_and_its_id(keys: ApiKeys) -> None:
    made, secret = keys.create("robot", scopes=["read"], valid_for=None)
    prefix, key_id, random_part = secret.split("_", 2)
    assert (prefix, key_id, len(random_part)) == ("krp", made.id, 43)
    assert secret != keys.create("robot", scopes=["read"], valid_for=None)[1]


def test_neither_the_key_nor_its_secret_stands_in_the_database(keys: ApiKeys, database: Database) -> None:
    _, secret = keys.create("robot", scopes=["read"], valid_for=None)
    keys.verify(secret)
    with database.reading() as connection:
        written = repr(connection.execute(select(access_keys)).all())
    assert "robot" in written
    assert secret.split("_", 2)[2] not in written


@pytest.mark.parametrize("change", ["last character", "another id", "no prefix", "empty", "line break", "blank"])
def test_what_is_not_exactly_the_key_is_turned_away(keys: ApiKeys, change: str) -> None:
    made, secret = keys.create("robot", scopes=["read"], valid_for=None)
    other = {
        "last character": secret[:-1] + ("A" if secret[-1] != "A" else "B"),
        "another id": secret.replace(made.id, "0" * 12),
        "no prefix": secret.removeprefix("krp_"),
        "empty": "",
        "line break": secret + "\n",
        "blank": " " + secret,
    }[change]
    with pytest.raises(CredentialsInvalidError, match="not valid"):
        keys.verify(other)


def test_a_keys_secret_does_not_open_under_another_keys_id(keys: ApiKeys) -> None:
    first, secret = keys.create("one", scopes=["read"], valid_for=None)
    second, _ = keys.create("two", scopes=["admin"], valid_for=None)
    with pytest.raises(CredentialsInvalidError):
        keys.verify(secret.replace(first.id, second.id))


def test_a_key_ends_when_its_time_is_over_and_says_so(keys: ApiKeys, clock: Clock) -> None:
    _, secret = keys.create("robot", scopes=["read"], valid_for=timedelta(days=1))
    clock.now += timedelta(days=1, microseconds=-1)
    assert keys.verify(secret).may("read")
    clock.now += timedelta(microseconds=1)
    with pytest.raises(CredentialsExpiredError):
        keys.verify(secret)


def test_a_revoked_key_stays_revoked_since_the_first_time(keys: ApiKeys, clock: Clock) -> None:
    made, secret = keys.create("robot", scopes=["read"], valid_for=None)
    keys.revoke(made.id)
    clock.now += timedelta(days=1)
    assert keys.revoke(made.id).revoked == NOON
    with pytest.raises(CredentialsInvalidError) as caught:
        keys.verify(secret)
    assert not isinstance(caught.value, CredentialsExpiredError)


def test_revoking_a_key_that_is_not_there_is_refused(keys: ApiKeys) -> None:
    with pytest.raises(KeyUnknownError):
        keys.revoke("0" * 12)


def test_a_key_was_made_even_when_it_has_expired_and_been_revoked(keys: ApiKeys, clock: Clock) -> None:
    assert not keys.any_was_ever_made()
    made, _ = keys.create("robot", scopes=["read"], valid_for=timedelta(days=1))
    clock.now += timedelta(days=365)
    keys.revoke(made.id)
    assert keys.any_was_ever_made()


def test_the_day_of_use_is_written_once_a_day_and_only_for_valid_keys(keys: ApiKeys, clock: Clock) -> None:
    made, secret = keys.create("robot", scopes=["read"], valid_for=timedelta(days=2))
    with pytest.raises(CredentialsInvalidError):
        keys.verify(secret[:-1] + "-")
    assert keys.listed()[0].last_used is None
    keys.verify(secret)
    assert keys.listed()[0].last_used == "2026-03-01"
    clock.now += timedelta(days=1)
    keys.verify(secret)
    clock.now += timedelta(days=5)
    with pytest.raises(CredentialsExpiredError):
        keys.verify(secret)
    assert keys.listed()[0].last_used == "2026-03-02"
    assert keys.listed()[0].id == made.id


def test_a_scope_that_this_version_does_not_know_is_not_granted(keys: ApiKeys, database: Database) -> None:
    _, secret = keys.create("robot", scopes=["read"], valid_for=None)
    with database.writing() as connection:
        connection.execute(access_keys.update().values(scopes="read everything"))
    assert keys.verify(secret).scopes == {"read"}
    with database.reading() as connection:
        assert connection.execute(select(access_keys.c.scopes)).scalar_one() == "read everything"


def test_a_key_has_the_same_life_in_every_kind_of_database(database_url: str, clock: Clock) -> None:
    database = Database.open(database_url)
    keys = ApiKeys(database, now=clock)
    made, secret = keys.create("robot", scopes=["admin", "score"], valid_for=timedelta(days=1))
    assert keys.verify(secret).scopes == {"admin", "score"}
    (listed,) = keys.listed()
    assert (listed.expires, listed.last_used) == (NOON + timedelta(days=1), "2026-03-01")
    assert keys.revoke(made.id).revoked == NOON
    with pytest.raises(CredentialsInvalidError):
        keys.verify(secret)
    assert keys.any_was_ever_made()
    database.close()
