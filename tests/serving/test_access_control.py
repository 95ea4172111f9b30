from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from predictor.errors import (
    CredentialsInvalidError,
    CredentialsMissingError,
    DatabaseUnavailableError,
    RateLimitedError,
    SignInsLimitedError,
    UsageError,
)
from serving.access.access_control import (
    BELIEVED_S,
    MAX_BELIEVED,
    WRONG_CREDENTIALS_PER_MINUTE,
    AccessControl,
    _Lookup,
)
from serving.access.principal import LOCAL, Principal
from serving.access.route_table import ROUTE_TABLE
from serving.settings import Settings
from serving.store.database import Database

HERE = "10.0.0.1"
WRONG = "krp_" + "0" * 12 + "_" + "A" * 43
ROWS, SCAN = ROUTE_TABLE.find("POST", "/v1/predictions"), ROUTE_TABLE.find("POST", "/v1/scans")
Make = Callable[..., AccessControl]


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/service.db"


@pytest.fixture
def make(database: Database, clock: Clock, tmp_path: Path) -> Iterator[Make]:
    made: list[AccessControl] = []

    def make_control(**settings: Any) -> AccessControl:
        url = f"sqlite:///{tmp_path}/service.db"
        made.append(AccessControl(Settings(database_url=url, **settings), database, clock=clock))
        return made[-1]

    yield make_control
    for control in made:
        control.close()


def run(work: Awaitable[Any]) -> Any:
    async def waited() -> Any:
        return await work

    return asyncio.run(waited())


def key_of(access: AccessControl, *scopes: Any) -> tuple[str, str]:
    made, secret = access.keys.create("robot", scopes=scopes or ("score", "read"), valid_for=None)
    return made.id, secret


def test_without_keys_it_is_open_and_with_the_first_key_it_closes_within_five_seconds(make: Make, clock: Clock) -> None:
    access = make()
    assert run(access.is_open())
    key_of(access)
    clock.now_s += BELIEVED_S
    assert not run(access.is_open())


def test_once_closed_it_stays_closed_when_the_only_key_is_revoked(make: Make, clock: Clock) -> None:
    access = make()
    access.keys.revoke(key_of(access)[0])
    assert not run(access.is_open())
    assert not run(make().is_open())  # nor does a restart open it


@pytest.mark.parametrize(
    "settings",
    [
        {"require_keys": True},
        {"oidc_issuer": "https://id.example.org", "oidc_audience": "krp"},
        {"host": "0.0.0.0"},
        {"allowed_hosts": ("scores.example.org",)},
    ],
    ids=["keys required", "provider named", "others reach it", "others reach it by a proxy"],
)
def test_settings_close_it_before_the_first_key(make: Make, settings: dict[str, Any]) -> None:
    assert not run(make(**settings).is_open())


@pytest.mark.parametrize("settings", [{"oidc_issuer": "https://id.example.org"}, {"oidc_audience": "krp"}], ids=str)
def test_half_a_provider_is_refused_instead_of_leaving_the_service_open(make: Make, settings: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="both"):
        make(**settings)


def test_it_does_not_open_because_the_database_is_gone(make: Make, tmp_path: Path) -> None:
    access = make()
    (tmp_path / "service.db").unlink()
    with pytest.raises(DatabaseUnavailableError):
        run(access.is_open())


def test_a_revoked_key_is_turned_away_within_five_seconds(make: Make, clock: Clock) -> None:
    access = make()
    key_id, secret = key_of(access)
    run(access.bearer_of(secret, address=HERE))
    access.keys.revoke(key_id)
    clock.now_s += BELIEVED_S
    with pytest.raises(CredentialsInvalidError):
        run(access.bearer_of(secret, address=HERE))


def test_a_verified_key_is_not_looked_up_again_for_a_while(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    access = make()
    _, secret = key_of(access)
    looked: list[str] = []
    verify = access.keys.verify
    monkeypatch.setattr(access.keys, "verify", lambda given: looked.append(given) or verify(given))
    found = [run(access.bearer_of(secret, address=HERE)) for _ in range(50)]
    assert len(looked) == 1
    assert found == [found[0]] * 50


def test_verified_keys_stand_in_memory_as_digests_only(make: Make) -> None:
    access = make()
    _, secret = key_of(access)
    run(access.bearer_of(secret, address=HERE))
    assert secret not in repr(vars(access))
    assert len(access._believed) == 1


def test_what_is_believed_does_not_grow_without_end(make: Make) -> None:
    access = make()
    for number in range(MAX_BELIEVED + 10):
        access._believe(number.to_bytes(4, "big"), LOCAL, for_s=5)
    assert len(access._believed) == MAX_BELIEVED


def test_a_key_is_no_cookie_and_a_cookie_no_key(make: Make) -> None:
    access = make()
    _, secret = key_of(access)
    cookie, _ = run(access.sign_in(secret, address=HERE))
    assert run(access.browser_of(cookie, address=HERE)) == run(access.bearer_of(secret, address=HERE))
    with pytest.raises(CredentialsInvalidError):
        run(access.bearer_of(cookie, address=HERE))
    with pytest.raises(CredentialsMissingError):
        run(access.browser_of(secret, address=HERE))


def test_signing_out_takes_effect_at_once(make: Make) -> None:
    access = make()
    cookie, _ = run(access.sign_in(key_of(access)[1], address=HERE))
    run(access.browser_of(cookie, address=HERE))
    run(access.sign_out(cookie))
    with pytest.raises(CredentialsMissingError):
        run(access.browser_of(cookie, address=HERE))


def test_guessing_keys_ends_after_some_tries_from_one_address_only(make: Make) -> None:
    access = make()
    _, secret = key_of(access)
    for _ in range(WRONG_CREDENTIALS_PER_MINUTE):
        with pytest.raises(CredentialsInvalidError):
            run(access.bearer_of(WRONG, address=HERE))
    with pytest.raises(SignInsLimitedError) as caught:
        run(access.bearer_of(secret, address=HERE))
    assert 0 < caught.value.retry_after_s <= 60
    with pytest.raises(SignInsLimitedError):
        run(access.sign_in(secret, address=HERE))
    assert run(access.bearer_of(secret, address="10.0.0.2")).may("score")


def test_a_key_at_work_is_not_held_up_by_a_neighbour_who_guesses(make: Make) -> None:
    access = make()
    _, secret = key_of(access)
    run(access.bearer_of(secret, address=HERE))
    for _ in range(WRONG_CREDENTIALS_PER_MINUTE):
        with pytest.raises(CredentialsInvalidError):
            run(access.bearer_of(WRONG, address=HERE))
    assert run(access.bearer_of(secret, address=HERE)).may("score")


def test_nor_is_it_when_it_is_looked_up_again(make: Make, clock: Clock) -> None:
    access = make()
    _, secret = key_of(access)
    run(access.bearer_of(secret, address=HERE))
    clock.now_s += BELIEVED_S
    for _ in range(WRONG_CREDENTIALS_PER_MINUTE):
        with pytest.raises(CredentialsInvalidError):
            run(access.bearer_of(WRONG, address=HERE))
    with pytest.raises(SignInsLimitedError):
        run(access.bearer_of(WRONG, address=HERE))
    assert run(access.bearer_of(secret, address=HERE)).may("score")


def test_requests_of_one_key_are_limited_and_the_fault_says_for_how_long(make: Make, clock: Clock) -> None:
    access = make(requests_per_minute=60)
    one, other = Principal("key:one", frozenset()), Principal("key:other", frozenset())
    for _ in range(60):
        access.spend(one, ROWS)
    with pytest.raises(RateLimitedError) as caught:
        access.spend(one, ROWS)
    assert caught.value.retry_after_s == 1
    access.spend(other, ROWS)
    clock.now_s += 1
    access.spend(one, ROWS)


def test_visits_are_limited_apart_from_other_requests(make: Make) -> None:
    access = make(scans_per_minute=2)
    one = Principal("token:1", frozenset())
    access.spend(one, SCAN)
    access.spend(one, SCAN)
    with pytest.raises(RateLimitedError, match="visits"):
        access.spend(one, SCAN)
    access.spend(one, ROWS)


def test_who_needs_no_key_is_not_limited(make: Make) -> None:
    access = make(requests_per_minute=1)
    for _ in range(10):
        access.spend(LOCAL, ROWS)
        access.spend(Principal("browser:1", frozenset()), SCAN)


def test_a_token_is_believed_no_longer_than_it_is_valid(make: Make, clock: Clock) -> None:
    access, looked = make(), []

    def verify(token: str) -> tuple[Principal, float]:
        looked.append(token)
        return Principal("token:1", frozenset()), 1.0

    access._token = _Lookup(b"token:", verify, access._token_threads)
    for passed_s in (0.0, 0.9, 0.2):
        clock.now_s += passed_s
        run(access.bearer_of("a.b.c", address=HERE))
    assert len(looked) == 2
