from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select

from predictor.errors import CredentialsExpiredError, CredentialsInvalidError
from serving.access.api_keys import ApiKeys
from serving.access.sign_ins import SIGNED_IN_FOR, SignIns
from serving.store.database import Database
from serving.store.tables import sign_ins


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 3, 1, 12, tzinfo=UTC)

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


@pytest.fixture
def browsers(database: Database, keys: ApiKeys, clock: Clock) -> SignIns:
    return SignIns(database, keys, now=clock)


def test_a_browser_is_whom_its_key_is(browsers: SignIns, keys: ApiKeys) -> None:
    _, secret = keys.create("ward", scopes=["score"], valid_for=None)
    cookie, principal = browsers.begin(secret)
    assert browsers.verify(cookie) == principal == keys.verify(secret)


def test_a_wrong_key_signs_nobody_in(browsers: SignIns, database: Database) -> None:
    with pytest.raises(CredentialsInvalidError):
        browsers.begin("krp_" + "0" * 12 + "_" + "A" * 43)
    with database.reading() as connection:
        assert connection.execute(select(func.count()).select_from(sign_ins)).scalar_one() == 0


def test_signing_in_ends_by_itself_after_a_working_day(browsers: SignIns, keys: ApiKeys, clock: Clock) -> None:
    cookie, _ = browsers.begin(keys.create("ward", scopes=["score"], valid_for=None)[1])
    clock.now += SIGNED_IN_FOR - timedelta(seconds=1)
    browsers.verify(cookie)
    clock.now += timedelta(seconds=1)
    with pytest.raises(CredentialsInvalidError):
        browsers.verify(cookie)


def test_a_browser_is_out_as_soon_as_its_key_is_revoked(browsers: SignIns, keys: ApiKeys) -> None:
    made, secret = keys.create("ward", scopes=["score"], valid_for=None)
    cookie, _ = browsers.begin(secret)
    keys.revoke(made.id)
    with pytest.raises(CredentialsInvalidError):
        browsers.verify(cookie)


def test_a_browser_is_out_as_soon_as_its_key_expires(browsers: SignIns, keys: ApiKeys, clock: Clock) -> None:
    cookie, _ = browsers.begin(keys.create("ward", scopes=["score"], valid_for=timedelta(hours=1))[1])
    clock.now += timedelta(hours=2)
    with pytest.raises(CredentialsExpiredError):
        browsers.verify(cookie)


def test_signing_out_is_for_one_browser(browsers: SignIns, keys: ApiKeys) -> None:
    _, secret = keys.create("ward", scopes=["score"], valid_for=None)
    here, there = browsers.begin(secret)[0], browsers.begin(secret)[0]
    browsers.end(here)
    with pytest.raises(CredentialsInvalidError):
        browsers.verify(here)
    assert browsers.verify(there).may("score")


def test_a_cookie_is_not_a_key_and_a_key_is_no_cookie(browsers: SignIns, keys: ApiKeys) -> None:
    _, secret = keys.create("ward", scopes=["score"], valid_for=None)
    cookie, _ = browsers.begin(secret)
    with pytest.raises(CredentialsInvalidError):
        keys.verify(cookie)
    with pytest.raises(CredentialsInvalidError):
        browsers.verify(secret)


def test_the_cookie_does_not_stand_in_the_database(browsers: SignIns, keys: ApiKeys, database: Database) -> None:
    cookie, _ = browsers.begin(keys.create("ward", scopes=["score"], valid_for=None)[1])
    with database.reading() as connection:
        (row,) = connection.execute(select(sign_ins)).all()
    assert cookie not in repr(row)


def test_what_ran_out_is_deleted_when_the_next_person_signs_in(
    browsers: SignIns, keys: ApiKeys, clock: Clock, database: Database
) -> None:
    _, secret = keys.create("ward", scopes=["score"], valid_for=None)
    browsers.begin(secret)
    clock.now += timedelta(days=1)
    browsers.begin(secret)
    with database.reading() as connection:
        assert connection.execute(select(func.count()).select_from(sign_ins)).scalar_one() == 1


def test_a_browser_comes_and_goes_in_every_kind_of_database(database_url: str, clock: Clock) -> None:
    database = Database.open(database_url)
    keys = ApiKeys(database, now=clock)
    browsers = SignIns(database, keys, now=clock)
    cookie, principal = browsers.begin(keys.create("ward", scopes=["score"], valid_for=None)[1])
    assert browsers.verify(cookie) == principal
    browsers.end(cookie)
    with pytest.raises(CredentialsInvalidError):
        browsers.verify(cookie)
    database.close()
